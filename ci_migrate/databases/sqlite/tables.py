"""Some tables of a SQLite database: a copy with their rows alone, and their rows put back into a live file."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ci_migrate.databases.base import Unless, refuse_if
from ci_migrate.databases.sqlite.catalog import Row, is_virtual, user_rows
from ci_migrate.databases.sqlite.rows import contents
from ci_migrate.databases.sqlite.stand_ins import add_stand_ins, unknown
from ci_migrate.databases.sqlite.tokens import quote, tokens_of, unquote
from ci_migrate.errors import BackupError, RefusedError

_SEE = "Restore the whole backup, or name those tables too."
_WHOLE = "Restore the whole backup."
_APPLICATION = "{} can't be written without the {}, which only the application knows."


def keep_rows(connection: sqlite3.Connection, tables: Collection[str]) -> None:
    """Empty all other tables of a copy; what was in them is not in the file any more. Raises sqlite3.Error."""
    kept = {name.lower() for name in tables}
    rows = user_rows(connection)
    connection.execute("PRAGMA secure_delete=ON")
    # functions that stand in fail when they are called; emptying a table calls none and compares nothing
    add_stand_ins(connection, collations=True)
    with _writing(connection), _without_triggers(connection):
        for _, name, _, sql in rows:
            if is_virtual(sql):
                _empty_virtual(connection, name, sql)
        for kind, name, _, sql in rows:
            if kind == "table" and name.lower() not in kept and not is_virtual(sql):
                connection.execute(f"DELETE FROM main.{quote(name)}")
        drop_samples(connection)
    if not unknown(connection, (sql for _, _, _, sql in rows))[1]:
        connection.execute("VACUUM")  # it would sort an index anew, by a collation that only stands in


def drop_samples(connection: sqlite3.Connection) -> None:
    """Of rows, which ANALYZE keeps."""
    names = "SELECT name FROM main.sqlite_master WHERE name IN ('sqlite_stat3', 'sqlite_stat4')"
    for (name,) in connection.execute(names).fetchall():
        connection.execute(f"DELETE FROM main.{name}")


def _empty_virtual(connection: sqlite3.Connection, name: str, sql: str) -> None:
    """The tables in which a virtual one keeps its rows are emptied by its own module."""
    table = quote(name)
    if _module(sql) == "fts5" and _content(sql) is not None:
        connection.execute(f"INSERT INTO main.{table} ({table}) VALUES ('delete-all')")
        return
    if _module(sql) in ("fts3", "fts4") and _content(sql) is not None:
        for suffix in ("segments", "segdir", "docsize", "stat"):
            with suppress(sqlite3.OperationalError):  # not each of them has all
                connection.execute(f"DELETE FROM main.{quote(f'{name}_{suffix}')}")
        return
    try:
        connection.execute(f"DELETE FROM main.{table}")
    except sqlite3.OperationalError:
        # it only shows what others hold (fts5vocab), or its module is the application's: then its tables look
        # like the user's own, and are emptied as such
        return


def _module(sql: str) -> str:
    """Of a virtual table."""
    tokens = tokens_of(sql)
    using = next(n for n, token in enumerate(tokens) if token.is_word("USING"))
    return unquote(tokens[using + 1]).lower()


def _content(sql: str) -> str | None:
    """Full text search: the table or view whose rows are indexed, "" for none; None where it keeps them itself."""
    tokens = tokens_of(sql)
    for name, mark, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if name.is_word("CONTENT") and mark.text == "=":
            return unquote(value)
    return None


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
    rows = user_rows(connection)
    _refuse_what_others_keep(connection, rows, tables)
    connection.execute("ATTACH ? AS backup", (str(source),))
    try:
        with _writing(connection):
            refuse_if(unless, lambda: contents(connection, tables, writes=True))
            before = _orphans(connection, tables)
            called = add_stand_ins(connection, collations=False)
            with _without_triggers(connection):
                for table in tables:
                    try:
                        _replace(connection, table)
                    except sqlite3.OperationalError as error:
                        if not called:
                            raise
                        function = f"function {called[0]}()"
                        raise RefusedError(_APPLICATION.format(table, function), hint=_WHOLE) from error
                _index_again(connection, rows, tables)
            new = _orphans(connection, tables) - before - _orphans_of_backup(connection, tables)
            if new:
                child, _, parent, _ = min(new, key=str)
                raise RefusedError(
                    f"After that {sum(new.values())} rows would refer to others that are not there "
                    f"({child} to {parent}).",
                    hint=_SEE,
                )
    finally:
        connection.execute("DETACH backup")


def _refuse_what_others_keep(
    connection: sqlite3.Connection, rows: Sequence[Row], tables: Sequence[str]
) -> None:
    """Raise RefusedError for rows that can't be written without a module or a collation that is not here."""
    virtual = {name: sql for kind, name, _, sql in rows if kind == "table" and is_virtual(sql)}
    if virtual.keys() & set(tables):
        raise RefusedError(f"{min(virtual.keys() & set(tables))} is a virtual table.", hint=_SEE)
    modules = {str(row[0]).lower() for row in connection.execute("SELECT name FROM pragma_module_list")}
    wanted = {name.lower() for name in tables}
    for name, sql in virtual.items():
        shadow = next((t for t in tables if t.lower().startswith(f"{name.lower()}_")), None)
        if shadow is not None and modules and _module(sql) not in modules:
            raise RefusedError(
                f"{shadow} may hold what the virtual table {name} keeps; its module {_module(sql)} is not loaded here.",
                hint=_WHOLE,
            )
    ours = (sql for kind, _, table, sql in rows if kind in ("table", "index") and table.lower() in wanted)
    collations = unknown(connection, ours)[1]
    if collations:
        raise RefusedError(
            _APPLICATION.format(", ".join(tables), f"collation {min(collations)}"), hint=_WHOLE
        )


