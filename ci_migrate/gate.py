"""The front door: Settings and plugins become a Run, a Run becomes a Report. Command line, pytest and tests enter here."""

import getpass
import os
import secrets as random_secrets
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote_plus

import msgspec
import pluggy
from sqlalchemy import URL, make_url

from ci_migrate import __version__, plugins
from ci_migrate.approval import ConfirmationApprover
from ci_migrate.approval_request import approval_request, write_request
from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.storage import open_storage
from ci_migrate.databases.base import Database, SessionOptions
from ci_migrate.errors import CiMigrateError, DirtyError, ExitCode, RefusedError, UsageError
from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.ledger.place import ledger_url
from ci_migrate.migrations.graph import ask_url
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.runner import Launch, Workers, base_request
from ci_migrate.model import (
    Direction,
    Outcome,
    Report,
    RunRecord,
    StageResult,
    TargetState,
    now,
)
from ci_migrate.pipeline import PIPELINE, execute
from ci_migrate.settings import Secret, Settings
from ci_migrate.stages.base import Run
from ci_migrate.stages.repair import situation_of

ALL = tuple(name for name, _ in PIPELINE)
STAGES = {
    "plan": ("check",),
    "check": ("check",),
    "dry-run": ("check", "backup", "dry-run"),
    "run": ALL,
    "rollback": ALL,
    "migrate": tuple(name for name in ALL if name != "dry-run"),
}
"""Which stages a command consists of."""

WRITES = ("run", "migrate", "rollback", "repair", "restore")
"""Commands that hold the run lock and create the ledger."""


@dataclass(frozen=True)
class Order:
    """What a command asks of the gate, apart from the settings."""

    command: str
    direction: Direction = Direction.UPGRADE
    destination: str | None = None
    token: Secret | None = None
    tell: Callable[[str], None] = field(default=lambda _text: None)
    done: Callable[[StageResult], None] = field(default=lambda _result: None)
    request_file: Path | None = None  # where approval-request.json goes


def new_run_id() -> str:
    """Short, unique, sorts by time, fit for a database's name."""
    return f"{time.strftime('%Y%m%d%H%M%S', time.gmtime())}_{random_secrets.token_hex(3)}"


# --------------------------------------------------------------------------- opening


