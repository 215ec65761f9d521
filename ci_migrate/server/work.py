"""The child's side: one piece of work, as it comes from the service, and the answer to it.

It calls the gate as the command line does. What it is told comes on standard input: no secret stands in an argument.
"""

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import make_url

from ci_migrate import gate
from ci_migrate.approval.requester import ACTOR
from ci_migrate.backups.restore import restore_loss
from ci_migrate.errors import UNTOUCHED, CiMigrateError, ExitCode, NotApprovedError
from ci_migrate.ledger import jobs
from ci_migrate.ledger.jobs import JobStatus
from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.ledger.tables import printable
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import (
    Backup,
    Direction,
    Frozen,
    Outcome,
    Report,
    RunRecord,
    StageResult,
    TargetState,
    command_lines,
    plural,
)
from ci_migrate.operations.backups import (
    Restoring,
    create_backup,
    delete_backup,
    drop_old,
    prune_backups,
    restore_backup,
)
from ci_migrate.operations.status import status, verify
from ci_migrate.operations.tokens import Wanted
from ci_migrate.pipeline import Interrupted
from ci_migrate.reports.clean import clean_report, clean_value, plan_digest
from ci_migrate.reports.story import heads, next_lines, state_sentence
from ci_migrate.run.authorization import why_needed
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run
from ci_migrate.server.tokens import generate_token, request_approval, show_request, token_fits
from ci_migrate.server.wording import over_http
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.secrets import hide_secrets, hide_secrets_in, register_secret, register_url
from ci_migrate.settings.settings import Secret, Settings, load
from ci_migrate.tempdirs import private_folder
from ci_migrate.verbs import VERBS, Verb, verb_of

FINDINGS = 50
"""How many findings an answer names."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `ledger` is the URL of the ledger that the job stands in; "" where it is no job."""

    action: str
    target: str
    actor: str
    job_id: str = ""
    ledger: str = ""
    destination: str | None = None
    backup_id: str = ""
    migration_version: str | None = None
    tables: tuple[str, ...] = ()
    create_backup: bool | None = None
    wanted: Wanted = Wanted()  # what a token is for
    expected: str | None = None  # the digest of the plan that the caller looked at
    token: str | None = None
    confirmed_by: str = ""
    reason: str = ""
    dry_run: bool = False  # only say what would be done
    forward: bool = False  # repair: run what is left
    accept_foreign: bool = False  # repair: what somebody else changed in the schema stays
    purge: bool = False  # stamp: take all version rows away first
    keep: int | None = None  # prune: of how many migrations
    limit: int = 20  # history: how many runs

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"Work({self.action}, {self.target}, {self.job_id})"


class Answer(Frozen, frozen=True, kw_only=True):
    """What came of it; `body` has at least `message`."""

    exit_code: int
    body: dict[str, Any]


@dataclass(frozen=True)
class JobContext:
    """What a piece of work is done with."""

    work: Work
    settings: Settings
    interrupt: Interrupt
    done: Callable[[StageResult], None]

    @property
    def token(self) -> Secret | None:
        """The approval token that came with the call."""
        return Secret(self.work.token) if self.work.token else None

    @property
    def reason(self) -> str:
        """Why, and who the caller says confirmed it, for the audit trail."""
        by = f" (confirmed by {self.work.confirmed_by})" if self.work.confirmed_by else ""
        return f"{self.work.reason}{by}"


def perform(work: Work, directory: Path, environ: Mapping[str, str], interrupt: Interrupt) -> Answer:
    """Do a piece of work; whatever happens, there is an answer, and the ledger knows how the job ended."""
    book = JobLog(work)
    register_secret(work.token or "")
    register_url(work.ledger)
    try:
        settings = load(directory, {**environ, ACTOR: work.actor}, {"target": work.target})
        answer = ACTIONS[work.action](JobContext(work, settings, interrupt, book.stage))
    except CiMigrateError as error:
        answer = Answer(
            exit_code=int(error.exit_code), body={"message": hide_secrets("\n".join(error.lines))}
        )
    except Interrupted as error:
        words = f"Interrupted. {UNTOUCHED}"
        answer = Answer(exit_code=128 + error.number, body={"message": words})
    except Exception as error:  # noqa: BLE001 - the boundary of this process: the caller gets an answer, the log the rest
        _log_error()
        words = f"Bug in ci-migrate: {type(error).__name__}. The service's log has more."
        answer = Answer(exit_code=int(ExitCode.BUG), body={"message": words})
    interrupt.defer_signals = True  # from here on a signal is too late
    body = printable(hide_secrets_in(msgspec.to_builtins(answer.body)))
    if "message" in body:
        body["message"] = over_http(body["message"])
    answer = msgspec.structs.replace(answer, body=body)
    book.end(answer)
    return answer


