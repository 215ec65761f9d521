"""`ci-migrate doctor`: small examinations of the gate on this machine, each with what would mend what it finds."""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sqlalchemy import make_url

from ci_migrate.approval.requester import in_ci
from ci_migrate.approval.trust import VARIABLE, dies_with_job, trust_lines
from ci_migrate.databases.base import KnowsRights, KnowsTools
from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.composite.names import MAIN
from ci_migrate.databases.own_server import RunsServers
from ci_migrate.errors import CiMigrateError, ToolError
from ci_migrate.ledger.ledger import ledger_url
from ci_migrate.ledger.tamper import find_tampering
from ci_migrate.migrations.graph import are_branches
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import Frozen, now, plural
from ci_migrate.process import run_tool
from ci_migrate.run.approvals import protection
from ci_migrate.run.inputs import look_at_target
from ci_migrate.run.run import Run
from ci_migrate.run.version_rows import refuse_rows
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.files import folders_upwards
from ci_migrate.settings.kinds import EMBEDDED
from ci_migrate.settings.settings import Settings
from ci_migrate.tempdirs import OWN
from ci_migrate.verbs import VERBS

MAX_SKEW = 5.0
"""Seconds between this machine's clock and the ledger's that nobody needs to care about."""


EXTRAS: Mapping[str, tuple[str, str]] = {
    "postgresql": ("psycopg", "postgresql"),
    "mysql": ("pymysql", "mysql"),
    "mariadb": ("pymysql", "mysql"),
}
"""The driver that our own sessions need, and the extra that has it, by SQLAlchemy's name of the engine."""


class Health(StrEnum):
    """How an examination ended: only a bad one makes the exit code 1."""

    GOOD = "good"
    ADVICE = "advice"
    BAD = "bad"


class Examined(Frozen, frozen=True, kw_only=True):
    """What one examination found. `fix` is what to do, "" where nothing is."""

    name: str
    health: Health
    words: str
    fix: str = ""


@dataclass(frozen=True)
class DoctorContext:
    """What is examined. `run` is None where the target could not be opened, `trouble` says why."""

    settings: Settings
    run: Run | None
    trouble: CiMigrateError | None = None

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables of the process."""
        return self.settings.environ

    @property
    def in_ci(self) -> bool:
        """Whether this is a CI's job."""
        return in_ci(self.environ)

    @property
    def guarded(self) -> bool:
        """Whether it is a production target, or its ledger says that it is protected."""
        return self.settings.production or (self.run is not None and protection(self.run).protected)

    def dies_with_job(self, place: Path) -> bool:
        """Whether a place is in the checkout of a CI's job, which is thrown away."""
        return dies_with_job(self.environ, self.settings.project_dir, place)


Examination = Callable[[DoctorContext], Examined | None]
"""None: there is nothing to examine."""


def examine(settings: Settings, interrupt: Interrupt | None = None) -> tuple[Examined, ...]:
    """All examinations, in their order; one that can't tell says so."""
    with _patient(settings, interrupt) as patient:
        return tuple(found for one in EXAMINATIONS if (found := _examine(one, patient)) is not None)


@contextmanager
def _patient(settings: Settings, interrupt: Interrupt | None) -> Iterator[DoctorContext]:
    context = open_session(settings, GateRequest(VERBS["doctor"]), interrupt)
    # entered by hand: that it can't be opened is a finding, and must not be mistaken for what an examination raises
    try:
        run = context.__enter__()
    except CiMigrateError as error:
        yield DoctorContext(settings, None, error)
        return
    try:
        yield DoctorContext(settings, run)
    finally:
        context.__exit__(None, None, None)


def _examine(one: Examination, patient: DoctorContext) -> Examined | None:
    try:
        return one(patient)
    except CiMigrateError as error:
        if patient.trouble is not None and error.what == patient.trouble.what:
            return None  # that is told of the target
        name = one.__name__.replace("_", " ")
        return Examined(name=name, health=Health.BAD, words=error.what, fix=error.hint)


