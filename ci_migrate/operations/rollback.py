"""Going back to a revision by the backup that was taken there: which one, what is lost, and the restore itself."""

import shlex
from collections.abc import Callable

import msgspec

from ci_migrate import __version__
from ci_migrate.errors import RefusedError
from ci_migrate.gate import explain_unfinished
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import (
    Backup,
    NextCommand,
    Outcome,
    Plan,
    Purpose,
    Report,
    StageResult,
    TargetState,
    as_hint,
    now,
    show_heads,
)
from ci_migrate.operations.backups import (
    Restoring,
    record_restore,
    restore_backup,
    restore_plan,
    with_heads,
)
from ci_migrate.run.authorization import UnfinishedError, admit
from ci_migrate.run.inputs import look_at_target
from ci_migrate.run.run import LedgerRun, Run, require_ledger
from ci_migrate.run.ways_back import backup_at
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import Settings

Sure = Callable[[Run, Backup, dict[str, tuple[int | None, int | None]] | None], None]
"""Shown the run, the backup and the rows per table now and then; raises to stop."""


def back_by_restore(
    settings: Settings,
    request: GateRequest,
    interrupt: Interrupt | None,
    *,
    sure: Sure,
    safety_backup: bool = True,
) -> Report:
    """Put the newest backup that was taken at a revision in the place of the target.

    Args:
        settings: for one target.
        request: `destination` is the revision, as `alembic downgrade` has it.
        interrupt: set by signal handlers.
        sure: asked before anything is written.
        safety_backup: whether to back up what is replaced.

    Raises:
        CiMigrateError: there is no such backup, or it may not be restored; the target is untouched.
    """
    with open_session(settings, request, interrupt, ledger=True) as opened:
        run = require_ledger(opened)
        try:
            admit(run, Purpose.DOWNGRADE)
        except UnfinishedError as error:
            raise explain_unfinished(run, error.record) from error
        planned, found = look_at_target(run)
        report = Report(
            run_id=run.id,
            command=request.verb.name,
            target=settings.target,
            place=planned.identity.place,
            started=now(),
            version=__version__,
        )
        if not planned.pending and not found.row_troubles:
            words = (
                f"Nothing to do: {report.place} is at {show_heads([c.from_heads for c in planned.contexts])}."
            )
            nothing = StageResult(stage="check", outcome=Outcome.PASSED, message=words, plan=planned)
            request.done(nothing)
            return report.plus(nothing)
        backup = _backup(run, planned, sound=not found.row_troubles)
        plan = with_heads(restore_plan(run, backup.backup_id), backup)
        at = show_heads([c.from_heads for c in plan.contexts])
        words = f"Back by restoring {backup.backup_id}: {at} -> {show_heads(backup.heads)}"
        checked = StageResult(stage="check", outcome=Outcome.PASSED, message=words, plan=plan)
        request.done(checked)
        restored = _restored(run, plan, backup, Restoring(lambda b, lost: sure(run, b, lost), safety_backup))
        request.done(restored)
    report = report.plus(checked).plus(restored)
    return msgspec.structs.replace(report, seconds=(now() - report.started).total_seconds())


def _backup(run: Run, planned: Plan, *, sound: bool) -> Backup:
    """The newest whole backup that was taken there. Where the version rows make no sense, by the revision's name."""
    target = run.settings.target
    named = () if run.destination == "base" else (run.destination,)
    backup = backup_at(run, tuple(c.to_heads for c in planned.contexts) if sound else (named,))
    if backup is None:
        raise RefusedError(
            f"No whole backup of target {target} was taken at {run.destination}.",
            hint=as_hint(
                NextCommand(
                    command=f"ci-migrate rollback --to {shlex.quote(run.destination)} --by downgrade --target {target}"
                ),
                NextCommand(
                    command=f"ci-migrate backup list --target {target}", why="or see which backups there are"
                ),
            ),
        )
    return backup


def _restored(run: LedgerRun, plan: Plan, backup: Backup, how: Restoring) -> StageResult:
    identity = run.database.identity()
    run.ledger.pin_identity(identity)
    with record_restore(run, plan, identity):
        words = restore_backup(run, backup, how)
    return StageResult(stage="migrate", outcome=Outcome.PASSED, message=words, state=TargetState.MIGRATED)