def _log_error() -> None:
    """The traceback, for the service's log."""
    sys.stderr.write(hide_secrets(traceback.format_exc()))


class JobLog:
    """Tells the ledger how a job is doing: the service may be gone. What fails here changes nothing of the work."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._ledger: Ledger | None = None
        self._stages: list[dict[str, Any]] = []

    def stage(self, result: StageResult) -> None:
        """A stage has ended."""
        fields = ("stage", "outcome", "seconds", "message")
        self._stages.append({name: getattr(result, name) for name in fields})
        self._tell(lambda ledger: jobs.progress(ledger, self._work.job_id, self._stages))

    def end(self, answer: Answer) -> None:
        """The job has. Where that can't be written, the service tries again."""
        work = self._work
        self._tell(
            lambda ledger: jobs.end(ledger, work.job_id, status_of(answer), answer.exit_code, answer.body)
        )
        if self._ledger is not None:
            self._ledger.close()

    def _tell(self, write: Callable[[Ledger], object]) -> None:
        if not self._work.job_id:
            return
        try:
            self._ledger = self._ledger or open_ledger(make_url(self._work.ledger), create=False)
            if self._ledger is not None:
                write(self._ledger)
        except CiMigrateError:
            _log_error()


def status_of(answer: Answer) -> JobStatus:
    """How a job with this answer ended."""
    return JobStatus.FINISHED if answer.exit_code == ExitCode.OK else JobStatus.FAILED


# --------------------------------------------------------------------------- the pipeline


def _pipeline(bench: JobContext, verb: Verb, direction: Direction = Direction.UPGRADE) -> Answer:
    work, settings = bench.work, bench.settings
    if work.create_backup is not None:
        sources = {**settings.sources, "auto-backup": f"createBackup={str(work.create_backup).lower()}"}
        settings = replace(settings, auto_backup=work.create_backup, sources=sources)
    back, stamp = direction is Direction.DOWNGRADE, direction is Direction.STAMP
    wanted = Wanted(destination=work.destination, rollback=back, stamp=stamp)
    needed = settings.needs_approval("rollback" if back else "migrate")
    if work.token is not None and not needed:  # then no stage looks at it; whoever sends one means it
        token_fits(settings, bench.token, bench.interrupt, wanted)
    with private_folder() as folder:
        file = Path(folder) / "approval-request.json"
        request = GateRequest(
            verb,
            direction=direction,
            destination=work.destination,
            token=bench.token,
            reason=bench.reason,
            request_file=file,
            done=bench.done,
            purge=work.purge,
        )
        report = gate.run(settings, request, bench.interrupt)
        asked = json.loads(file.read_bytes()) if file.exists() else None
    if work.token is not None and needed and report.plan is not None and report.plan.changes_nothing:
        # nothing is pending, so no stage looked at it; the answer is that of the run, which stands in the ledger
        try:
            token_fits(settings, bench.token, bench.interrupt, wanted)
        except NotApprovedError as error:
            report = gate.add_warnings(report, f"The token was not needed. {error.what}")
    body = body_of(report)
    return Answer(
        exit_code=int(report.exit_code), body=body if asked is None else {**body, "approvalRequest": asked}
    )


