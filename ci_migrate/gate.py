"""The front door: Settings and plugins become a Run, a Run a Report. Command line, pytest and tests enter here."""

import getpass
import os
import shlex
import socket
import time
import traceback
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec

from ci_migrate import __version__
from ci_migrate.approval.command_lines import go_on_command
from ci_migrate.approval.payload import BEFORE_WRITING
from ci_migrate.approval.request import approval_request, write_request
from ci_migrate.approval.requester import ACTOR, commit_of
from ci_migrate.errors import CiMigrateError, DirtyError, ExitCode, RefusedError, UsageError
from ci_migrate.ledger.audit import REASON
from ci_migrate.ledger.tables import printable
from ci_migrate.migrations.graph import relative
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import (
    Diagnosis,
    Outcome,
    Purpose,
    Report,
    RunRecord,
    StageResult,
    TargetState,
    as_hint,
    now,
)
from ci_migrate.pipeline import WRITING, Interrupted, execute
from ci_migrate.plugins import manager as plugins
from ci_migrate.repairs.choice import explain_none, find_fitting, is_permitted, list_next_commands
from ci_migrate.repairs.context import RepairContext
from ci_migrate.run.authorization import (
    UnfinishedError,
    admit,
    ask_at_stage,
    asks,
    first_look,
    permitted_ways,
    refuse_careless,
    refuse_other_database,
)
from ci_migrate.run.identity import database_of
from ci_migrate.run.inputs import last_approved
from ci_migrate.run.mark import keep_marks
from ci_migrate.run.network import watch_network
from ci_migrate.run.reuse import name_rehearsal
from ci_migrate.run.run import LedgerRun, Run, WritingRun
from ci_migrate.run.superseded import close_superseded
from ci_migrate.session import GateRequest, RunT, create_manager, load_extensions, open_session
from ci_migrate.settings.settings import Settings
from ci_migrate.stages.repair import run_stage as repair_stage
from ci_migrate.verbs import Verb

LedgerRunT = TypeVar("LedgerRunT", bound=LedgerRun)


def run(settings: Settings, request: GateRequest, interrupt: Interrupt | None = None) -> Report:
    """Walk the pipeline for a verb and return the finished report. Raises CiMigrateError before the first stage."""
    if settings.production:
        refuse_careless(settings, request.verb, settings.production_reason)
    started = time.monotonic()
    report: Report | None = None
    try:
        manager = create_manager(settings)
        with open_session(settings, request, interrupt, manager=manager) as opened:
            run = _let_in(opened, manager)
            report = _empty(run, request)
            with watch_network(run) if isinstance(run, WritingRun) else nullcontext():
                if isinstance(run, WritingRun):
                    _begin(run, request)
                report = walk(run, report, manager, request)
                report = msgspec.structs.replace(report, seconds=time.monotonic() - started)
                if isinstance(run, WritingRun):
                    report = _finish(run, report)
                if isinstance(run, LedgerRun):
                    report = _ask_for_approval(run, report, request)
    except Exception as error:
        if report is None or not report.results:
            raise
        # the stages have ended: what fails in giving lock, ledger and copies back does not change what they did
        return add_warnings(report, f"Not all was given back at the end: {words_of_error(error)}")
    return report


def _let_in(run: RunT, manager: plugins.Manager) -> RunT:
    """Look at what forbids any run, then at the token, and only then import the plugins that the repository names.

    Raises:
        RefusedError: writing is frozen, or this is not the database that it was, or the verb leaves out what a
            protected target needs, or plugins had to be imported before (for an engine or a storage) and this target
            needs an approval.
        DirtyError: an unfinished run must be repaired first.
    """
    if isinstance(run, WritingRun):
        try:
            admit(run, Purpose(run.direction))
        except UnfinishedError as error:
            raise explain_unfinished(run, error.record) from error
        if words := keep_marks(run.database, run.ledger):
            run.tell(words)
    unfit = first_look(run)
    if manager.early and asks(run):
        names = ", ".join(run.settings.plugins)
        raise RefusedError(
            f"Engine or storage come from a plugin that the settings name ({names}), and target "
            f"{run.settings.target} needs an approval: nothing of the repository may be imported before.",
            hint="Install it as a distribution with the entry point group ci_migrate, and take it out of `plugins`.",
        )
    return replace(load_extensions(run, manager), unfit=unfit)


