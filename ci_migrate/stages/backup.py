"""backup: writes a verified backup of the target, with a manifest."""

from collections.abc import Sequence
from pathlib import Path

from ci_migrate.approval.trust import dies_with_job
from ci_migrate.backups.owner import Owner
from ci_migrate.backups.room import Estimate
from ci_migrate.errors import RefusedError
from ci_migrate.model import (
    Backup,
    Outcome,
    Plan,
    Report,
    StageResult,
    VersionTable,
    plural,
    show_heads,
)
from ci_migrate.reports.story import duration, kept, size
from ci_migrate.run.approvals import protection
from ci_migrate.run.expected import announce, took, worth_telling
from ci_migrate.run.identity import owner_of
from ci_migrate.run.reuse import find_backup, reused_backup
from ci_migrate.run.run import Run


def run_stage(run: Run, plan: Plan, report: Report) -> StageResult:
    """Take the backup that the dry run restores, or reuse a fresh one of the same state."""
    if not run.settings.auto_backup:
        return StageResult(
            stage="backup",
            outcome=Outcome.SKIPPED,
            message="auto-backup is off: no rollback path by restore.",
        )
    found = find_backup(run, plan, report.approval)
    if isinstance(found, Backup):
        reused = reused_backup(found)
        message = (
            f"{found.backup_id} (reused): taken {found.backup_time:%Y-%m-%d %H:%M} UTC, {duration(reused.seconds)} "
            "before; rows written since are not in it"
        )
        return StageResult(
            stage="backup", outcome=Outcome.PASSED, message=message, backup=found, reused=reused
        )
    owner = owner_of(run)
    expected = run.catalog.estimate(run.reader, owner)
    backup = take_backup(
        run,
        owner,
        expected,
        version_tables=[c.version_table for c in plan.contexts],
        migration_version="+".join(plan.to_heads) or "base",
    )
    # the dump has a snapshot of its own: somebody may have migrated since the plan was made
    if backup.heads and backup.heads != tuple(c.from_heads for c in plan.contexts):
        return StageResult(
            stage="backup",
            outcome=Outcome.FAILED,
            message=f"The plan is stale: the target went to {show_heads(backup.heads)} meanwhile. Run again.",
            backup=backup,
        )
    rows = sum(c.rows for c in backup.row_counts.values())
    provided = backup.provider_id is not None
    message = (
        f"{backup.backup_id}: {plural(len(backup.row_counts), 'table')}, {'about ' * provided}{plural(rows, 'row')}, "
        + (kept(backup) if provided else plural(backup.backup_size, "byte"))
    )
    message += took(backup.seconds, expected.seconds)
    if backup.not_digested:
        first, why = next(iter(backup.not_digested.items()))
        more = f", and {len(backup.not_digested) - 1} more" if len(backup.not_digested) > 1 else ""
        message += f"; not digested: {first} ({why}){more}"
    if found:
        message += f"; a new one, because {found}"
    return StageResult(stage="backup", outcome=Outcome.PASSED, message=message, backup=backup)


def take_backup(
    run: Run,
    owner: Owner,
    expected: Estimate,
    *,
    version_tables: Sequence[VersionTable],
    migration_version: str,
    description: str | None = None,
    tables: Sequence[str] = (),
) -> Backup:
    """A backup of the target; what it is expected to take is told before, how far it is meanwhile.

    Raises as `Catalog.create`.
    """
    _refuse_ephemeral(run)
    if worth_telling(expected.seconds):
        free = run.catalog.storage.free()
        room = "" if free is None else f", {size(free)} are free in {run.catalog.storage.room}"
        announce(run, f"backup: about {size(expected.stored)}", expected.seconds, room)
    with run.watch("backup", expected.stored) as progress:
        return run.catalog.create(
            run.reader,
            target=run.settings.target,
            owner=owner,
            version_tables=version_tables,
            migration_version=migration_version,
            description=description,
            tables=tables,
            progress=progress,
        )


def _refuse_ephemeral(run: Run) -> None:
    """Where the backup would be thrown away with the job: refuse it on a production target, else say so.

    Raises:
        RefusedError: the backup would be the only way back, and gone when it is needed.
    """
    settings, place = run.settings, run.catalog.storage.place
    if (
        settings.allow_ephemeral_backups
        or not run.database.capabilities.remote
        or settings.provider == "command"
    ):
        return
    if run.catalog.storage.remote or not dies_with_job(settings.environ, settings.project_dir, Path(place)):
        return
    words = f"Backups go to {place}, in the checkout of this job, which is thrown away with it"
    hint = 'Set backup-dir = "s3://bucket/prefix"; where the job keeps that folder: allow-ephemeral-backups = true.'
    if settings.production or protection(run).protected:
        raise RefusedError(f"{words}: nothing could be restored afterwards.", hint=hint)
    run.tell(f"WARNING  {words}. {hint}")
