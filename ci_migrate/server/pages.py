"""The page for approvers, under /ui: what waits, its evidence, yes or no with a reason; history and backups.

Made on the server, without script. It calls the service as the endpoints do. Who is logged in has a cookie that no
script reads and no other site sends; each form carries a word of the session (CSRF).
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ci_migrate.errors import ExitCode
from ci_migrate.ledger import audit, jobs
from ci_migrate.ledger.jobs import JobStatus
from ci_migrate.ledger.keys import Role
from ci_migrate.model import Report, RunRecord
from ci_migrate.operations.history import who_and_why
from ci_migrate.operations.tokens import Wanted
from ci_migrate.reports import story
from ci_migrate.reports.clean import one_line
from ci_migrate.reports.html import HtmlReporter
from ci_migrate.server.access import UNKNOWN, Caller, address_of, identify
from ci_migrate.server.problems import STATUS, ProblemError
from ci_migrate.server.routes import WhatFor
from ci_migrate.server.service import Service
from ci_migrate.server.sessions import LIFETIME, Session, Sessions
from ci_migrate.server.wording import over_http
from ci_migrate.server.work import Work
from ci_migrate.verbs import verb_of

COOKIE = "ci_migrate_session"
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""A report's own policy, in its head, allows its one style sheet; the header must not be stricter than that."""


RUNS = 20
REASON_LIMIT = 1000

router = APIRouter(prefix="/ui", include_in_schema=False)


class LoginNeeded(Exception):  # noqa: N818 - no error: the login page is shown
    """There is no session, or its key is not good any more."""


@dataclass(frozen=True)
class Guest:
    """Somebody who is logged in."""

    caller: Caller
    session: Session

    @property
    def role(self) -> Role:
        """Of their key."""
        return self.caller.key.role

    def may(self, role: str) -> bool:
        """For the templates."""
        return self.role.covers(Role(role))


def sessions_of(request: Request) -> Sessions:
    """The service's sessions."""
    sessions: Sessions = request.app.state.sessions
    return sessions


def guest(request: Request) -> Guest:
    """Who calls. Raises LoginNeeded."""
    service: Service = request.app.state.service
    session = sessions_of(request).find(request.cookies.get(COOKIE, ""))
    target = service.target(session.target) if session is not None else None
    key = service.caller(target, session.key) if session is not None and target is not None else None
    if session is None or target is None or key is None:
        raise LoginNeeded
    request.state.target, request.state.key = target, key
    return Guest(Caller(service, target, key, address_of(request)), session)


Seated = Annotated[Guest, Depends(guest)]


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form. Raises 403 where it was sent by a page of somebody else, or of nobody (`null`)."""
    origin = request.headers.get("origin")  # browsers always say it; what says none is no browser
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ProblemError(403, "This form comes from another site.")
    try:
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=20)
    except (UnicodeDecodeError, ValueError):
        raise ProblemError(400, "This is no form.") from None
    return {name: values[-1] for name, values in fields.items()}


def sent_by(*, role: Role) -> Callable[..., Any]:
    """What a form depends on: somebody with this role, the word of their session, and the fields."""

    async def dependency(request: Request) -> "Sent":
        who = await run_in_threadpool(guest, request)
        fields = await form_of(request)
        if not hmac.compare_digest(fields.get("csrf", "").encode(), who.session.csrf.encode()):
            raise ProblemError(403, "This form is not of this session. Open the page again.")
        if not who.role.covers(role):
            raise ProblemError(
                403, f"The key {who.caller.key.name} has the role {who.role}; this needs {role}."
            )
        return Sent(who, fields)

    return dependency


@dataclass(frozen=True)
class Sent:
    """A form, and who sent it."""

    guest: Guest
    fields: dict[str, str]

    @property
    def reason(self) -> str:
        """Why, in one line. Raises 400 where there is none."""
        reason = one_line(self.fields.get("reason", ""), REASON_LIMIT)
        if not reason:
            raise ProblemError(400, "A reason is needed; it stands in the audit trail.")
        return reason

    def work(self, action: str, **more: Any) -> Work:
        """A piece of work as this caller's."""
        caller = self.guest.caller
        return Work(action=action, target=caller.target.name, actor=caller.name, **more)


FromApprover = Annotated[Sent, Depends(sent_by(role=Role.APPROVER))]
FromAdmin = Annotated[Sent, Depends(sent_by(role=Role.ADMIN))]
FromViewer = Annotated[Sent, Depends(sent_by(role=Role.VIEWER))]


