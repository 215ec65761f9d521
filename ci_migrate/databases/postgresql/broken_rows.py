"""Rows that break a constraint of their own table, which is healthy in use all the same.

A function that a CHECK calls was changed, or rows were written with `session_replication_role = replica`. PostgreSQL
looks at a valid constraint never again, but a restore does: pg_restore fails. Here such a constraint is added NOT
VALID behind the rows; new rows must keep to it as before.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.about import BrokenCheck
from ci_migrate.databases.postgresql.catalog import RELATIONS, part
from ci_migrate.databases.postgresql.lacks import Lacks
from ci_migrate.databases.postgresql.rows import Table
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.snapshot import in_parts
from ci_migrate.errors import BackupError

if TYPE_CHECKING:
    import psycopg

WHY = "rows break it, so that it was added NOT VALID: new rows must keep to it, the old ones need not"

_CHECKS = """
SELECT conrelid, oid, pg_get_expr(conbin, conrelid) FROM pg_constraint
WHERE contype = 'c' AND convalidated AND conrelid = ANY(%s) ORDER BY oid"""

_PARTITIONS = """
SELECT oid, pg_get_partition_constraintdef(oid), inhparent::regclass::text
FROM pg_class JOIN pg_inherits ON inhrelid = oid WHERE relispartition AND oid = ANY(%s)"""

_SAME = "SELECT FROM pg_constraint k WHERE k.contype = 'c' AND k.conname = %(name)s AND k.conrelid"
_FAMILY = f"""
WITH RECURSIVE {RELATIONS},
up AS (SELECT %(table)s::oid AS t UNION SELECT i.inhparent FROM up JOIN pg_inherits i ON i.inhrelid = up.t
       WHERE EXISTS ({_SAME} = i.inhparent AND NOT k.connoinherit)),
top AS (SELECT t FROM up
        WHERE NOT EXISTS (SELECT FROM pg_inherits i JOIN up o ON o.t = i.inhparent WHERE i.inhrelid = up.t)),
down AS (SELECT t FROM top UNION SELECT i.inhrelid FROM down JOIN pg_inherits i ON i.inhparent = down.t
         WHERE EXISTS ({_SAME} = i.inhrelid))
SELECT t IN (SELECT t FROM top), quote_ident(nspname) || '.' || quote_ident(relname), quote_ident(%(name)s),
  'constraint ' || key || '.' || {part("%(name)s")}
FROM down JOIN rel ON oid = t ORDER BY key"""
"""The tables that have a CHECK by inheritance, and the topmost of them, where it can be dropped and added."""

_NOT_VALID = f"""
WITH {RELATIONS}
SELECT 'constraint ' || c.key || '.' || {part("k.conname")}
FROM rel c JOIN pg_constraint k ON k.conrelid = c.oid WHERE k.contype = 'f' AND NOT k.convalidated"""


def find_broken(
    connection: "psycopg.Connection[Any]", access: Access, tables: Sequence[Table]
) -> tuple[BrokenCheck, ...]:
    """The CHECKs that rows break, one pass over each table that has some.

    Args:
        connection: in the dump's transaction, with the search_path that the database's sessions have.
        access: the database.
        tables: whose rows are dumped.

    Raises:
        BackupError: rows are in a partition that they don't belong in: no restore takes them.
    """
    by_oid = {table.oid: table for table in tables}
    oids = list(by_oid)
    checks: dict[int, list[tuple[int, str]]] = {}
    for table, oid, expression in connection.execute(_CHECKS, [oids]).fetchall():
        checks.setdefault(table, []).append((oid, expression))
    parts = {
        oid: (expression, parent)
        for oid, expression, parent in connection.execute(_PARTITIONS, [oids])
        if expression
    }
    found: dict[tuple[str, ...], BrokenCheck] = {}
    for session, some in in_parts(connection, access, sorted(checks.keys() | parts.keys()), pinned=False):
        for oid in some:
            table, own = by_oid[oid], checks.get(oid, [])
            asked = [expression for _, expression in own] + ([parts[oid][0]] if oid in parts else [])
            answers = _broken(session, table, asked)
            if oid in parts and answers.pop():
                raise _misplaced(table, *parts[oid])
            for (check, _), broken in zip(own, answers, strict=True):
                if broken:
                    one = _family(session, table, check)
                    found[one.keys] = one
    return tuple(found.values())


def _quoted(table: Table) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in (table.schema, table.name))


def _broken(connection: "psycopg.Connection[Any]", table: Table, expressions: Sequence[str]) -> list[bool]:
    """Whether some row breaks each of these; also where it can't be said, since the expression raises an error."""
    import psycopg

    each = ", ".join(f"coalesce(bool_or(NOT ({expression})), false)" for expression in expressions)
    try:
        with connection.transaction():
            row = connection.execute(
                f"SELECT {each} FROM ONLY {_quoted(table)}".encode(connection.info.encoding)
            )
            return list(row.fetchone() or ())
    except psycopg.errors.InsufficientPrivilege:  # of a function: nothing is known
        return [False] * len(expressions)
    except psycopg.Error:
        if connection.closed:
            raise
        if len(expressions) == 1:
            return [True]
    return [answer for expression in expressions for answer in _broken(connection, table, [expression])]


