"""SQLite: dropping what a migration that stopped half-way has made."""

import sqlite3
from collections.abc import Callable, Collection, Sequence

from ci_migrate.databases.names import parts
from ci_migrate.databases.sqlite.tokens import quote
from ci_migrate.errors import DatabaseError, RefusedError
from ci_migrate.model import ObjectKind, names_of, split_key


def undo_statements(added: Sequence[Collection[str]]) -> list[str]:
    """See `base.UndoesAdditions`."""
    tables = {parts(name) for batch in added for name in names_of(ObjectKind.TABLE, batch)}
    return [statement for batch in added for statement in _batch(batch, tables)]


def _batch(batch: Collection[str], tables: Collection[tuple[str, ...]]) -> list[str]:
    by_kind: dict[str, list[str]] = {k: [] for k in ("trigger", "view", "index", "column", "table")}
    columns = {parts(name)[0] for name in names_of(ObjectKind.COLUMN, batch)}
    for key in sorted(batch):
        kind, name = split_key(key)
        first, *rest = parts(name)
        if kind != "table" and (first,) in tables:
            continue
        match kind:
            case "constraint" if first in columns:  # of the column that goes
                pass
            case "column":
                by_kind[kind].append(f"ALTER TABLE {quote(first)} DROP COLUMN {quote(rest[-1])}")
            case "trigger" | "view" | "index" | "table":
                by_kind[kind].append(f"DROP {kind.upper()} {quote((first, *rest)[-1])}")
            case _:
                raise RefusedError(f"SQLite can drop {key} only by making the table anew.")
    return [statement for statements in by_kind.values() for statement in statements]


def run(
    connection: sqlite3.Connection,
    statements: Sequence[str],
    before: Callable[[str], None],
    check: Callable[[], None],
) -> None:
    """All in one transaction, or nothing. No foreign key is acted upon."""
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            before(statement)
            try:
                connection.execute(statement)
            except sqlite3.Error as error:
                raise DatabaseError(f"{statement}: {error}.", state="Nothing was changed.") from error
        check()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def beyond_default(connection: sqlite3.Connection, table: str, column: str) -> int:
    """See `base.UndoesAdditions`."""
    row = connection.execute(
        "SELECT dflt_value, hidden FROM pragma_table_xinfo(?, 'main') WHERE name = ?", (table, column)
    ).fetchone()
    if row is None or row[1]:
        return 0
    here = f"{quote(column)} COLLATE BINARY"
    query = f"SELECT count(*) FROM main.{quote(table)} WHERE {here} IS NOT ({row[0] or 'NULL'})"
    return int(connection.execute(query).fetchone()[0])