def add_warnings(report: Report, *words: str) -> Report:
    """The report with more warnings."""
    return msgspec.structs.replace(report, warnings=(*report.warnings, *words)) if words else report


def words_of_error(error: BaseException) -> str:
    """What happened, in one line."""
    return error.what if isinstance(error, CiMigrateError) else f"{type(error).__name__}: {error}"


def walk(run: Run, report: Report, manager: plugins.Manager, request: GateRequest) -> Report:
    """The pipeline with plugins and ledger around it."""
    warnings: list[str] = []

    def observe(result: StageResult, so_far: Report) -> StageResult:
        findings = plugins.show_after(manager, result, result.plan or so_far.plan)
        return msgspec.structs.replace(result, findings=(*result.findings, *findings)) if findings else result

    def done(result: StageResult) -> StageResult:
        try:
            if isinstance(run, WritingRun) and not (warnings and run.interrupt.silent):
                run.ledger.record_stage(run.subject, result)
        except CiMigrateError as error:
            warnings.append(f"The stage {result.stage} is not in the ledger: {error.what}")
            if result.outcome is Outcome.PASSED and result.stage not in WRITING:
                result = msgspec.structs.replace(
                    result,
                    outcome=Outcome.ERROR,
                    message=error.what,
                    exit_code=int(error.exit_code),
                    code=error.code,
                    fix=error.hint,
                )
        request.done(result)
        return result

    report = execute(
        run,
        report,
        wanted=run.verb.stages,
        ask=lambda stage, so_far: ask_at_stage(run, stage, so_far.plan),
        veto=lambda stage, so_far: plugins.ask_before(manager, stage, so_far.plan),
        observe=observe,
        done=done,
    )
    return add_warnings(report, *warnings)


class UnfinishedRunError(DirtyError):
    """A run that did not end must be repaired first; `diagnosis` says where it left the target, and what to type."""

    def __init__(self, record: RunRecord, diagnosis: Diagnosis) -> None:
        super().__init__(
            f"Run {record.run_id} of {record.started:%Y-%m-%d %H:%M} UTC did not end: {diagnosis.words}.",
            state=f"The target is left as it is ({diagnosis.found}).",
            hint=as_hint(*diagnosis.commands),
        )
        self.diagnosis = diagnosis


def explain_unfinished(run: LedgerRun, record: RunRecord) -> UnfinishedRunError:
    """That an unfinished run must be repaired first, and in what state it left the target."""
    context = RepairContext.of(*resume_run(run, record))
    commands = list_next_commands(context)
    return UnfinishedRunError(record, msgspec.structs.replace(context.diagnosis, commands=commands))


def resume_run(run: LedgerRunT, record: RunRecord) -> tuple[LedgerRunT, Report]:
    """The run and report with which an earlier run is repaired: its plan, backup and evidence."""
    stages = run.ledger.stages(record.run_id)
    report = Report(
        run_id=record.run_id,
        command="repair",
        target=record.target,
        place=run.place,
        started=now(),
        version=__version__,
        results=tuple(
            s for s in stages if s.stage in ("check", "backup", "dry-run") and s.outcome is Outcome.PASSED
        ),
    )
    direction = record.plan.direction if record.plan is not None else run.direction
    return replace(run, subject=record.run_id, direction=direction), report


def repair(
    settings: Settings, request: GateRequest, interrupt: Interrupt | None = None, *, only_show: bool = False
) -> Report:
    """Mend what an unfinished run left; with `only_show` say what would be done.

    Raises:
        UsageError: it is to go forward and to accept what somebody else changed: both say how it ends.
    """
    if request.forward and request.accept_foreign:
        raise UsageError(
            "A repair does one thing: --forward or --accept-foreign.",
            hint=f"ci-migrate repair --dry-run --target {settings.target}",
        )
    manager = create_manager(settings)
    with open_session(settings, request, interrupt, ledger=not only_show, manager=manager) as opened:
        run = load_extensions(opened, manager)
        record = run.ledger.unfinished(database_of(run)) if run.ledger is not None else None
        if record is not None and isinstance(run, WritingRun):
            with watch_network(run):
                return _repair(run, record, request, only_show=only_show)
        result = StageResult(
            stage="repair",
            outcome=Outcome.PASSED,
            message="There is no unfinished run: nothing to repair.",
        )
        return _empty(run, request).plus(result)