def _index_again(connection: sqlite3.Connection, rows: Sequence[Row], tables: Sequence[str]) -> None:
    """Full text search over rows that another table keeps: no trigger has told it of the new ones."""
    wanted = {name.lower() for name in tables}
    views = {
        name.lower()
        for kind, name, _, sql in rows
        if kind == "view" and wanted & {unquote(token).lower() for token in tokens_of(sql)}
    }
    for _, name, _, sql in rows:
        if is_virtual(sql) and (_content(sql) or "").lower() in wanted | views:
            table = quote(name)
            connection.execute(f"INSERT INTO main.{table} ({table}) VALUES ('rebuild')")


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


def _orphans(
    connection: sqlite3.Connection, tables: Sequence[str], place: str = "main"
) -> Counter[tuple[Any, ...]]:
    """Rows that refer to a row that is not there.

    Where a foreign key compares by a collation of the application's, only if it is none of or to these tables.
    """
    try:
        return Counter(connection.execute(f"PRAGMA {place}.foreign_key_check").fetchall())
    except sqlite3.OperationalError:
        found: Counter[tuple[Any, ...]] = Counter()
    wanted = {name.lower() for name in tables}
    for kind, name, _, sql in user_rows(connection):
        if kind != "table" or is_virtual(sql):
            continue
        try:
            checked = "SELECT * FROM pragma_foreign_key_check(?, ?)"
            found.update(connection.execute(checked, (name, place)).fetchall())
        except sqlite3.OperationalError as error:
            parents = 'SELECT "table" FROM pragma_foreign_key_list(?, ?)'
            listed = connection.execute(parents, (name, place)).fetchall()
            concerned = wanted & {name.lower(), *(str(row[0]).lower() for row in listed)}
            if concerned:
                raise RefusedError(
                    f"The foreign keys of {name} to {min(concerned)} can't be looked at here: {error}.",
                    hint=_WHOLE,
                ) from error
    return found


def _orphans_of_backup(connection: sqlite3.Connection, tables: Sequence[str]) -> Counter[tuple[Any, ...]]:
    """Rows that referred to no row of these tables when they were backed up: they come back as they were."""
    wanted = {name.lower() for name in tables}
    found = _orphans(connection, tables, "backup")
    return Counter({row: number for row, number in found.items() if str(row[2]).lower() in wanted})


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