@contextmanager
def opened(
    settings: Settings, order: Order, interrupt: Interrupt | None = None, *, ledger: bool | None = None
) -> Iterator[tuple[Run, pluggy.PluginManager]]:
    """A Run on the target of these settings: database, lock, ledger, workers; all given back at the end.

    Args:
        settings: for one target.
        order: what is asked.
        interrupt: set by signal handlers.
        ledger: whether to create the ledger; None decides by the command.

    Raises:
        CiMigrateError: something of it can't be had; nothing was touched.
    """
    run_id = new_run_id()
    interrupt = interrupt or Interrupt()
    manager = plugins.create_manager(settings.plugins, settings.project_dir)
    writes = order.command in WRITES
    with ExitStack() as stack:
        url = target_url(settings, interrupt)
        options = SessionOptions(
            application_name=f"ci-migrate/{run_id}",
            lock_timeout=settings.lock_timeout,
            statement_timeout=settings.statement_timeout,
            client_tools=str(settings.client_tools) if settings.client_tools else None,
        )
        database = plugins.make_database(manager, url, options)
        refuse_unknown_host(settings, database)
        reader = database
        if settings.read_url is not None:
            reader = plugins.make_database(manager, make_url(settings.resolve_read_url()), options)
        database.ping()
        lock = stack.enter_context(database.lock(run_id, settings.run_lock_timeout)) if writes else None
        launch = _launch(settings, url, lock.fd if lock is not None else None)
        workers = Workers(launch, interrupt)
        stack.callback(workers.close)
        book = open_ledger(ledger_url(url, settings.resolve_state()), create=writes if ledger is None else ledger)
        if book is not None:
            stack.callback(book.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ci-migrate-")))
        if writes:
            database.sweep()
        yield (
            Run(
                id=run_id,
                subject=run_id,
                command=order.command,
                settings=settings,
                direction=order.direction,
                destination=order.destination or settings.to,
                database=database,
                reader=reader,
                workers=workers,
                interrupt=interrupt,
                scratch_folder=folder,
                catalog=Catalog(open_storage(settings.backup_dir, settings.project_dir)),
                ledger=book,
                lock=lock,
                checks=plugins.unique(plugins.collected(manager.hook.ci_migrate_checks(settings=settings)), "code"),
                repairs=plugins.unique(plugins.collected(manager.hook.ci_migrate_repairs(settings=settings)), "name"),
                approvers=lambda plan: [
                    ConfirmationApprover(_need(book), order.token.reveal() if order.token else None, run_id),
                    *plugins.collected(manager.hook.ci_migrate_approvals(plan=plan, settings=settings)),
                ],
                token=order.token,
                tell=order.tell,
            ),
            manager,
        )


def target_url(settings: Settings, interrupt: Interrupt | None = None) -> URL:
    """The target's URL: from the settings, or asked of env.py (its connection is refused)."""
    if settings.url is not None:
        return make_url(settings.resolve_url())
    workers = Workers(_launch(settings, None, None), interrupt)
    request = base_request(
        ini=settings.alembic_config,
        toml=settings.alembic_toml,
        section=settings.alembic_name,
        x=settings.x,
        configure=settings.configure,
    )
    return ask_url(workers, {**request, "direction": "upgrade", "destination": settings.to})


def _launch(settings: Settings, url: URL | None, lock_fd: int | None) -> Launch:
    environ = {k: v for k, v in settings.environ.items() if k != "CI_MIGRATE_TOKEN"}
    password = url.password if url is not None else None
    known = {str(password), quote_plus(str(password))} if password else set()
    return Launch(
        python=str(settings.python),
        directory=settings.project_dir,
        environ=environ,
        lock_fd=lock_fd,
        stall_timeout=settings.stall_timeout,
        secrets=tuple(sorted(known, key=len, reverse=True)),
    )


def refuse_unknown_host(settings: Settings, database: Database) -> None:
    """Without settings only files and this machine's own servers are migrated.

    Raises:
        RefusedError: the URL came from env.py and names another host.
    """
    if settings.url is not None or not database.capabilities.remote:
        return
    host = database.url.host or ""
    if host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/"):
        return
    raise RefusedError(
        f"env.py connects to host {host}, and no settings say what that database is.",
        hint='Define a target: [tool.ci-migrate.targets.NAME] url = "env:DATABASE_URL", tags = [...]',
    )


def _need(ledger: Ledger | None) -> Ledger:
    if ledger is None:
        raise UsageError("There is no ledger yet.", hint="ci-migrate run makes it.")
    return ledger


# --------------------------------------------------------------------------- running


def run(settings: Settings, order: Order, interrupt: Interrupt | None = None) -> Report:
    """Walk the pipeline for a command and return the finished report. Raises CiMigrateError before the first stage."""
    if order.command == "migrate" and settings.production:
        raise RefusedError(
            f"`migrate` leaves out the dry run; target {settings.target} is a production one "
            f"({settings.production_reason}).",
            hint="Use `ci-migrate run`.",
        )
    started = time.monotonic()
    with opened(settings, order, interrupt) as (run_, manager):
        if run_.ledger is not None and run_.lock is not None:
            refuse_unfinished(run_)
        report = Report(
            run_id=run_.id,
            command=order.command,
            target=settings.target,
            place=run_.database.identity().place,
            started=now(),
            version=__version__,
        )
        if run_.lock is not None:
            _begin(run_)
        report = walk(run_, report, manager, order, STAGES[order.command])
        report = msgspec.structs.replace(report, seconds=time.monotonic() - started)
        if run_.lock is not None:
            report = _finish(run_, report)
        approve = report.result("approve")
        if approve is not None and approve.outcome is Outcome.FAILED and order.request_file is not None:
            _write_request(report, order)
        return report


def walk(
    run_: Run, report: Report, manager: pluggy.PluginManager, order: Order, wanted: Collection[str]
) -> Report:
    """The pipeline with plugins and ledger around it."""

    def observe(result: StageResult, so_far: Report) -> StageResult:
        findings = plugins.show_after(manager, result, result.plan or so_far.plan)
        return msgspec.structs.replace(result, findings=(*result.findings, *findings)) if findings else result

    def done(result: StageResult) -> None:
        if run_.ledger is not None and run_.lock is not None:
            run_.ledger.record_stage(run_.subject, result)
        order.done(result)

    return execute(
        run_,
        report,
        wanted=wanted,
        veto=lambda stage, so_far: plugins.ask_before(manager, stage, so_far.plan),
        observe=observe,
        done=done,
    )


def refuse_unfinished(run_: Run) -> None:
    """An unfinished run of this target must be repaired first.

    Raises:
        DirtyError: there is one; says what state the target is in.
    """
    assert run_.ledger is not None
    record = run_.ledger.unfinished(run_.settings.target)
    if record is None:
        return
    diagnosis = situation_of(*resumed(run_, record)).diagnosis
    raise DirtyError(
        f"Run {record.run_id} of {record.started:%Y-%m-%d %H:%M} UTC did not end: {diagnosis.words}.",
        state=f"The target is left as it is ({diagnosis.found}).",
        hint=f"ci-migrate repair --target {run_.settings.target}   (shows first: --dry-run)",
    )


def resumed(run_: Run, record: RunRecord) -> tuple[Run, Report]:
    """The run and report with which an earlier run is repaired: its plan, backup and evidence."""
    assert run_.ledger is not None
    stages = run_.ledger.stages(record.run_id)
    report = Report(
        run_id=record.run_id,
        command="repair",
        target=record.target,
        place=run_.database.identity().place,
        started=now(),
        version=__version__,
        results=tuple(s for s in stages if s.stage in ("check", "backup", "dry-run") and s.outcome is Outcome.PASSED),
    )
    direction = record.plan.direction if record.plan is not None else run_.direction
    return replace(run_, subject=record.run_id, direction=direction), report


def _begin(run_: Run) -> None:
    assert run_.ledger is not None
    identity = run_.database.identity()
    run_.ledger.pin_identity(identity)
    differences = run_.ledger.identity_differences(identity)
    if differences:
        raise RefusedError(
            f"This ledger belongs to another database: {'; '.join(differences)}.",
            hint="Is the URL right? If the database was moved on purpose, give it a ledger of its own (`state`).",
        )
    run_.ledger.begin_run(
        RunRecord(
            run_id=run_.id,
            target=run_.settings.target,
            command=run_.command,
            started=now(),
            pid=os.getpid(),
            host=socket.gethostname(),
            actor=actor(run_.settings),
        )
    )
    run_.ledger.audit("run started", run_.id, command=run_.command, target=run_.settings.target)


def _finish(run_: Run, report: Report) -> Report:
    """Close the run in the ledger; what fails here is a warning, the outcome stays what it is."""
    assert run_.ledger is not None
    unproved = report.state is TargetState.UNKNOWN and report.result("migrate") is not None
    try:
        run_.ledger.finish_run(
            run_.subject, exit_code=int(report.exit_code), state=report.state.value, needs_repair=unproved
        )
        run_.ledger.audit("run ended", run_.subject, exit_code=int(report.exit_code), state=report.state.value)
    except CiMigrateError as error:
        warning = f"The ledger could not be closed: {error.what}"
        return msgspec.structs.replace(report, warnings=(*report.warnings, warning))
    return report


def _write_request(report: Report, order: Order) -> None:
    assert report.plan is not None
    assert order.request_file is not None
    command = f"ci-migrate run --target {report.target} --token-file FILE"
    request = approval_request(report.plan, report.evidence, report.findings, report.target, command)
    write_request(request, order.request_file)


def actor(settings: Settings) -> str:
    """Who started this: the CI's actor, else the user of this machine."""
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if settings.environ.get(name):
            return settings.environ[name]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def error_report(command: str, target: str, error: CiMigrateError) -> Report:
    """The report of a run that ended before its first stage."""
    failed = error.exit_code in (ExitCode.REFUSED, ExitCode.NOT_APPROVED, ExitCode.LOCKED)
    result = StageResult(
        stage="check",
        outcome=Outcome.FAILED if failed else Outcome.ERROR,
        message="\n".join(line for line in (error.what, error.hint) if line),
        exit_code=int(error.exit_code),
        state=TargetState.UNKNOWN if error.exit_code is ExitCode.FAILED_DIRTY else TargetState.UNTOUCHED,
    )
    return Report(
        run_id="", command=command, target=target, started=now(), version=__version__, results=(result,)
    )