def _repair(opened_run: WritingRun, record: RunRecord, request: GateRequest, *, only_show: bool) -> Report:
    """Mend what this run left, and close it."""
    later = opened_run.ledger.later_change(record.run_id)
    if later is not None:
        if not only_show:
            admit(opened_run, Purpose.REPAIR, moved=True)
        result = close_superseded(opened_run, record, later, only_show=only_show)
        if only_show:
            request.tell(result.message)
        else:
            request.done(result)
        return _empty(opened_run, request).plus(result)
    run, report = resume_run(opened_run, record)
    shown = msgspec.structs.replace(_empty(run, request), run_id=record.run_id)
    if only_show:
        would = _show_repair(run, report)
        request.tell(would.message)
        return shown.plus(would)
    # a restore may have swapped the database and died before it said so
    admit(run, Purpose.REPAIR, moved=record.phase == "repairing")
    run.interrupt.defer_signals = True  # from here on a signal waits for a statement boundary
    result = repair_stage(run, report)
    request.done(result)
    run.ledger.record_stage(record.run_id, result)
    if result.outcome is Outcome.PASSED:
        run.ledger.finish_run(
            record.run_id,
            exit_code=0,
            state=(result.state or TargetState.UNKNOWN).value,
            needs_repair=False,
        )
    told = {"outcome": result.outcome.value, "words": result.message, "reason": request.reason}
    run.ledger.audit("repaired", record.run_id, **told)
    number = run.interrupt.number
    shown = msgspec.structs.replace(shown, interrupted=128 + number if number else None)
    return shown.plus(result)


def _show_repair(run: LedgerRun, report: Report) -> StageResult:
    """The repair as a plan: what is found, and what would be done."""
    context = RepairContext.of(run, report)
    found = f"Found: {context.diagnosis.words}."
    fitting, ways = find_fitting(context), permitted_ways(run)
    open_to_us = [words for repair, words in fitting if is_permitted(repair, ways)]
    message, commands = f"{found} {explain_none(context)}", list_next_commands(context)
    foreign = "".join(f"\n  {words}" for words in context.diagnosis.foreign)
    if foreign:
        message = f"{found}\nAll that somebody else changed:{foreign}"
    elif open_to_us:
        message = f"{found} Repair would {open_to_us[0]}."
    elif fitting:
        message = f"{found} Repair could {fitting[0][1]}; that needs an approval."
    return StageResult(
        stage="repair",
        outcome=Outcome.SKIPPED,  # nothing was done, and nothing is proved
        message=message,
        state=TargetState.UNKNOWN,
        diagnosis=msgspec.structs.replace(context.diagnosis, commands=commands),
    )


def _empty(run: Run, request: GateRequest) -> Report:
    return Report(
        run_id=run.id,
        command=request.verb.name,
        target=run.settings.target,
        place=run.place,
        started=now(),
        version=__version__,
    )


def new_record(run: Run, by: str = "") -> RunRecord:
    """What the ledger is told of a run that begins now. `by`: who says that they run it."""
    return RunRecord(
        run_id=run.id,
        target=run.settings.target,
        command=run.verb.name,
        started=now(),
        pid=os.getpid(),
        host=socket.gethostname(),
        actor=by or actor(run.settings),
    )


def _begin(run: WritingRun, request: GateRequest) -> None:
    identity = run.database.identity()
    run.ledger.pin_identity(identity)
    refuse_other_database(run)
    record = new_record(run, request.by)
    for last in run.ledger.history(run.ledger.database_id(identity), limit=1):
        if last.started > record.started:
            run.tell(
                f"A clock was put back: it is {record.started:%Y-%m-%d %H:%M:%S} UTC here, and run {last.run_id} "
                f"began at {last.started:%Y-%m-%d %H:%M:%S}. History and backups go by their numbers, not by time."
            )
    run.ledger.begin_run(record, identity)
    # a name that was typed proves nothing: who the machine says it is stands beside it
    if request.reason or request.by:
        account = {"by": request.by, "account": actor(run.settings)} if request.by else {}
        run.ledger.audit(REASON, run.id, reason=request.reason, destination=run.destination, **account)


