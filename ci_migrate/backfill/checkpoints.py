"""The table of the checkpoints, and what asks it: has a backfill come to its end?"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .problems import BackfillError

RECORDS = "ci_migrate_backfills"
"""The table of the checkpoints, in the schema that unqualified names mean."""

TABLE = sa.Table(
    RECORDS,
    sa.MetaData(),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("last_key", sa.Text),
    sa.Column("end_key", sa.Text),
    sa.Column("batch_count", sa.BigInteger, nullable=False),
    sa.Column("seen_count", sa.BigInteger, nullable=False),
    sa.Column("row_count", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("finished_at", sa.DateTime),
    sa.PrimaryKeyConstraint("name", name=RECORDS + "_pkc"),
    mysql_engine="InnoDB",
)


def requires_backfill(connection: Connection, name: str, *, unless: str | None = None) -> None:
    """Refuse to go on before a backfill has come to its end.

    Args:
        connection: `op.get_bind()`; only read from.
        name: of the backfill.
        unless: a query for rows that are still to be filled. Where it finds none, all is well without a record too: a
            database that was made from the models and stamped has none.

    Raises:
        BackfillError: it has not run, or not to its end.
    """
    if connection is None:  # alembic upgrade --sql
        return
    there = sa.inspect(connection).has_table(RECORDS)
    found = connection.execute(find(name)).mappings().first() if there else None
    if found is not None and found["finished_at"] is not None:
        return
    if unless is not None and connection.execute(sa.text(unless)).first() is None:
        return
    if found is None:
        raise BackfillError(
            f"Backfill {name!r} has not run on this database, and this revision needs it. Nothing of the revision was "
            "run. Run the revision that has the backfill first; or, where the rows are filled in another way, say how "
            f'to tell: requires_backfill(op.get_bind(), {name!r}, unless="SELECT 1 FROM ... LIMIT 1")'
        )
    raise BackfillError(
        f"Backfill {name!r} stopped after {found['seen_count']:,} rows (last batch: {found['updated_at']}), and this "
        "revision needs it. Nothing of the revision was run. Let it come to its end: `ci-migrate repair --forward`, or "
        "`alembic upgrade` to the revision that has it."
    )


def forget_backfill(connection: Connection, name: str) -> None:
    """Delete a checkpoint, in the transaction that is open: the next `backfill` of this name begins at the beginning.

    For `downgrade()`: without it, the next upgrade would take the rows for filled.
    """
    if connection is None:
        return
    if sa.inspect(connection).has_table(RECORDS):
        connection.execute(TABLE.delete().where(TABLE.c.name == name))


def find(name: str) -> Any:
    """The query for a checkpoint."""
    return sa.select(TABLE).where(TABLE.c.name == name)
