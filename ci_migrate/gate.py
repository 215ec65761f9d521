"""The front door: Settings and plugins become a Run, a Run a Report. Command line, pytest and tests enter here."""

import getpass
import os
import shlex
import socket
import time
import traceback
from collections.abc import Collection
from dataclasses import replace

import msgspec

from ci_migrate import __version__
from ci_migrate.approval.commands import go_on_command
from ci_migrate.approval.request import approval_request, write_request
from ci_migrate.approval.trust import ACTOR, commit_of
from ci_migrate.errors import CiMigrateError, DirtyError, ExitCode, RefusedError
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import Outcome, Report, RunRecord, StageResult, TargetState, now
from ci_migrate.pipeline import PIPELINE, WRITING, Interrupted, execute
from ci_migrate.plugins import manager as plugins
from ci_migrate.run.authorization import (
    first_look,
    protection,
    refuse_frozen,
    refuse_other_database,
    why_needed,
)
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run
from ci_migrate.run.superseded import close_superseded
from ci_migrate.session import GateRequest, load_extensions, open_session
from ci_migrate.settings.settings import Settings
from ci_migrate.stages.repair import allowed, fitting, none_fits, situation_of
from ci_migrate.stages.repair import run_stage as repair_stage

ALL = tuple(name for name, _ in PIPELINE)
STAGES = {
    "plan": ("check",),
    "check": ("check",),
    "dry-run": ("check", "backup", "dry-run"),
    "run": ALL,
    "rollback": ALL,
    "migrate": tuple(name for name in ALL if name != "dry-run"),
    # a stamp's old version rows stand in the plan and in the audit trail: no backup holds more of what it changes
    "stamp": ("check", "approve", "migrate", "verify", "repair"),
}
"""Which stages a command consists of."""


def run(settings: Settings, order: GateRequest, interrupt: Interrupt | None = None) -> Report:
    """Walk the pipeline for a command and return the finished report. Raises CiMigrateError before the first stage."""
    if settings.production:
        _refuse_careless(settings, order, settings.production_reason)
    started = time.monotonic()
    report: Report | None = None
    try:
        with open_session(settings, order, interrupt) as (bare_run, manager):
            run_ = bare_run
            if run_.ledger is not None and run_.lock is not None:
                refuse_frozen(run_)
                refuse_unfinished(run_)
                found = protection(run_)
                if found.protected:
                    _refuse_careless(settings, order, f"protected since {found.since[:10]}")
            run_ = _looked_at(run_, manager)
            report = _empty(run_, order)
            if run_.lock is not None:
                _begin(run_, order)
            report = walk(run_, report, manager, order, STAGES[order.command])
            report = msgspec.structs.replace(report, seconds=time.monotonic() - started)
            if run_.lock is not None:
                report = _finish(run_, report)
            approve = report.result("approve")
            if approve is not None and approve.outcome is Outcome.FAILED:
                report = _tell_request(run_, report)
            if approve is not None and approve.outcome is Outcome.FAILED and order.request_file is not None:
                report = _write_request(run_, report, order)
    except Exception as error:
        if report is None or not report.results:
            raise
        # the stages have ended: what fails in giving lock, ledger and copies back does not change what they did
        return add_warnings(report, f"Not all was given back at the end: {words_of_error(error)}")
    return report


def _looked_at(run_: Run, manager: plugins.Manager) -> Run:
    """Look at the token, and only then import the plugins that the repository names.

    Raises:
        RefusedError: they had to be imported before, for an engine or a storage, and this target needs an approval.
    """
    if run_.lock is not None:
        refuse_other_database(run_)
    unfit = first_look(run_)
    if manager.early and why_needed(run_, run_.direction):
        names = ", ".join(run_.settings.plugins)
        raise RefusedError(
            f"Engine or storage come from a plugin that the settings name ({names}), and target "
            f"{run_.settings.target} needs an approval: nothing of the repository may be imported before.",
            hint="Install it as a distribution with the entry point group ci_migrate, and take it out of `plugins`.",
        )
    return replace(load_extensions(run_, manager), unfit=unfit)


def _refuse_careless(settings: Settings, order: GateRequest, why: str) -> None:
    """Raise RefusedError for what nobody may leave out on production; `why` it is one."""
    if order.command == "migrate":
        raise RefusedError(
            f"`migrate` leaves out the dry run; target {settings.target} is a production one ({why}).",
            hint="Use `ci-migrate run`.",
        )
    if settings.dry_run == "off" and order.command in ("run", "rollback"):
        raise RefusedError(
            f"dry-run is off ({settings.sources['dry-run']}), and target {settings.target} is a production one "
            f"({why}).",
            hint='Set dry-run = "backup".',
        )
    if not settings.auto_backup and order.command in ("run", "rollback"):
        raise RefusedError(
            f"auto-backup is off ({settings.sources['auto-backup']}), and target {settings.target} is a production "
            f"one ({why}): there would be nothing to rehearse on, and no way back.",
            hint="Set auto-backup = true.",
        )