def _finish(run: LedgerRun, report: Report) -> Report:
    """Close the run in the ledger; what fails here is a warning, the outcome stays what it is."""
    migrated = report.result("migrate")
    touched = migrated is not None and migrated.outcome is not Outcome.SKIPPED
    unproved = touched and report.state is TargetState.UNKNOWN
    try:
        run.ledger.finish_run(
            run.subject, exit_code=int(report.exit_code), state=report.state.value, needs_repair=unproved
        )
        run.ledger.audit("run ended", run.subject, exit_code=int(report.exit_code), state=report.state.value)
    except CiMigrateError as error:
        return add_warnings(report, f"The ledger could not be closed: {error.what}")
    return report


def _ask_for_approval(run: LedgerRun, report: Report, request: GateRequest) -> Report:
    """Where an approval is missing: say so in the audit trail and in approval-request.json.

    What can't be written is a warning: the message says how to approve all the same.
    """
    stopped, plan = report.first_bad, report.plan
    asking = (*BEFORE_WRITING, "approve")
    if plan is None or stopped is None or stopped.stage not in asking:
        return report
    if stopped.stage != "approve" and stopped.exit_code != ExitCode.NOT_APPROVED:
        return report
    if stopped.stage == "approve" and stopped.outcome is not Outcome.FAILED:
        return report
    stage = (
        stopped.stage if stopped.stage in BEFORE_WRITING and run.settings.is_tagged(stopped.stage) else None
    )
    by = actor(run.settings)
    try:
        run.ledger.note_request(run.id, plan_digest=plan.digest, direction=plan.direction, by=by)
    except CiMigrateError as error:
        report = add_warnings(report, error.what)
    if request.request_file is None:
        return report
    try:
        asked = approval_request(
            plan,
            report.evidence,
            report.findings,
            report.target,
            shlex.join(go_on_command(plan)),
            target_uuid=run.ledger.uuid,
            requester=actor(run.settings),
            commit=commit_of(run.settings.environ),
            validity_minutes=run.settings.token_validity_minutes,
            stage=stage,
            last=last_approved(run),
            rehearsal=name_rehearsal(run, report.evidence),
        )
        write_request(asked, request.request_file)
    except CiMigrateError as error:
        report = add_warnings(report, error.what)
    return report


def actor(settings: Settings) -> str:
    """Who started this: who called over HTTP, the CI's actor, else the user of this machine."""
    for name in (ACTOR, "GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if settings.environ.get(name):
            return str(printable(settings.environ[name]))
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def error_report(verb: Verb, target: str, error: BaseException, project: Path | None = None) -> Report:
    """The report of a run that ended before its first stage: refused, broken, or interrupted.

    Files are named from the folder `project`, where it is known.
    """
    exit_code, interrupted, diagnosis = ExitCode.BUG, None, None
    message, details = f"Bug in ci-migrate: {type(error).__name__}: {error}", ""
    code, fix, file, line = "bug", "", None, None
    if isinstance(error, CiMigrateError):
        exit_code, code, fix, line = error.exit_code, error.code, error.hint, error.line
        file = relative(error.file, project) if error.file and project is not None else error.file
        message = "\n".join(words for words in (error.what, error.hint) if words)
        if isinstance(error, UnfinishedRunError):
            message, diagnosis = error.what, error.diagnosis
    elif isinstance(error, Interrupted):
        exit_code = ExitCode(128 + error.number)
        interrupted, message = 128 + error.number, "Interrupted before the first stage."
        code = "interrupted"
    else:
        details = "".join(traceback.format_exception(error))
    failed = exit_code in (ExitCode.REFUSED, ExitCode.NOT_APPROVED, ExitCode.LOCKED)
    result = StageResult(
        stage="check",
        outcome=Outcome.FAILED if failed else Outcome.ERROR,
        message=message,
        details=details,
        file=file,
        line=line,
        exit_code=int(exit_code),
        code=code,
        fix=fix,
        state=TargetState.UNKNOWN if exit_code is ExitCode.FAILED_DIRTY else TargetState.UNTOUCHED,
        diagnosis=diagnosis,
    )
    return Report(
        run_id="",
        command=verb.name,
        target=target,
        started=now(),
        version=__version__,
        results=(result,),
        interrupted=interrupted,
    )