def _good(name: str, words: str) -> Examined:
    return Examined(name=name, health=Health.GOOD, words=words)


def _advice(name: str, words: str, fix: str) -> Examined:
    return Examined(name=name, health=Health.ADVICE, words=words, fix=fix)


def _bad(name: str, words: str, fix: str) -> Examined:
    return Examined(name=name, health=Health.BAD, words=words, fix=fix)


# --------------------------------------------------------------------------- examinations


def target(patient: DoctorContext) -> Examined:
    """Whether the target answers."""
    if patient.trouble is not None:
        return _bad("target", patient.trouble.what, patient.trouble.hint)
    assert patient.run is not None
    return _good("target", f"{patient.settings.target}: {patient.run.database.identity().place} answers")


def extras(patient: DoctorContext) -> Examined:
    """Whether the libraries are installed that these settings need."""
    needed = []
    if patient.settings.url is not None:
        needed += [EXTRAS.get(make_url(patient.settings.resolve_url()).get_backend_name(), ("", ""))]
    if patient.settings.backup_dir.startswith("s3://"):
        needed += [("boto3", "s3")]
    if patient.settings.backup_recipients:
        needed += [("pyrage", "encryption")]
    if trust_named(patient):
        needed += [("cryptography", "approval")]
    missing = [extra for module, extra in needed if module and importlib.util.find_spec(module) is None]
    if missing:
        names = ",".join(missing)
        return _bad("extras", f"not installed: {', '.join(missing)}", f"pip install 'ci-migrate[{names}]'")
    return _good("extras", "all that these settings need is installed")


def trust_named(patient: DoctorContext) -> bool:
    """Whether approvers are registered, in the variable or in the ledger."""
    return bool(patient.environ.get(VARIABLE)) or (
        patient.run is not None and bool(protection(patient.run).rules.approvers)
    )


def scripts(patient: DoctorContext) -> Examined | None:
    """Whether env.py and the revision scripts can be loaded, and lead to this target."""
    if patient.run is None:
        return None
    missing = _missing_greenlet(patient.settings)
    if missing:
        return _bad("scripts", missing, "pip install 'sqlalchemy[asyncio]' in the project's environment")
    plan, seen = look_at_target(patient.run)
    refuse_rows(patient.run, seen, plan)
    heads = plan.script_heads
    if len(heads) > 1 and patient.run.destination == "head":
        branches = seen.graph is not None and are_branches(seen.graph)
        fix = 'set to = "heads", or to = "LABEL@head"' if branches else "alembic merge heads"
        return _bad("scripts", f"they have {len(heads)} heads: {', '.join(heads)}", fix)
    pending = plural(plan.pending, "revision")
    return _good("scripts", f"env.py connects to the target, which has {pending} to run")


def _missing_greenlet(settings: Settings) -> str:
    """SQLAlchemy 2.1 does not bring along what an asynchronous env.py needs."""
    folders = [settings.project_dir, *(f.parent for f in (settings.alembic_config,) if f is not None)]
    files = [file for folder in folders for file in (*folder.glob("env.py"), *folder.glob("*/env.py"))]
    if not any("async_engine" in file.read_text(errors="replace") for file in files):
        return ""
    try:
        run_tool([str(settings.python), "-c", "import greenlet"], timeout=30)
    except ToolError:
        return f"env.py is asynchronous, and {settings.python} has no greenlet"
    return ""