def body_of(report: Report) -> dict[str, Any]:
    """What is told of a finished run."""
    digest, report = plan_digest(report), clean_report(report)
    plan, backup, bad = report.plan, report.backup, report.first_bad
    ran = verb_of(report.command).writes and plan is not None and plan.direction is not Direction.STAMP
    body: dict[str, Any] = {
        "message": _message(report),
        "target": report.target,
        "targetVersion": heads(plan.to_heads) if plan else None,
        "migrationsRun": plan.pending if plan and ran and report.exit_code is ExitCode.OK else 0,
        "backupId": backup.backup_id if backup else None,
        "runId": report.run_id,
        "state": report.state.value,
        "seconds": round(report.seconds, 3),
        "warnings": list(report.warnings),
    }
    if bad is not None:
        body["stage"] = bad.stage
    if plan is not None:
        body["planDigest"] = digest
        body["pending"] = [{"revision": r.id, "message": r.message, "file": r.file} for r in plan.revisions]
    names = ("code", "name", "severity", "message", "revision", "file", "line", "acknowledged")
    found = [{name: getattr(f, name) for name in names} for f in report.findings[:FINDINGS]]
    return {**body, "findings": found}


def _message(report: Report) -> str:
    plan, bad = report.plan, report.first_bad
    if report.exit_code is not ExitCode.OK:
        said = bad.message if bad is not None else "Interrupted."
        return "\n".join(dict.fromkeys((said, state_sentence(report), *next_lines(report))))
    if plan is None or plan.changes_nothing:
        return f"Nothing to migrate. {state_sentence(report)}"
    if not verb_of(report.command).writes:
        pending = plural(plan.pending, "migration")
        return f"{pending} pending, up to {heads(plan.to_heads)}. {state_sentence(report)}"
    if plan.direction is Direction.STAMP:
        return f"Database marked, nothing was run. Target version: {heads(plan.to_heads)}"
    back = plan.direction is Direction.DOWNGRADE
    done = "rollback finished" if back else "migration finished"
    ran = "migrations undone" if back else "migrations run"
    saved = f" (backup ID: {report.backup.backup_id})" if report.backup is not None else ""
    return f"Database {done}. Target version: {heads(plan.to_heads)}, {ran}: {plan.pending}{saved}"


def _repair(bench: JobContext) -> Answer:
    work = bench.work
    request = GateRequest(
        VERBS["repair"],
        token=bench.token,
        forward=work.forward,
        accept_foreign=work.accept_foreign,
        reason=bench.reason,
        done=bench.done,
    )
    report = gate.repair(bench.settings, request, bench.interrupt, only_show=work.dry_run)
    result = report.results[-1]
    body = {**body_of(report), "message": "\n".join((result.message, *next_lines(report)))}
    return Answer(exit_code=int(report.exit_code), body={**body, "dryRun": work.dry_run})


# --------------------------------------------------------------------------- looking


def _status(bench: JobContext) -> Answer:
    with open_session(bench.settings, GateRequest(VERBS["status"]), bench.interrupt) as run:
        found = status(run)
    words = [found.diagnosis.words if found.diagnosis is not None else "", found.running, found.trouble]
    told = {"next": over_http(found.next), "exitCode": int(found.exit_code)}
    told["message"] = "\n".join((*filter(None, words), *command_lines(found.commands)))
    return Answer(exit_code=0, body={**clean_value(found), **told})


def _history(bench: JobContext) -> Answer:
    with open_session(bench.settings, GateRequest(VERBS["history"]), bench.interrupt) as run:
        limit = bench.work.limit
        found = run.ledger.history(database_of(run), limit=limit) if run.ledger is not None else ()
    return Answer(exit_code=0, body={"runs": [_run_body(record) for record in found]})


def _run_body(record: RunRecord) -> dict[str, Any]:
    """What is told of a run, without its plan."""
    tables = record.plan.contexts if record.plan is not None else ()
    ways = {"fromHeads": [t.from_heads for t in tables], "toHeads": [t.to_heads for t in tables]}
    return {**clean_value(msgspec.structs.replace(record, plan=None, before=None)), **ways}