def add_warnings(report: Report, *words: str) -> Report:
    """The report with more warnings."""
    return msgspec.structs.replace(report, warnings=(*report.warnings, *words)) if words else report


def words_of_error(error: BaseException) -> str:
    """What happened, in one line."""
    return error.what if isinstance(error, CiMigrateError) else f"{type(error).__name__}: {error}"


def walk(
    run_: Run, report: Report, manager: plugins.Manager, order: GateRequest, wanted: Collection[str]
) -> Report:
    """The pipeline with plugins and ledger around it."""

    def observe(result: StageResult, so_far: Report) -> StageResult:
        findings = plugins.show_after(manager, result, result.plan or so_far.plan)
        return msgspec.structs.replace(result, findings=(*result.findings, *findings)) if findings else result

    warnings: list[str] = []

    def done(result: StageResult) -> StageResult:
        try:
            if run_.ledger is not None and run_.lock is not None:
                run_.ledger.record_stage(run_.subject, result)
        except CiMigrateError as error:
            warnings.append(f"The stage {result.stage} is not in the ledger: {error.what}")
            if result.outcome is Outcome.PASSED and result.stage not in WRITING:
                result = msgspec.structs.replace(
                    result, outcome=Outcome.ERROR, message=error.what, exit_code=int(error.exit_code)
                )
        order.done(result)
        return result

    report = execute(
        run_,
        report,
        wanted=wanted,
        veto=lambda stage, so_far: plugins.ask_before(manager, stage, so_far.plan),
        observe=observe,
        done=done,
    )
    return add_warnings(report, *warnings)


def refuse_unfinished(run_: Run) -> None:
    """An unfinished run of this target must be repaired first.

    Raises:
        DirtyError: there is one; says what state the target is in.
    """
    assert run_.ledger is not None
    record = run_.ledger.unfinished(database_of(run_))
    if record is None:
        return
    diagnosis = situation_of(*resume_run(run_, record)).diagnosis
    raise DirtyError(
        f"Run {record.run_id} of {record.started:%Y-%m-%d %H:%M} UTC did not end: {diagnosis.words}.",
        state=f"The target is left as it is ({diagnosis.found}).",
        hint=f"ci-migrate repair --target {run_.settings.target}   (shows first: --dry-run)",
    )


def resume_run(run_: Run, record: RunRecord) -> tuple[Run, Report]:
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
        results=tuple(
            s for s in stages if s.stage in ("check", "backup", "dry-run") and s.outcome is Outcome.PASSED
        ),
    )
    direction = record.plan.direction if record.plan is not None else run_.direction
    return replace(run_, subject=record.run_id, direction=direction), report


def repair(
    settings: Settings, order: GateRequest, interrupt: Interrupt | None = None, *, only_show: bool = False
) -> Report:
    """Mend what an unfinished run left; with `only_show` say what would be done."""
    with open_session(settings, order, interrupt, ledger=not only_show) as (bare_run, manager):
        opened_run = load_extensions(bare_run, manager)
        record = (
            opened_run.ledger.unfinished(database_of(opened_run)) if opened_run.ledger is not None else None
        )
        if record is None:
            result = StageResult(
                stage="repair",
                outcome=Outcome.PASSED,
                message="There is no unfinished run: nothing to repair.",
            )
            return _empty(opened_run, order).plus(result)
        later = opened_run.ledger.later_change(record.run_id) if opened_run.ledger is not None else None
        if later is not None:
            result = close_superseded(opened_run, record, later, only_show=only_show)
            if only_show:
                order.tell(result.message)
            else:
                order.done(result)
            return _empty(opened_run, order).plus(result)
        run_, report = resume_run(opened_run, record)
        shown = msgspec.structs.replace(_empty(run_, order), run_id=record.run_id)
        if only_show:
            would = _shown(run_, report)
            order.tell(would.message)
            return shown.plus(would)
        if (
            record.phase != "repairing"
        ):  # then a restore may have swapped the database and died before it said so
            refuse_other_database(run_)
        run_.interrupt.defer_signals = True  # from here on a signal waits for a statement boundary
        result = repair_stage(run_, report)
        order.done(result)
        assert run_.ledger is not None
        run_.ledger.record_stage(record.run_id, result)
        if result.outcome is Outcome.PASSED:
            run_.ledger.finish_run(
                record.run_id,
                exit_code=0,
                state=(result.state or TargetState.UNKNOWN).value,
                needs_repair=False,
            )
        run_.ledger.audit("repaired", record.run_id, outcome=result.outcome.value, words=result.message)
        number = run_.interrupt.number
        shown = msgspec.structs.replace(shown, interrupted=128 + number if number else None)
        return shown.plus(result)


