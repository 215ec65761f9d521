"""MySQL and MariaDB: dropping what a migration that stopped half-way has made, one statement at a time."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from ci_migrate.databases.mysql.catalog import KEY_COLUMNS, named, quote_name, read_flavour, read_schema
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.databases.names import parts
from ci_migrate.errors import DatabaseError, RefusedError
from ci_migrate.model import ObjectKind, Schema, split_key

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

_BY_NAME = ("trigger", "view", "event", "procedure", "function", "sequence")
_OF_TABLES = ("foreign key", "check", "primary key", "index", "column")

Columns = tuple[str, ...]


@dataclass
class _Table:
    """The indexes and foreign keys of a table, those that the server made by itself included."""

    indexes: dict[str, Columns] = field(default_factory=dict)
    unique: set[str] = field(default_factory=set)
    foreign_keys: dict[str, Columns] = field(default_factory=dict)


def undo_statements(cursor: "Cursor", database: str, added: Sequence[Collection[str]]) -> list[str]:
    """See `base.UndoesAdditions`. What goes from one table at a time is one ALTER TABLE, which is all or nothing."""
    shown = read_schema(cursor, database)
    known = _tables(cursor, database)
    everything = {_split(key) for batch in added for key in batch}
    new = {names[0] for kind, names in everything if kind == "table"}
    found = []
    for batch in added:
        split = sorted(_split(key) for key in batch)
        found += [f"DROP {k.upper()} {quote_name(*n)}" for kind in _BY_NAME for k, n in split if k == kind]
        dropped = {names[0] for kind, names in split if kind == "table"}
        altered = [(kind, names) for kind, names in split if kind in _OF_TABLES and names[0] not in dropped]
        for table, members in groupby(sorted(altered, key=lambda m: m[1][0]), lambda m: m[1][0]):
            there = known.setdefault(table, _Table())
            wanted = [(k, n[-1]) for k, n in members if k == "foreign key" or table not in new]
            if clauses := list(
                _clauses(there, wanted, {n for n in shown if split_key(n)[0] == ObjectKind.INDEX}, table)
            ):
                found.append(f"ALTER TABLE {quote_name(table)} {', '.join(clauses)}")
        found += [f"DROP TABLE {quote_name(name)}" for name in sorted(dropped)]
    return found


def _split(key: str) -> tuple[str, tuple[str, ...]]:
    kind = next((k for k in ("table", *_BY_NAME, *_OF_TABLES) if key.startswith(f"{k} ")), "")
    if not kind:
        raise RefusedError(f"There is no way known to take {key} back alone.")
    return kind, parts(key[len(kind) + 1 :])


def _clauses(
    there: _Table, wanted: Sequence[tuple[str, str]], shown: Collection[str], table: str
) -> Iterator[str]:
    """What one ALTER TABLE does; `there` is brought to what it leaves.

    An index of the server's own is hidden in a schema: it goes with the foreign key that it was made for, and comes
    back where an index that took its place goes.
    """
    columns = {name for kind, name in wanted if kind == "column"}
    indexes = {name for kind, name in wanted if kind == "index"}
    for name in (n for kind, n in wanted if kind == "foreign key"):
        yield f"DROP FOREIGN KEY {quote_name(name)}"
        of_key = there.foreign_keys.pop(name, ())
        own = {name, *of_key[:1]} - there.unique
        indexes |= {
            i
            for i in own
            if there.indexes.get(i) == of_key
            and of_key
            and named("index", table, i) not in shown
            and not any(key[: len(of_key)] == of_key for key in there.foreign_keys.values())
            and not columns.issuperset(of_key)
        }
    for kind, name in wanted:
        if kind == "check" and name not in columns:  # MariaDB calls that of a column as the column
            yield f"DROP CONSTRAINT {quote_name(name)}"
        elif kind == "primary key":
            yield "DROP PRIMARY KEY"
    for name in sorted(indexes):
        yield f"DROP INDEX {quote_name(name)}"
        there.indexes.pop(name, None)
    for name, of_key in there.foreign_keys.items():
        if not any(index[: len(of_key)] == of_key for index in there.indexes.values()):
            yield f"ADD INDEX {quote_name(name)} ({', '.join(quote_name(c) for c in of_key)})"
            there.indexes[name] = of_key
    yield from (f"DROP COLUMN {quote_name(name)}" for name in sorted(columns))


def _tables(cursor: "Cursor", database: str) -> dict[str, _Table]:
    found: dict[str, _Table] = {}
    cursor.execute(read_flavour(cursor).indexes.format(one=""), [database])
    for (table, name), members in groupby(cursor.fetchall(), lambda row: (str(row[0]), str(row[1]))):
        rows = list(members)
        here = found.setdefault(table, _Table())
        here.indexes[name] = tuple(str(row[3]) for row in rows)
        if not rows[0][2]:
            here.unique.add(name)
    cursor.execute(KEY_COLUMNS.format(one=""), [database] * 2)
    for (table, name), members in groupby(cursor.fetchall(), lambda row: (str(row[0]), str(row[1]))):
        found.setdefault(table, _Table()).foreign_keys[name] = tuple(str(row[2]) for row in members)
    return found


def run(
    live: Access, statements: Sequence[str], before: Callable[[str], None], check: Callable[[Schema], None]
) -> None:
    """One by one: each commits by itself. They carry our name, so that one that outlives its client is found."""
    import pymysql

    with live.session() as cursor:
        cursor.execute(read_flavour(cursor).no_statement_limit)
        for number, statement in enumerate(statements, start=1):
            before(statement)
            try:
                cursor.execute(f"/* {live.application_name} */ {statement}")
            except pymysql.MySQLError as error:
                state = f"{number - 1} of {len(statements)} statements ran before it."
                raise DatabaseError(f"{statement}: {live.explain(error)}.", state=state) from error
        check(read_schema(cursor, live.database))


def beyond_default(cursor: "Cursor", database: str, table: str, column: str) -> int:
    """See `base.UndoesAdditions`."""
    (name,) = parts(table)
    cursor.execute(
        "SELECT COALESCE(GENERATION_EXPRESSION, '') FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = %s AND CAST(TABLE_NAME AS BINARY) = %s AND COLUMN_NAME = %s",
        [database, name, column],
    )
    row = cursor.fetchone()
    if row is None or row[0]:
        return 0
    # as bytes: to the column's own collation a and A may be equal
    here, default = (
        f"CAST({value} AS BINARY)" for value in (quote_name(column), f"DEFAULT({quote_name(column)})")
    )
    cursor.execute(f"SELECT COUNT(*) FROM {quote_name(database, name)} WHERE NOT ({here} <=> {default})")
    return int((cursor.fetchone() or (0,))[0])
