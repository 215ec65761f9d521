"""The statements that make a SQLite database: those that sqlite_master keeps, and rows as `quote()` writes them."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from ci_migrate.databases.baselines import Baseline
from ci_migrate.databases.sqlite.catalog import Row, is_virtual, user_rows
from ci_migrate.databases.sqlite.contents import VIRTUAL
from ci_migrate.databases.sqlite.tokens import quote
from ci_migrate.model import VersionTable

BEFORE_ROWS, AFTER_ROWS = ("table", "index"), ("view", "trigger")

_SEQUENCE = "SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_sequence'"


class SQLiteBaselines:
    """See `baselines.BaselineReader`; `reading` opens a connection."""

    def __init__(self, reading: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._reading = reading

    def baseline(self, version_tables: Sequence[VersionTable]) -> Baseline:
        """The statements."""
        without = {table.name for table in version_tables}
        with self._reading() as connection:
            made = [row for row in user_rows(connection) if row[2] not in without]
            tables = [name for kind, name, _, sql in made if kind == "table" and not is_virtual(sql)]
            virtual = [name for kind, name, _, sql in made if kind == "table" and is_virtual(sql)]
            ordered = _after_their_parents(connection, tables)
            return Baseline(
                engine=f"SQLite {sqlite3.sqlite_version}",
                structure=(*_numbers_of_file(connection), *_of_kinds(made, BEFORE_ROWS)),
                rows=(
                    *(sql for table in ordered for sql in _insert(connection, table)),
                    *_next_numbers(connection, tables),
                ),
                rest=_of_kinds(made, AFTER_ROWS),
                unfit=tuple(
                    f"table {name} has rows, and {VIRTUAL}" for name in virtual if _filled(connection, name)
                ),
            )

    def positions(self) -> dict[str, str]:
        """The order of columns, and the last number of AUTOINCREMENT."""
        with self._reading() as connection:
            tables = [name for kind, name, _, _ in user_rows(connection) if kind == "table"]
            found = {
                f"order of the columns of {table}": ", ".join(_columns(connection, table)) for table in tables
            }
            found |= {f"last number given out in {name}": str(last) for name, last in _numbers(connection)}
            return found | dict.fromkeys(_numbers_of_file(connection), "")


def _numbers_of_file(connection: sqlite3.Connection) -> tuple[str, ...]:
    """What an application may write into the file's head, as statements."""
    numbers = {
        name: connection.execute(f"PRAGMA main.{name}").fetchone()[0]
        for name in ("user_version", "application_id")
    }
    return tuple(f"PRAGMA {name} = {number}" for name, number in numbers.items() if number)


def _of_kinds(made: Sequence[Row], kinds: Sequence[str]) -> tuple[str, ...]:
    """In the order of the kinds, and of sqlite_master."""
    return tuple(sql for kind in kinds for found, _, _, sql in made if found == kind)


def _columns(connection: sqlite3.Connection, table: str, *, hidden: bool = True) -> list[str]:
    """All of them, or those that an INSERT may name."""
    rows = connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid", (table,))
    return [str(name) for name, hides in rows if hidden or not hides]


def _after_their_parents(connection: sqlite3.Connection, tables: Sequence[str]) -> Iterator[str]:
    """Tables, each after those that its foreign keys lead to: the application may have them enforced."""
    waiting = {
        table: {
            str(parent)
            for (parent,) in connection.execute(
                "SELECT \"table\" FROM pragma_foreign_key_list(?, 'main')", (table,)
            )
        }
        for table in tables
    }
    while waiting:
        ready = [t for t, parents in waiting.items() if not {p for p in parents if p != t} & waiting.keys()]
        for table in ready or list(waiting):  # a circle has no order
            del waiting[table]
            yield table


def _insert(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    """One statement with all rows: a row may refer to another one of them."""
    columns = [quote(column) for column in _columns(connection, table, hidden=False)]
    literals = " || ', ' || ".join(f"quote({column})" for column in columns)
    rows = [row for (row,) in connection.execute(f"SELECT {literals} FROM main.{quote(table)}")]
    if rows:
        values = ",\n".join(f"  ({row})" for row in rows)
        yield f"INSERT INTO {quote(table)} ({', '.join(columns)}) VALUES\n{values}"


def _numbers(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    if connection.execute(_SEQUENCE).fetchone() is None:
        return []
    return connection.execute("SELECT name, seq FROM main.sqlite_sequence ORDER BY name").fetchall()


def _next_numbers(connection: sqlite3.Connection, tables: Sequence[str]) -> Iterator[str]:
    """AUTOINCREMENT goes on where it was, also behind rows that are gone."""
    for name, last in _numbers(connection):
        if name in tables:
            literal = "'" + name.replace("'", "''") + "'"
            yield f"DELETE FROM sqlite_sequence WHERE name = {literal}"
            yield f"INSERT INTO sqlite_sequence (name, seq) VALUES ({literal}, {last})"


def _filled(connection: sqlite3.Connection, table: str) -> bool:
    try:
        return connection.execute(f"SELECT 1 FROM main.{quote(table)} LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:  # its module is the application's
        return True
