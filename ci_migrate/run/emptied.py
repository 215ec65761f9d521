"""Tables that were full and hold nothing now, while the version rows stand: emptied, or those of another database."""

import shlex
from collections.abc import Mapping

from ci_migrate.errors import RefusedError
from ci_migrate.migrations.record import version_table_names
from ci_migrate.model import Backup, Direction, NextCommand, Plan, RowCount, as_hint, plural
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run
from ci_migrate.run.version_rows import HISTORY_LOST, is_acknowledged, restore_command, whole_backups

FEWEST = 100
"""Rows in all below which nothing is said: an example, a test, a database that has just begun."""

LEFT = 0.01
"""The share of them that may be there still: what the application writes when it starts, or a seed."""


def refuse_emptied(run: Run, plan: Plan) -> None:
    """Raise RefusedError where the rows are gone that the newest backup holds.

    What the run deleted that the backup was taken for is gone for a reason, and so is what an older backup did not have
    that was restored. Where a backup without rows is the newest one nothing is said. Most databases are asked for the
    rows of one table alone.
    """
    if not any(context.from_heads for context in plan.contexts) or plan.direction is not Direction.UPGRADE:
        return
    backup = next(whole_backups(run), None)
    if backup is None or is_acknowledged(run):
        return
    apart = version_table_names(plan)
    then = _rows(backup.row_counts, apart)
    rows = min(sum(then.values()), _left_by_its_run(run, backup, apart))
    if rows < FEWEST:
        return
    for tables in ([max(then, key=then.__getitem__)], None):
        if sum(_rows(run.reader.counts(tables), apart).values()) > rows * LEFT:
            return
    allow = ["--allow", f"{HISTORY_LOST}=it was emptied on purpose"]
    again = shlex.join(["ci-migrate", "run", "--target", run.settings.target, *allow])
    raise RefusedError(
        f"{plan.identity.place} has lost its rows: its version rows stand, but its tables are empty, or nearly so. "
        f"The backup {backup.backup_id} of {backup.backup_time:%Y-%m-%d %H:%M} UTC holds "
        f"{sum(then.values()):,} rows in {plural(len(then), 'table')}.",
        hint=as_hint(
            restore_command(run, backup), NextCommand(command=again, why="where it was emptied on purpose")
        ),
    )


def _rows(counts: Mapping[str, RowCount], apart: set[str]) -> dict[str, int]:
    return {table: count.rows for table, count in counts.items() if count.rows and table not in apart}


def _left_by_its_run(run: Run, backup: Backup, apart: set[str]) -> float:
    """Rows after the run that took this backup, by its dry run; as many as you like where nobody knows.

    0 where ci-migrate did something else since, such as a restore of an older one.
    """
    record = next(run.ledger.changes(database_of(run)), None) if run.ledger is not None else None
    if run.ledger is None or record is None:
        return float("inf")
    if record.backup_id != backup.backup_id:
        return 0 if record.started > backup.backup_time else float("inf")
    evidence = run.ledger.evidence(record.run_id)
    return float("inf") if evidence is None else sum(_rows(evidence.row_counts_after, apart).values())