def scratch_copies(patient: DoctorContext) -> Examined | None:
    """Whether the role may make the copies that a rehearsal needs, or a server of our own for them starts."""
    run = patient.run
    if run is None or not isinstance(run.copies, KnowsRights):
        return None
    if patient.settings.scratch == EMBEDDED:
        main = members_of(run.database)[MAIN]
        if not isinstance(main, RunsServers):
            return _bad(
                "scratch copies", f"there is no server of our own for {main.dialect}", 'scratch = "server"'
            )
        with main.new_server():
            return _good("scratch copies", "a server of our own starts here")
    url = patient.settings.resolve_scratch_url()
    if url is None or run.open_database is None:
        run.copies.refuse_scratch()
        return _good("scratch copies", "the role may make them")
    place = run.open_database(make_url(url))
    place.ping()
    if isinstance(place, KnowsRights):
        place.refuse_scratch()
    return _good("scratch copies", f"the role may make them on {place.identity().place}")


def examine_ignored(patient: DoctorContext) -> Examined | None:
    """Whether backups, which hold people's data, could get into the repository."""
    place = patient.settings.backup_dir
    folder = patient.settings.project_dir
    if "://" in place or not any((f / ".git").exists() for f in folders_upwards(folder)):
        return None
    if OWN in Path(place).parts:
        return _good("git", f"{OWN}/ ignores itself")
    try:
        run_tool(["git", "-C", str(folder), "check-ignore", "-q", "--", f"{place}/x"], timeout=30)
    except ToolError:
        if any((f / ".git").exists() for f in folders_upwards(Path(place).resolve())):
            return _advice(
                "git",
                f"{place} holds copies of the data and is not ignored",
                "Take it out of backup-dir, or add it to .gitignore.",
            )
    return _good("git", "backups stay out of the repository")


def client_tools(patient: DoctorContext) -> Examined | None:
    """Whether the engine's own programs are there, and new enough."""
    if patient.run is None or not isinstance(patient.run.database, KnowsTools):
        return None
    return _good("client tools", patient.run.database.client_programs())


def trust(patient: DoctorContext) -> Examined:
    """Where approvers are trusted from, and who could change that."""
    lines = trust_lines(patient.environ, patient.settings.project_dir)
    if lines:
        return _good("trust", f"{plural(len(lines), 'approver')} from {VARIABLE}")
    return _good("trust", f"{VARIABLE} is not set: approvers are those that the ledger knows")


def examine_protection(patient: DoctorContext) -> Examined | None:
    """Whether the database knows that it is production, and by whom it is approved."""
    if patient.run is None:
        return None
    found = protection(patient.run)
    name = patient.settings.target
    if found.frozen:
        return _advice(
            "protection", f"frozen: {found.frozen}", f"ci-migrate protect --target {name} --unfreeze"
        )
    if not patient.guarded:
        return _good("protection", "not a production target")
    command = f"ci-migrate protect --target {name} --approver 'NAME ssh-ed25519 AAAA...'"
    if not found.protected:
        return _advice(
            "protection",
            "only the repository's settings say that it is production: its author can edit them",
            command,
        )
    if not found.rules.approvers:
        return _advice(
            "protection",
            "protected, with confirmation tokens: whoever reaches the ledger can confirm",
            command,
        )
    people = f"{plural(len(found.rules.approvers), 'approver')}, {found.rules.min_approvals} needed"
    return _good("protection", f"protected since {found.since[:10]}: {people}")


def identity(patient: DoctorContext) -> Examined | None:
    """Whether the ledger belongs to this database."""
    run = patient.run
    if run is None or run.ledger is None:
        return None
    differences = run.ledger.identity_differences(run.database.identity())
    if differences:
        fix = f"If it was moved: ci-migrate protect --target {patient.settings.target} --accept-identity"
        return _bad("identity", f"the ledger belongs to another database: {'; '.join(differences)}", fix)
    return _good("identity", "the ledger belongs to this database")


def clocks(patient: DoctorContext) -> Examined | None:
    """How far this machine's clock is from the ledger's, by which expiry is judged."""
    if patient.run is None or patient.run.ledger is None:
        return None
    before = now()
    there = patient.run.ledger.clock()
    # from both sides: the time that the question took is no skew
    skew = max(0.0, (before - there).total_seconds(), (there - now()).total_seconds())
    if skew > MAX_SKEW:
        return _bad(
            "clocks", f"{skew:.0f} s between this machine and the ledger's server", "Set both by NTP."
        )
    return _good("clocks", "this machine and the ledger's server agree")


