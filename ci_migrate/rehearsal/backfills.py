"""The batched backfills that a dry run ran on the copy."""

from collections.abc import Iterable

from msgspec.structs import replace

from ci_migrate.databases.names import parts
from ci_migrate.model import Backfill, Backup
from ci_migrate.run.run import Run


def tell_backfills(run: Run, backfills: Iterable[Backfill], backup: Backup) -> tuple[Backfill, ...]:
    """Say how long each took, and will take on the target.

    Returns:
        The same, each with the rows that its table had when the backup was taken; without where two have that name.
    """
    found = []
    for backfill in backfills:
        rows = [c.rows for table, c in backup.row_counts.items() if parts(table)[-1] == backfill.table]
        found.append(replace(backfill, target_rows=rows[0]) if len(rows) == 1 else backfill)
        run.tell(found[-1].words)
    return tuple(found)
