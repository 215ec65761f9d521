"""Some tables of a SQLite database: a copy with their rows alone, and their rows put back into a live file."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ci_migrate.databases.base import Unless, refuse_if
from ci_migrate.databases.sqlite.catalog import is_virtual, user_rows
from ci_migrate.databases.sqlite.rows import contents
from ci_migrate.databases.sqlite.tokens import quote
from ci_migrate.errors import BackupError, RefusedError

_SEE = "Restore the whole backup, or name those tables too."


def keep_rows(connection: sqlite3.Connection, tables: Collection[str]) -> None:
    """Empty all other tables of a copy; what was in them is not in the file any more. Raises sqlite3.Error."""
    kept = {name.lower() for name in tables}
    with _writing(connection), _without_triggers(connection):
        for kind, name, _, sql in user_rows(connection):
            # the tables in which a virtual one keeps its rows are emptied by its own module
            if kind == "table" and (name.lower() not in kept or is_virtual(sql)):
                connection.execute(f"DELETE FROM main.{quote(name)}")
    connection.execute("VACUUM")


def replace_rows(
    connection: sqlite3.Connection, source: Path, tables: Sequence[str], unless: Unless | None = None
) -> None:
    """Put the rows that tables have in another file in the place of those here: all of them or none.

    No trigger fires. Rows of other tables stay as they are.

    Raises:
        RefusedError: `unless` says so, a virtual table, or rows would refer to others that are not there. Nothing is
            changed.
        BackupError: a row got lost on the way. Nothing is changed.
        sqlite3.Error: nothing is changed.
    """
    virtual = {name for kind, name, _, sql in user_rows(connection) if kind == "table" and is_virtual(sql)}
    if virtual.intersection(tables):
        raise RefusedError(f"{min(virtual.intersection(tables))} is a virtual table.", hint=_SEE)
    connection.execute("ATTACH ? AS backup", (str(source),))
    try:
        with _writing(connection):
            refuse_if(unless, lambda: contents(connection, tables))
            before = _orphans(connection)
            with _without_triggers(connection):
                for table in tables:
                    _replace(connection, table)
            new = _orphans(connection) - before
            if new:
                child, _, parent, _ = min(new, key=str)
                raise RefusedError(
                    f"After that {sum(new.values())} rows would refer to others that are not there "
                    f"({child} to {parent}).",
                    hint=_SEE,
                )
    finally:
        connection.execute("DETACH backup")


def _replace(connection: sqlite3.Connection, table: str) -> None:
    listed = connection.execute("SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0", (table,))
    columns = ", ".join(quote(row[0]) for row in listed)
    name = quote(table)
    connection.execute(f"DELETE FROM main.{name}")
    connection.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM backup.{name}")
    here, there = (
        connection.execute(f"SELECT count(*) FROM {place}.{name}").fetchone()[0]
        for place in ("main", "backup")
    )
    if here != there:  # a conflict clause of the table can swallow rows
        raise BackupError(f"Table {table} took {here} of {there} rows.", hint="Restore the whole backup.")


def _orphans(connection: sqlite3.Connection) -> Counter[tuple[Any, ...]]:
    """Rows that refer to a row that is not there."""
    return Counter(connection.execute("PRAGMA main.foreign_key_check").fetchall())


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction, in which no foreign key is enforced or acted upon."""
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _without_triggers(connection: sqlite3.Connection) -> Iterator[None]:
    """SQLite can't switch triggers off by SQL: dropped and made again, in the caller's transaction."""
    triggers = [(name, sql) for kind, name, _, sql in user_rows(connection) if kind == "trigger"]
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER main.{quote(name)}")
    yield
    for _, sql in triggers:
        connection.execute(sql)
