"""What a statement asks for that may cost rows, values, or time under a lock: read from its text, by tokens."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from ci_migrate.databases.effects import NOT_COLUMNS, renames
from ci_migrate.databases.statements import Action, Verb, actions_in
from ci_migrate.migrations.worker.tokens import Cursor, Dialect

UNKNOWN = "\N{HORIZONTAL ELLIPSIS}"
"""Stands in a text for what is put in at run time."""


class Asks(StrEnum):
    """What may cost rows, values, or time under a lock. CREATES and RENAMES tell which tables are new."""

    CREATES = "creates"
    RENAMES = "renames"  # `column` is the table's new name
    DROPS_TABLE = "drops-table"
    DROPS_COLUMN = "drops-column"
    EMPTIES = "empties"  # TRUNCATE, and DELETE without WHERE
    DELETES = "deletes"
    ADDS_INDEX = "adds-index"
    ADDS_FOREIGN_KEY = "adds-foreign-key"
    ADDS_CHECK = "adds-check"
    ADDS_UNIQUE = "adds-unique"
    SETS_NOT_NULL = "sets-not-null"
    CHANGES_TYPE = "changes-type"


@dataclass(frozen=True)
class Asked:
    """One of them. `table` may hold a schema ("app.users"), and is "" where the text does not tell it.

    `call` is the operation of Alembic's as it stands there, with what `batch_alter_table` knows written out; None
    where it is SQL. `name` is the constraint's or index's. `statement` is where the call is a statement of its own that
    shares its lines with nothing: its last line and the white space before it.
    """

    asks: Asks
    line: int
    table: str
    column: str = ""
    name: str = ""
    call: ast.Call | None = field(default=None, compare=False)
    statement: tuple[int, str] | None = field(default=None, compare=False)


def known(name: str) -> str:
    """The name; "" where a part of it is put in at run time."""
    return "" if UNKNOWN in name else name


def asked_in_sql(sql: str, line: int, dialect: Dialect) -> Iterator[Asked]:
    """What SQL asks for.

    Args:
        sql: one statement or several.
        line: where it stands in the script.
        dialect: by which it is read.
    """
    for action in actions_in(sql, dialect):
        yield from _statement(action, line)


def _statement(action: Action, line: int) -> Iterator[Asked]:
    tables = [known(".".join(name)) for name in action.tables]
    match action.verb:
        case Verb.DROP_TABLE:
            yield from (Asked(Asks.DROPS_TABLE, line, table) for table in tables)
        case Verb.TRUNCATE:
            yield from (Asked(Asks.EMPTIES, line, table) for table in tables)
        case Verb.DELETE:
            some = any(token.is_word("WHERE", "USING", "LIMIT", "JOIN") for token in action.rest)
            yield from (Asked(Asks.DELETES if some else Asks.EMPTIES, line, table) for table in tables)
        case Verb.CREATE_TABLE:
            yield from (Asked(Asks.CREATES, line, table) for table in tables)
        case Verb.CREATE_INDEX if "CONCURRENTLY" not in action.modifiers:
            yield from (Asked(Asks.ADDS_INDEX, line, table, name=known(action.name)) for table in tables)
        case Verb.ALTER_TABLE | Verb.RENAME_TABLE if tables:
            for old, new in renames(action):
                yield Asked(Asks.RENAMES, line, known(".".join(old)), known(".".join(new)))
            for part in action.parts if action.verb is Verb.ALTER_TABLE else ():
                yield from _part(Cursor(part), tables[0], line)
        case _:
            return


def _part(cursor: Cursor, table: str, line: int) -> Iterator[Asked]:
    """One part of an ALTER TABLE."""
    if cursor.take("DROP"):
        if not cursor.sees(*NOT_COLUMNS):
            cursor.skip("COLUMN", "IF", "EXISTS")
            yield Asked(Asks.DROPS_COLUMN, line, table, _name(cursor))
    elif cursor.take("ALTER"):
        cursor.skip("COLUMN")
        column = _name(cursor)
        if cursor.take("SET", "NOT", "NULL"):
            yield Asked(Asks.SETS_NOT_NULL, line, table, column)
        elif cursor.take("TYPE") or cursor.take("SET", "DATA", "TYPE"):
            yield Asked(Asks.CHANGES_TYPE, line, table, column)
    elif cursor.take("MODIFY") or cursor.take("CHANGE"):
        cursor.skip("COLUMN", "IF", "EXISTS")
        yield Asked(Asks.CHANGES_TYPE, line, table, _name(cursor))
    elif cursor.take("ADD"):
        name = _name(cursor) if cursor.take("CONSTRAINT") else ""
        kind = {"FOREIGN": Asks.ADDS_FOREIGN_KEY, "CHECK": Asks.ADDS_CHECK, "UNIQUE": Asks.ADDS_UNIQUE}.get(
            cursor.rest[0].text.upper() if cursor.rest else ""
        )
        # USING INDEX; NOT VALID
        late = _has(cursor, "USING") if kind is Asks.ADDS_UNIQUE else _has(cursor, "VALID")
        if kind is not None and not late:
            yield Asked(kind, line, table, name=name)


def _name(cursor: Cursor) -> str:
    """The name that comes next, with its schema; "" where none does, or nobody knows it yet."""
    return known(".".join(cursor.name()))


def _has(cursor: Cursor, word: str) -> bool:
    """Whether this word still comes."""
    return any(token.is_word(word) for token in cursor.rest)