def ledger_place(patient: DoctorContext) -> Examined | None:
    """Whether the ledger outlives this job."""
    if patient.run is None:
        return None
    url = ledger_url(patient.run.database.url, patient.settings.resolve_state())
    if url.get_backend_name() == "sqlite" and patient.dies_with_job(Path(str(url.database))):
        return _bad(
            "ledger",
            f"{url.database} is in the job's checkout and dies with it: so do approvals, used tokens and the journal",
            'Set state = "URL" of a database that stays.',
        )
    return _good(
        "ledger", patient.run.ledger.place if patient.run.ledger is not None else "none yet: run makes it"
    )


def backups_place(patient: DoctorContext) -> Examined:
    """Whether backups outlive this job."""
    place = patient.settings.backup_dir
    if "://" not in place and patient.guarded and patient.dies_with_job(Path(place)):
        return _bad(
            "backups",
            f"{place} is in the job's checkout and dies with it",
            'Set backup-dir = "s3://bucket/prefix".',
        )
    if "://" not in place:
        folder = patient.settings.project_dir / Path(place).expanduser()
        there = next(p for p in (folder, *folder.parents) if p.exists())
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK, effective_ids=True)):
            return _bad(
                "backups",
                f"nothing can be written to {there}",
                "Let the user that this runs as write there, or set backup-dir to a folder of theirs.",
            )
    return _good("backups", place if "://" not in place else place.partition("://")[0] + "://...")


def before_approval(patient: DoctorContext) -> Examined | None:
    """Whether scripts of the repository meet credentials that may write before anybody approved them."""
    run = patient.run
    if run is None or not patient.guarded or not run.database.capabilities.remote:
        return None
    if patient.settings.read_url is None:
        return _advice(
            "before approval",
            "env.py and revisions of the repository get the target's password in check and dry run, unapproved",
            'Set read-url = "env:DATABASE_READ_URL", a role without the right to write.',
        )
    return _good("before approval", "until approved, scripts meet read-url only")


def examine_environment(patient: DoctorContext) -> Examined | None:
    """What can be seen of the CI's own protection of this job."""
    if not patient.in_ci or not patient.guarded:
        return None
    environ = patient.environ
    if "GITLAB_CI" in environ:
        shown = environ.get("CI_COMMIT_REF_PROTECTED", "")
        where = f"environment {environ.get('CI_ENVIRONMENT_NAME') or 'none'}"
        fix = "Protect the branch, and make the password a protected variable."
    elif "GITHUB_ACTIONS" in environ:
        shown = environ.get("GITHUB_REF_PROTECTED", "")
        where = f"event {environ.get('GITHUB_EVENT_NAME', 'unknown')}"
        fix = "Protect the branch, and keep the password in an environment that only it may use."
    else:
        return None
    if shown != "true":
        return _bad("protected branch", f"this job reaches production from an unprotected ref ({where})", fix)
    return _good("protected branch", f"the ref is protected ({where}); more can't be seen from inside a job")


def audit_trail(patient: DoctorContext) -> Examined | None:
    """Whether the audit trail is whole, and the tables say what it says."""
    if patient.run is None or patient.run.ledger is None:
        return None
    wrong = find_tampering(patient.run.ledger)
    if wrong:
        return _bad("audit trail", "; ".join(wrong[:3]), "Compare it with an export that is kept elsewhere.")
    return _good("audit trail", "whole")


EXAMINATIONS: tuple[Examination, ...] = (
    target,
    extras,
    scripts,
    client_tools,
    scratch_copies,
    examine_ignored,
    trust,
    examine_protection,
    identity,
    clocks,
    ledger_place,
    backups_place,
    before_approval,
    examine_environment,
    audit_trail,
)