def _verify(bench: JobContext) -> Answer:
    with open_session(bench.settings, GateRequest(VERBS["verify"]), bench.interrupt) as run:
        record, differences = verify(run)
    if record is None:
        words = "ci-migrate has not migrated this target yet: nothing to compare with."
        return Answer(exit_code=int(ExitCode.COULD_NOT_TELL), body={"message": words})
    body = {"runId": record.run_id, "differences": differences}
    if differences:
        words = f"Not as run {record.run_id} left it: {'; '.join(differences[:3])}"
        return Answer(exit_code=int(ExitCode.REFUSED), body={**body, "message": words})
    words = f"As run {record.run_id} left it: heads and schema are the same."
    return Answer(exit_code=0, body={**body, "message": words})


def _settle(bench: JobContext) -> Answer:
    """Say what a process that died left, and mend it; only say it where `auto-rollback` is off."""
    settings = bench.settings
    only_show = not settings.auto_rollback
    report = gate.repair(settings, GateRequest(VERBS["repair"]), bench.interrupt, only_show=only_show)
    result = report.results[-1]
    if result.outcome is Outcome.PASSED and result.state is None:
        words = "The process that did it died. There is no unfinished migration in the ledger."
        hint = f"ci-migrate status --target {settings.target}"
        return Answer(exit_code=int(ExitCode.COULD_NOT_TELL), body={"message": f"{words}\n{hint}"})
    died = "The process that migrated died."
    if only_show:
        hint = f"Next: ci-migrate repair --target {settings.target}"
        return Answer(
            exit_code=int(ExitCode.FAILED_DIRTY), body={"message": f"{died} {result.message}\n{hint}"}
        )
    words = f"{died} ci-migrate repair was run: {result.message}"
    ends = {TargetState.AS_BEFORE: ExitCode.FAILED_RESTORED, TargetState.MIGRATED: ExitCode.OK}
    good = result.outcome is Outcome.PASSED
    code = ends.get(report.state, ExitCode.FAILED_DIRTY) if good else report.exit_code
    body = {**body_of(report), "message": words}
    return Answer(exit_code=int(code), body=body)


# --------------------------------------------------------------------------- backups


def backup_body(backup: Backup, *, restored: bool) -> dict[str, Any]:
    """The manifest, with the fields of the manual."""
    body: dict[str, Any] = msgspec.to_builtins(backup)
    return {**body, "restored": restored}


def _backup_create(bench: JobContext) -> Answer:
    work = bench.work
    with open_session(bench.settings, GateRequest(VERBS["backup create"]), bench.interrupt) as run:
        backup = create_backup(run, work.tables, work.migration_version)
    words = f"Backup {backup.backup_id} was made."
    return Answer(exit_code=0, body={**backup_body(backup, restored=False), "message": words})


def _backup_restore(bench: JobContext) -> Answer:
    lost: dict[str, Any] = {}

    def sure(_backup: Backup, rows: dict[str, tuple[int | None, int | None]] | None) -> None:
        lost.update(
            {table: {"before": was, "after": is_now} for table, (was, is_now) in (rows or {}).items()}
        )

    tables = bench.work.tables
    verb = VERBS["backup restore --table" if tables else "backup restore"]
    request = GateRequest(verb, token=bench.token)
    ledger = bench.settings.needs_approval("restore") or None
    with open_session(bench.settings, request, bench.interrupt, ledger=ledger) as run:
        backup = run.catalog.get(bench.work.backup_id)
        words = restore_backup(run, backup, Restoring(sure, tables=tables))
        _note_reason(bench, run, backup.backup_id)
    return Answer(
        exit_code=0, body={**backup_body(backup, restored=True), "message": words, "rowsChanged": lost}
    )


def _backup_losses(bench: JobContext) -> Answer:
    with open_session(bench.settings, GateRequest(VERBS["backup show"]), bench.interrupt) as run:
        found = restore_loss(run.database, run.catalog.get(bench.work.backup_id))
        needed = bool(why_needed(run, Direction.RESTORE))
    rows = [[table, is_now, then] for table, (is_now, then) in found.items()]
    return Answer(exit_code=0, body={"message": "", "rows": rows, "needsToken": needed})


