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
    table = records(connection)
    there = exists(connection, table)
    found = connection.execute(find(table, name)).mappings().first() if there else None
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
    table = records(connection)
    if exists(connection, table):
        connection.execute(table.delete().where(table.c.name == name))


def records(connection: Connection) -> sa.Table:
    """The table of the checkpoints of this connection.

    On PostgreSQL that of the first schema of its search path: a schema per tenant has its own, and must not meet the
    one that all of them see in another schema.
    """
    if connection.dialect.name != "postgresql":
        return TABLE
    # FROM: ci-migrate takes what has none for a statement that may do anything
    schema = connection.execute(sa.text("SELECT current_schema() FROM (SELECT 1 AS one) AS x")).scalar()
    return TABLE.to_metadata(sa.MetaData(), schema=str(schema)) if schema else TABLE


def exists(connection: Connection, table: sa.Table) -> bool:
    """Whether a table is there."""
    return bool(sa.inspect(connection).has_table(table.name, schema=table.schema))


def find(table: sa.Table, name: str) -> Any:
    """The query for a checkpoint."""
    return sa.select(table).where(table.c.name == name)