@cache
def _environment() -> Environment:
    loader = PackageLoader("ci_migrate.server", "page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined)


def show(name: str, who: Guest | None, status: int = 200, **values: Any) -> Response:
    """A page."""
    text = _environment().get_template(name).render(guest=who, story=story, **values)
    return HTMLResponse(text, status, {"Content-Security-Policy": POLICY})


def to(place: str) -> Response:
    """To another page, by GET."""
    return RedirectResponse(f"/ui{place}", 303)


# --------------------------------------------------------------------------- in and out


@router.get("/style.css")
def style() -> Response:
    """The report's style sheet, and what forms need."""
    report, own = (
        files("ci_migrate.reports") / "page" / "page.css",
        files("ci_migrate.server") / "page" / "ui.css",
    )
    return Response(
        report.read_text(encoding="utf-8") + own.read_text(encoding="utf-8"), media_type="text/css"
    )


@router.get("/login")
def login_page(request: Request) -> Response:
    """Where a key is shown."""
    return show("login.html", None, several=len(request.app.state.service.targets) > 1, wrong="")


@router.post("/login")
async def login(request: Request) -> Response:
    """Look at the key, begin a session."""
    service: Service = request.app.state.service
    fields, address = await form_of(request), address_of(request)
    several = len(service.targets) > 1
    key = fields.get("key", "").strip()
    target, record = await run_in_threadpool(identify, service, fields.get("target") or None, key)
    request.state.target, request.state.key = target, record  # for the audit trail
    if target is None or record is None:
        wait = service.failures.wait(address)
        service.failures.note(address)
        if wait:
            words = "Too many failures. Try again in a minute."
            return show("login.html", None, 429, several=several, wrong=words)
        return show("login.html", None, 401, several=several, wrong=UNKNOWN.partition(" Send")[0])
    answer = to("/")
    name = sessions_of(request).begin(Session(target.name, key))
    # as the trusted proxy says; on plain HTTP (loopback) a browser would keep a Secure cookie to itself
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, name, max_age=int(LIFETIME), path="/ui", secure=secure, httponly=True, samesite="strict"
    )
    return answer


@router.post("/logout")
async def logout(request: Request, sent: FromViewer) -> Response:
    """End the session."""
    assert sent.guest.session is not None
    sessions_of(request).end(request.cookies.get(COOKIE, ""))
    answer = to("/login")
    answer.delete_cookie(COOKIE, path="/ui")
    return answer


# --------------------------------------------------------------------------- what there is


@router.get("/")
def overview(who: Seated) -> Response:
    """What waits, what ran, what is running, which backups there are."""
    target, ledger, runs = who.caller.target, who.caller.target.book(), _runs(who)
    return show(
        "overview.html",
        who,
        runs=runs,
        told=who_and_why(ledger, [run.run_id for run in runs]),
        waits=_waiting(who),
        asked=[{**facts, "call": call_of(facts["command"])} for facts in ledger.open_requests()],
        jobs=jobs.latest(ledger, target.name, 5),
        backups=list(reversed(target.backups().values()))[:RUNS],
    )


def call_of(command: str) -> str:
    """The query by which `/ui/request` shows what a command gives a token for; "" where there is none."""
    return over_http(command).partition("?")[2]


def _runs(who: Guest) -> list[RunRecord]:
    book = who.caller.target.book()
    return list(book.history(book.database_id(None), RUNS))


def _waiting(who: Guest) -> Report | None:
    """The report of the newest run, if that one waits for an approval and nobody said no."""
    newest = next((run for run in _runs(who) if verb_of(run.command).runs_revisions), None)
    if newest is None or newest.exit_code != ExitCode.NOT_APPROVED or _denied(who, newest.run_id):
        return None
    report = _report(who, newest)
    return report if report.plan is not None else None


def _denied(who: Guest, run_id: str) -> bool:
    with who.caller.target.book().reading() as connection:
        return any(facts.get("denied") == run_id for facts in audit.facts_of(connection, "approval denied"))


def _report(who: Guest, record: RunRecord) -> Report:
    ended = record.finished or record.started
    stages = who.caller.target.book().stages(record.run_id)
    plan = next((stage.plan for stage in stages if stage.plan is not None), None)
    return Report(
        run_id=record.run_id,
        command=record.command,
        target=record.target,
        place=plan.identity.place if plan else "",
        started=record.started,
        version="",
        seconds=(ended - record.started).total_seconds(),
        results=stages,
    )


@router.get("/runs/{run_id}")
def run_page(who: Seated, run_id: str) -> Response:
    """The report of a run, as report.html has it."""
    record = who.caller.target.book().run(run_id)
    if record is None or record.target != who.caller.target.name:
        raise ProblemError(404, "There is no such run.")
    page = HtmlReporter().render(_report(who, record))
    return HTMLResponse(page, headers={"Content-Security-Policy": REPORT_POLICY})


@router.get("/jobs/{job_id}")
def job_page(who: Seated, job_id: str) -> Response:
    """How a job is doing; the page comes anew by itself until it has ended."""
    job = jobs.get(who.caller.target.book(), job_id, who.caller.target.name)
    if job is None:
        raise ProblemError(404, "There is no such job.")
    return show("job.html", who, job=job, runs=job.status is JobStatus.RUNNING)