def _backup_prune(bench: JobContext) -> Answer:
    work, settings = bench.work, bench.settings
    keep = settings.keep_backups if work.keep is None else work.keep
    request = GateRequest(VERBS["backup prune"], token=bench.token)
    with open_session(settings, request, bench.interrupt) as run:
        removed = prune_backups(run, keep, sure=not work.dry_run)
        _note_reason(bench, run, ", ".join(b.backup_id for b in removed))
    what = "would be deleted" if work.dry_run else "deleted"
    words = f"{plural(len(removed), 'backup')} {what}; those of the last {plural(keep, 'migration')} stay."
    deleted = [b.backup_id for b in removed]
    return Answer(exit_code=0, body={"message": words, "dryRun": work.dry_run, "deleted": deleted})


def _backup_delete(bench: JobContext) -> Answer:
    request = GateRequest(VERBS["backup delete"], token=bench.token)
    with open_session(bench.settings, request, bench.interrupt) as run:
        backup = delete_backup(run, bench.work.backup_id, sure=True)
        _note_reason(bench, run, backup.backup_id)
    words = f"Backup {backup.backup_id} was deleted."
    return Answer(exit_code=0, body={"backupId": backup.backup_id, "message": words})


def _drop_old(bench: JobContext) -> Answer:
    only_show = bench.work.dry_run
    request = GateRequest(VERBS["backup restore --drop-old"], token=bench.token)
    with open_session(bench.settings, request, bench.interrupt) as run:
        names = drop_old(run, sure=not only_show)
        _note_reason(bench, run, ", ".join(names))
    words = (
        f"{'Would drop' if only_show else 'Dropped'}: {', '.join(names)}."
        if names
        else "No restore kept anything."
    )
    return Answer(exit_code=0, body={"message": words, "dryRun": only_show, "dropped": names})


def _note_reason(bench: JobContext, run: Run, what: str) -> None:
    """Put into the audit trail why something was done, and who the caller says confirmed it."""
    work = bench.work
    if (work.reason or work.confirmed_by) and what and not work.dry_run and run.ledger is not None:
        facts = {"reason": work.reason, "confirmedBy": work.confirmed_by}
        run.ledger.audit("reason given", run.id, destination=what, **facts)


# --------------------------------------------------------------------------- tokens


def _request(bench: JobContext, body: Callable[[Settings, Interrupt, Wanted], dict[str, Any]]) -> Answer:
    return Answer(exit_code=0, body=body(bench.settings, bench.interrupt, bench.work.wanted))


def _generate_token(bench: JobContext) -> Answer:
    work = bench.work
    made = generate_token(
        bench.settings,
        bench.interrupt,
        work.wanted,
        by=work.actor,
        reason=work.reason,
        expected=work.expected,
    )
    if not isinstance(made, str):
        return Answer(exit_code=int(ExitCode.NOT_APPROVED), body={**made, "needsApprovers": True})
    minutes = str(bench.settings.token_validity_minutes)
    return Answer(exit_code=0, body={"token": made, "validityMinutes": minutes})


def _validate_token(bench: JobContext) -> Answer:
    token_fits(bench.settings, bench.token, bench.interrupt, bench.work.wanted)
    return Answer(exit_code=0, body={"valid": True})


ACTIONS: dict[str, Callable[[JobContext], Answer]] = {
    "migrate": lambda bench: _pipeline(bench, VERBS["migrate"]),
    "run": lambda bench: _pipeline(bench, VERBS["run"]),
    "rollback": lambda bench: _pipeline(bench, VERBS["rollback"], Direction.DOWNGRADE),
    "dry-run": lambda bench: _pipeline(bench, VERBS["dry-run"]),
    "plan": lambda bench: _pipeline(bench, VERBS["plan"]),
    "stamp": lambda bench: _pipeline(bench, VERBS["stamp"], Direction.STAMP),
    "repair": _repair,
    "status": _status,
    "history": _history,
    "verify": _verify,
    "backup prune": _backup_prune,
    "settle": _settle,
    "backup create": _backup_create,
    "backup restore": _backup_restore,
    "backup delete": _backup_delete,
    "backup losses": _backup_losses,
    "backup drop-old": _drop_old,
    "token request": lambda bench: _request(bench, request_approval),
    "token show": lambda bench: _request(bench, show_request),
    "token generate": _generate_token,
    "token validate": _validate_token,
}