def _shown(run_: Run, report: Report) -> StageResult:
    """The repair as a plan: what is found, and what would be done."""
    situation = situation_of(run_, report)
    plans = [words for _, words in fitting(allowed(run_), situation)]
    found = f"Found: {situation.diagnosis.words}."
    message = f"{found} Repair would {plans[0]}." if plans else f"{found} {none_fits(situation)}"
    return StageResult(
        stage="repair",
        outcome=Outcome.SKIPPED,  # nothing was done, and nothing is proved
        message=message,
        state=TargetState.UNKNOWN,
        diagnosis=situation.diagnosis,
    )


def _empty(run_: Run, order: GateRequest) -> Report:
    return Report(
        run_id=run_.id,
        command=order.command,
        target=run_.settings.target,
        place=run_.database.identity().place,
        started=now(),
        version=__version__,
    )


def _begin(run_: Run, order: GateRequest) -> None:
    assert run_.ledger is not None
    identity = run_.database.identity()
    run_.ledger.pin_identity(identity)
    refuse_other_database(run_)
    started = now()
    for last in run_.ledger.history(run_.ledger.database_id(identity), limit=1):
        if last.started > started:
            run_.tell(
                f"A clock was put back: it is {started:%Y-%m-%d %H:%M:%S} UTC here, and run {last.run_id} began at "
                f"{last.started:%Y-%m-%d %H:%M:%S}. History and backups go by their numbers, not by time."
            )
    run_.ledger.begin_run(
        RunRecord(
            run_id=run_.id,
            target=run_.settings.target,
            command=run_.command,
            started=started,
            pid=os.getpid(),
            host=socket.gethostname(),
            actor=actor(run_.settings),
        ),
        identity,
    )
    if order.reason:
        run_.ledger.audit("reason given", run_.id, reason=order.reason, destination=run_.destination)


def _finish(run_: Run, report: Report) -> Report:
    """Close the run in the ledger; what fails here is a warning, the outcome stays what it is."""
    assert run_.ledger is not None
    migrated = report.result("migrate")
    touched = migrated is not None and migrated.outcome is not Outcome.SKIPPED
    unproved = touched and report.state is TargetState.UNKNOWN
    try:
        run_.ledger.finish_run(
            run_.subject, exit_code=int(report.exit_code), state=report.state.value, needs_repair=unproved
        )
        run_.ledger.audit(
            "run ended", run_.subject, exit_code=int(report.exit_code), state=report.state.value
        )
    except CiMigrateError as error:
        return add_warnings(report, f"The ledger could not be closed: {error.what}")
    return report


def _tell_request(run_: Run, report: Report) -> Report:
    """That an approval was asked for, and for what, in the audit trail."""
    assert report.plan is not None
    assert run_.ledger is not None
    facts = {"planDigest": report.plan.digest, "direction": report.plan.direction, "by": actor(run_.settings)}
    try:
        run_.ledger.audit("approval requested", run_.id, **facts)
    except CiMigrateError as error:
        return add_warnings(report, error.what)
    return report


def _write_request(run_: Run, report: Report, order: GateRequest) -> Report:
    """approval-request.json; one that can't be written is a warning: the message says how to approve all the same."""
    assert report.plan is not None
    assert order.request_file is not None
    command = shlex.join(go_on_command(report.plan))
    try:
        request = approval_request(
            report.plan,
            report.evidence,
            report.findings,
            report.target,
            command,
            target_uuid="" if run_.ledger is None else run_.ledger.uuid,
            requester=actor(run_.settings),
            commit=commit_of(run_.settings.environ),
            validity_minutes=run_.settings.token_validity_minutes,
        )
        write_request(request, order.request_file)
    except CiMigrateError as error:
        return add_warnings(report, error.what)
    return report


def actor(settings: Settings) -> str:
    """Who started this: who called over HTTP, the CI's actor, else the user of this machine."""
    for name in (ACTOR, "GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if settings.environ.get(name):
            return settings.environ[name]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def error_report(command: str, target: str, error: BaseException) -> Report:
    """The report of a run that ended before its first stage: refused, broken, or interrupted."""
    exit_code, interrupted = ExitCode.BUG, None
    message, details = f"Bug in ci-migrate: {type(error).__name__}: {error}", ""
    if isinstance(error, CiMigrateError):
        exit_code = error.exit_code
        message = "\n".join(line for line in (error.what, error.hint) if line)
    elif isinstance(error, Interrupted):
        exit_code = ExitCode(128 + error.number)
        interrupted, message = 128 + error.number, "Interrupted before the first stage."
    else:
        details = "".join(traceback.format_exception(error))
    failed = exit_code in (ExitCode.REFUSED, ExitCode.NOT_APPROVED, ExitCode.LOCKED)
    result = StageResult(
        stage="check",
        outcome=Outcome.FAILED if failed else Outcome.ERROR,
        message=message,
        details=details,
        exit_code=int(exit_code),
        state=TargetState.UNKNOWN if exit_code is ExitCode.FAILED_DIRTY else TargetState.UNTOUCHED,
    )
    return Report(
        run_id="",
        command=command,
        target=target,
        started=now(),
        version=__version__,
        results=(result,),
        interrupted=interrupted,
    )