@router.get("/backups/{backup_id}")
async def backup_page(who: Seated, backup_id: str) -> Response:
    """A backup, and what the target would lose by it."""
    backup = await run_in_threadpool(lambda: who.caller.target.backups().get(backup_id))
    if backup is None:
        raise ProblemError(404, "There is no such backup.")
    losses = None
    if who.may("admin"):
        work = Work(
            action="backup losses", target=who.caller.target.name, actor=who.caller.name, backup_id=backup_id
        )
        losses = await run_in_threadpool(who.caller.service.ask, work)
    return show("backup.html", who, backup=backup, losses=losses)


@router.get("/request")
async def request_page(who: Seated, request: Request, wanted: WhatFor) -> Response:
    """What somebody asks an approval for, whatever it is: in words, and as the document that approvers sign."""
    if not who.may("approver"):
        raise ProblemError(403, f"The key {who.caller.name} has the role {who.role}; this needs approver.")
    caller = who.caller
    work = Work(action="token show", target=caller.target.name, actor=caller.name, wanted=wanted)
    answer = await run_in_threadpool(caller.service.ask, work)
    if answer.exit_code != ExitCode.OK:
        return show("message.html", who, STATUS[ExitCode(answer.exit_code)], message=answer.body["message"])
    document = msgspec.json.format(msgspec.json.encode(answer.body["approvalRequest"])).decode()
    return show("request.html", who, found=answer.body, document=document, query=request.url.query)


# --------------------------------------------------------------------------- what is decided


@router.post("/request")
async def approve_request(sent: FromApprover, wanted: WhatFor) -> Response:
    """Confirm what was looked at: a token, shown once, for whoever asked."""
    expected, reason = sent.fields.get("plan", ""), sent.reason
    work = sent.work("token generate", wanted=wanted, expected=expected, reason=reason)
    answer = await run_in_threadpool(sent.guest.caller.service.ask, work)
    if answer.exit_code != ExitCode.OK:
        status = STATUS[ExitCode(answer.exit_code)]
        return show("message.html", sent.guest, status, message=answer.body["message"])
    return show("token.html", sent.guest, **answer.body)


@router.post("/approve")
async def approve(sent: FromApprover) -> Response:
    """Confirm the plan that was looked at and start it; where approvers are registered, show what they sign."""
    reason, caller = sent.reason, sent.guest.caller
    waits = await run_in_threadpool(_waiting, sent.guest)
    if waits is None or waits.plan is None or waits.plan.digest != sent.fields.get("plan"):
        message = "This plan does not wait any more: it was denied, or another run came after it."
        return show("message.html", sent.guest, 409, message=message)
    token = sent.fields.get("token", "").strip()
    if not token:
        asked = sent.work("token generate", expected=sent.fields.get("plan", ""), reason=reason)
        answer = await run_in_threadpool(caller.service.ask, asked)
        if answer.body.get("needsApprovers"):
            request = msgspec.json.format(msgspec.json.encode(answer.body.get("approvalRequest"))).decode()
            message, plan = answer.body["message"], sent.fields.get("plan", "")
            return show("sign.html", sent.guest, request=request, message=message, reason=reason, plan=plan)
        if answer.exit_code != ExitCode.OK:
            return show("message.html", sent.guest, 422, message=answer.body["message"])
        token = answer.body["token"]
    return await _start(sent, sent.work("run", token=token, confirmed_by=caller.name, reason=reason))


@router.post("/deny")
async def deny(sent: FromApprover) -> Response:
    """Say no. The run stays where it is: its approval can't be given here any more, a new run asks anew."""
    ledger, run_id = sent.guest.caller.target.book(), sent.fields.get("run", "")[:100]
    facts = {"denied": run_id, "by": sent.guest.caller.name, "reason": sent.reason}
    await run_in_threadpool(lambda: ledger.audit("approval denied", None, **facts))
    return to("/")


@router.post("/restore")
async def restore(sent: FromAdmin) -> Response:
    """Put a backup in the target's place, after its losses were shown."""
    backup_id, reason = sent.fields.get("backup", "")[:255], sent.reason
    caller = sent.guest.caller
    if not await run_in_threadpool(lambda: backup_id in caller.target.backups()):
        raise ProblemError(404, "There is no such backup.")
    token = sent.fields.get("token", "").strip() or None
    if token is None and sent.fields.get("needs_token"):
        asked = sent.work("token generate", wanted=Wanted(backup_id=backup_id), reason=reason)
        answer = await run_in_threadpool(caller.service.ask, asked)
        if answer.exit_code != ExitCode.OK:
            return show("message.html", sent.guest, 422, message=answer.body["message"])
        token = answer.body["token"]
    work = sent.work(
        "backup restore", backup_id=backup_id, token=token, confirmed_by=caller.name, reason=reason
    )
    return await _start(sent, work)


async def _start(sent: Sent, work: Work) -> Response:
    caller = sent.guest.caller
    job, _ = await run_in_threadpool(caller.service.start, caller.target, work, caller.address)
    return to(f"/jobs/{job.job_id}")
