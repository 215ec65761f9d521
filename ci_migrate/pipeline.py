"""The pipeline: a literal table of stages, in this order, and the engine that walks it."""

import time
import traceback
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec

from ci_migrate.errors import CiMigrateError, ExitCode, NotApprovedError, RefusedError
from ci_migrate.migrations.graph import relative
from ci_migrate.model import Outcome, Plan, Report, StageResult, TargetState
from ci_migrate.run.run import Run, RunStage, WritingRun
from ci_migrate.stages import approve, backup, check, dry_run, migrate, repair, verify

RunT = TypeVar("RunT", bound=Run)


def require_plan(stage: Callable[[RunT, Plan, Report], StageResult]) -> Callable[[RunT, Report], StageResult]:
    """A stage that is given the plan which `check` made."""

    def run_stage(run: RunT, report: Report) -> StageResult:
        if report.plan is None:
            raise RefusedError("There is no plan yet.")
        return stage(run, report.plan, report)

    return run_stage


def require_lock(stage: Callable[[WritingRun, Report], StageResult]) -> RunStage:
    """A stage that is given the run lock and the ledger."""

    def run_stage(run: Run, report: Report) -> StageResult:
        if not isinstance(run, WritingRun):
            raise RefusedError(f"`ci-migrate {run.verb.name}` has not opened its target for writing.")
        return stage(run, report)

    return run_stage


PIPELINE: tuple[tuple[str, RunStage], ...] = (
    ("check", check.run_stage),
    ("backup", require_plan(backup.run_stage)),
    ("dry-run", require_plan(dry_run.run_stage)),
    ("approve", require_lock(require_plan(approve.run_stage))),
    ("migrate", require_lock(require_plan(migrate.run_stage))),
    ("verify", require_lock(require_plan(verify.run_stage))),
    ("repair", require_lock(repair.run_stage)),
)

WRITING = ("migrate", "verify", "repair")
"""From the first to the last of these nothing gets in between: signals wait, exceptions become results."""

Ask = Callable[[str, Report], None]
Veto = Callable[[str, Report], str | None]
Observe = Callable[[StageResult, Report], StageResult]


class Interrupted(BaseException):
    """Raised by a signal handler outside the writing stages."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def execute(
    run: Run,
    report: Report,
    *,
    wanted: Collection[str],
    ask: Ask,
    veto: Veto,
    observe: Observe,
    done: Callable[[StageResult], StageResult],
) -> Report:
    """Walk the table and return the finished report.

    From here on signals are only noted, except within a stage that does not write: `interrupt.defer_signals` stays set
    when this returns, since the caller still has to close the ledger and to write the reports.

    Args:
        run: all that a stage may touch.
        report: the report so far.
        wanted: the stages that the command consists of; the others are skipped.
        ask: raises where a stage needs an approval that is not there.
        veto: asked before each stage but repair; words mean no.
        observe: shown each result of a stage that ran; returns it, perhaps with a finding more.
        done: called with each result as it comes; returns it, perhaps as an error.
    """
    run.interrupt.defer_signals = True
    for stage, run_stage in PIPELINE:
        started = time.monotonic()
        report = _note_signal(run, report)
        reason = _skip(stage, report, wanted, run)
        if reason is not None:
            result = StageResult(stage=stage, outcome=Outcome.SKIPPED, message=reason)
        else:
            result = _run_guarded(stage, run_stage, run, report, ask, veto)
            result = msgspec.structs.replace(result, seconds=time.monotonic() - started)
            result = observe(result, report)
        report = report.plus(done(result))
    return _note_signal(run, report)


def _note_signal(run: Run, report: Report) -> Report:
    """The report, with the signal that came."""
    if run.interrupt.number is None or report.interrupted is not None:
        return report
    return msgspec.structs.replace(report, interrupted=128 + run.interrupt.number)


def _skip(stage: str, report: Report, wanted: Collection[str], run: Run) -> str | None:
    """Why a stage does not run; None where it does."""
    migrated = report.result("migrate")
    touched = migrated is not None and migrated.state not in (None, TargetState.UNTOUCHED)
    if stage == "repair":
        if migrated is None or migrated.outcome is Outcome.PASSED or not touched:
            return "Nothing to repair."
        if not run.settings.auto_rollback:
            return "auto-rollback is off: see `ci-migrate repair --dry-run`."
        return None
    if report.interrupted is not None:
        return "Interrupted."
    bad = report.first_bad
    if bad is not None:
        return f"{bad.stage} {'failed' if bad.outcome is Outcome.FAILED else 'could not tell'}."
    if stage not in wanted:
        return f"Not part of `ci-migrate {report.command}`."
    if report.plan is not None and report.plan.changes_nothing:
        return "Nothing pending."
    return None


def _run_guarded(
    stage: str, run_stage: RunStage, run: Run, report: Report, ask: Ask, veto: Veto
) -> StageResult:
    """Run one stage; whatever it raises becomes its result."""
    if stage != "repair":
        no = veto(stage, report)
        if no is not None:
            return StageResult(stage=stage, outcome=Outcome.FAILED, message=no, state=report.state)
    try:
        try:
            run.interrupt.defer_signals = stage in WRITING
            if run.interrupt.number is not None and not run.interrupt.defer_signals:
                raise Interrupted(run.interrupt.number)
            ask(stage, report)
            return run_stage(run, report)
        finally:
            run.interrupt.defer_signals = True
    except Interrupted as interrupted:
        run.interrupt.number = interrupted.number
        return StageResult(
            stage=stage,
            outcome=Outcome.ERROR,
            message="Interrupted.",
            code="interrupted",
            state=_state_after(stage, report),
        )
    except CiMigrateError as error:
        failed = isinstance(error, RefusedError | NotApprovedError)
        return StageResult(
            stage=stage,
            outcome=Outcome.FAILED if failed else Outcome.ERROR,
            message="\n".join(line for line in (error.what, error.hint) if line),
            file=relative(error.file, run.settings.project_dir) if error.file else None,
            line=error.line,
            exit_code=int(error.exit_code),
            code=error.code,
            fix=error.hint,
            state=_state_after(stage, report),
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001 - one of the two places that may catch everything
        return StageResult(
            stage=stage,
            outcome=Outcome.ERROR,
            message=f"Bug in ci-migrate: {type(error).__name__}: {error}",
            details=_trace(error),
            exit_code=int(ExitCode.BUG),
            code="bug",
            state=_state_after(stage, report),
        )


def _state_after(stage: str, report: Report) -> TargetState:
    """Before migrate nothing was written; from then on nobody knows until it is proved."""
    return TargetState.UNKNOWN if stage in WRITING else report.state


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
