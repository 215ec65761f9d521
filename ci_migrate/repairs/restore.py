"""Restore this run's backup: only if the settings allow it, and only if nobody else wrote since."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ci_migrate.backups.restore import restore
from ci_migrate.errors import CiMigrateError, DirtyError, RefusedError
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Backup, EntryKind, JournalEntry, NextCommand, Progress, TargetState, now
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.context import RepairContext
from ci_migrate.run.run import restore_copy


def fits(context: RepairContext) -> str | None:
    """Half a revision, an unknown state, or a prefix that can't go back by downgrade; `restore = "auto"`."""
    found, settings = context.diagnosis.found, context.run.settings
    wanted = found in (Progress.HALF, Progress.UNKNOWN) or (
        found is Progress.COMMITTED and settings.on_failure == "back"
    )
    if not wanted or settings.restore != "auto" or context.backup is None:
        return None
    return f"restore backup {context.backup.backup_id}"


def mend(context: RepairContext) -> Repaired:
    """Look whether somebody else wrote; restore; prove."""
    backup = context.backup
    if backup is None:
        raise RefusedError("There is no backup of this run.")
    try:
        written = context.foreign_writes()
        if written:
            return refuse_overwriting(written)
        where = _restore(context, backup)
    except RefusedError:
        raise
    except CiMigrateError as error:
        return explain_failure(context, backup, error)
    return Repaired(
        state=TargetState.AS_BEFORE, words=f"Restored from the backup {backup.backup_id}. {where}"
    )


def offer(context: RepairContext) -> NextCommand | None:
    """That the whole backup can be restored, whatever was written since."""
    backup = context.backup
    if backup is None:
        return None
    command = f"ci-migrate backup restore {backup.backup_id} --target {context.run.settings.target}"
    return NextCommand(
        command=command, why=f"loses what was written since {backup.backup_time:%Y-%m-%d %H:%M} UTC"
    )


def refuse_overwriting(written: str) -> Repaired:
    """Nothing is restored over what somebody else wrote."""
    return Repaired(state=TargetState.UNKNOWN, words=f"Not restored: {written}. A restore would lose that.")


def explain_failure(context: RepairContext, backup: Backup, error: CiMigrateError) -> Repaired:
    """A restore that did not come to its end: what is where now."""
    kept = f"{context.plan.identity.place} is kept as the failed migration left it."
    if isinstance(error, DirtyError):
        kept = error.state
    what = error.what.rstrip(".")
    return Repaired(
        state=TargetState.UNKNOWN,
        words=f"The restore from {backup.backup_id} failed: {what}. {kept}",
    )


@contextmanager
def journal_restore(ledger: Ledger, run_id: str, commit_point: int) -> Iterator[None]:
    """Rows are put back as they were on a commit point: journalled before and after, so that a kill is seen."""

    def write(kind: EntryKind) -> None:
        with ledger.journal(run_id) as journal:
            journal.append(JournalEntry(kind=kind, position=commit_point, context=0, at=now()))

    write(EntryKind.RESTORING)
    yield
    write(EntryKind.RESTORED)


def _restore(context: RepairContext, backup: Backup) -> str:
    """Put the backup in the place of the target; where the replaced data is, in words."""
    run = context.run
    run.ledger.update_run(run.subject, phase="repairing")
    with run.watch("restore", backup.backup_size), journal_restore(run.ledger, run.subject, 0):
        where = restore(
            context.permit_for("restore"), run.database, backup, run.catalog, clone=partial(restore_copy, run)
        )
    run.ledger.audit("backup restored", run.subject, backup=backup.backup_id, target=run.settings.target)
    return where


REPAIR = Repair("restore", 50, fits, mend, approval="restore", offer=offer)