def _family(connection: "psycopg.Connection[Any]", table: Table, check: int) -> BrokenCheck:
    row = connection.execute("SELECT conname FROM pg_constraint WHERE oid = %s", [check]).fetchone()
    assert row is not None
    rows = connection.execute(_FAMILY, {"table": table.oid, "name": row[0]}).fetchall()
    return BrokenCheck(
        tables=tuple(name for top, name, _, _ in rows if top),
        constraint=rows[0][2],
        keys=tuple(key for *_, key in rows),
    )


def _misplaced(table: Table, expression: str, parent: str) -> BackupError:
    return BackupError(
        f"{table.key} holds rows that do not belong in that partition: no restore takes them.",
        hint=f"WITH moved AS (DELETE FROM ONLY {_quoted(table)} WHERE NOT ({expression}) RETURNING *)"
        f" INSERT INTO {parent} SELECT * FROM moved;",
    )


# --------------------------------------------------------------------------- the restore


@contextmanager
def checks_added_later(access: Access, broken: Sequence[BrokenCheck], search_path: str) -> Iterator[None]:
    """While the rows come in these CHECKs are not there; afterwards they are, NOT VALID."""
    import psycopg
    from psycopg import sql

    kept: list[tuple[str, str, str, str | None]] = []
    with access.session() as connection:
        for one in broken:
            for table in one.tables:
                row = connection.execute(
                    "SELECT pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') FROM pg_constraint"
                    " WHERE conrelid = %s::regclass AND quote_ident(conname) = %s",
                    [table, one.constraint],
                ).fetchone()
                if row is not None:
                    kept.append((table, one.constraint, *row))
                    drop = f"ALTER TABLE {table} DROP CONSTRAINT {one.constraint}"
                    connection.execute(drop.encode(connection.info.encoding))
    yield
    with access.session() as connection:
        if search_path:
            connection.execute("SELECT set_config('search_path', %s, false)", [search_path])
        for table, constraint, definition, comment in kept:
            try:
                add = f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition} NOT VALID"
                connection.execute(add.encode(connection.info.encoding))
            except psycopg.Error as error:
                raise BackupError(
                    f"Constraint {constraint} of {table} can't be added: {access.explain(error)}."
                ) from error
            if comment is not None:
                on = f"COMMENT ON CONSTRAINT {constraint} ON {table} IS ".encode(connection.info.encoding)
                connection.execute(on + sql.Literal(comment).as_bytes(connection))


def add_foreign_keys(access: Access, statements: Sequence[str], lacks: Lacks) -> None:
    """Add foreign keys one by one, those that rows break NOT VALID, which `lacks` is told.

    Args:
        access: the database, in which some of them may be there already.
        statements: as pg_restore writes them, and comments on them.
        lacks: what differs from what was dumped.

    Raises:
        BackupError: one can't be had.
    """
    import psycopg

    with access.session() as connection:
        before = {key for (key,) in connection.execute(_NOT_VALID)}
        for statement in statements:
            text = statement.rstrip().removesuffix(";")
            try:
                _execute_valid_or_not(connection, text)
            except psycopg.errors.DuplicateObject:
                continue
            except psycopg.Error as error:
                raise BackupError(
                    f"A foreign key can't be restored: {access.explain(error)} ({' '.join(text.split())})."
                ) from error
        now = {key for (key,) in connection.execute(_NOT_VALID)}
    # one that was NOT VALID all along was added by pg_restore, or by its own words
    lacks.reasons.update(dict.fromkeys(now - before, WHY))


def _execute_valid_or_not(connection: "psycopg.Connection[Any]", statement: str) -> None:
    import psycopg

    encoding = connection.info.encoding
    try:
        connection.execute(statement.encode(encoding))
    except psycopg.errors.ForeignKeyViolation as error:
        try:
            connection.execute(f"{statement} NOT VALID".encode(encoding))
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.WrongObjectType) as other:
            raise BackupError(
                f"Rows break constraint {error.diag.constraint_name} of {error.diag.table_name}, and this server knows "
                "no NOT VALID foreign key of a partitioned table: the backup can't be restored as it is.",
                hint="Mend these rows in the database that was backed up, or drop the foreign key there; back it up "
                "again.",
            ) from other
