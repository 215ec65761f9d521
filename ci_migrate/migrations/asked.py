"""What a statement asks for that may cost rows, values, or time under a lock: read from its text, by tokens."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ci_migrate.migrations.worker.tokens import NAME, WORD, Dialect, Token, tokens_of

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
    for statement in _split(tokens_of(sql, dialect), ";"):
        yield from _statement(_Cursor(statement), line)


class _Cursor:
    """Reads a statement from its beginning."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.rest = list(tokens)

    def take(self, *words: str) -> bool:
        """Step over these words, if they come next."""
        fits = len(self.rest) >= len(words) and all(
            t.is_word(w) for t, w in zip(self.rest, words, strict=False)
        )
        if fits:
            del self.rest[: len(words)]
        return fits

    def skip(self, *words: str) -> None:
        """Step over all that come next of these words."""
        while self.rest and self.rest[0].is_word(*words):
            del self.rest[0]

    def name(self) -> str:
        """The name that comes next, with its schema; "" where none does, or nobody knows it yet."""
        parts = []
        while self.rest and self.rest[0].kind in (WORD, NAME):
            parts.append(self.rest.pop(0).value)
            if not (self.rest and self.rest[0].is_mark(".")):
                break
            del self.rest[0]
        return known(".".join(parts))

    def has(self, *words: str) -> bool:
        """Whether one of these words still comes."""
        return any(token.is_word(*words) for token in self.rest)


def _statement(cursor: _Cursor, line: int) -> Iterator[Asked]:
    if cursor.take("DROP", "TABLE"):
        cursor.skip("IF", "EXISTS")
        yield from (Asked(Asks.DROPS_TABLE, line, name) for name in _names(cursor))
    elif cursor.take("TRUNCATE"):
        cursor.skip("TABLE", "ONLY")
        yield from (Asked(Asks.EMPTIES, line, name) for name in _names(cursor))
    elif cursor.take("DELETE", "FROM"):
        cursor.skip("ONLY")
        table = cursor.name()
        yield Asked(Asks.DELETES if cursor.has("WHERE", "USING", "LIMIT") else Asks.EMPTIES, line, table)
    elif cursor.take("CREATE"):
        cursor.skip("OR", "REPLACE", "GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED", "UNIQUE")
        if cursor.take("TABLE"):
            cursor.skip("IF", "NOT", "EXISTS")
            yield Asked(Asks.CREATES, line, cursor.name())
        elif cursor.take("INDEX") and not cursor.take("CONCURRENTLY"):
            cursor.skip("IF", "NOT", "EXISTS")
            name = "" if cursor.rest and cursor.rest[0].is_word("ON") else cursor.name()
            if cursor.take("ON"):
                cursor.skip("ONLY")
                yield Asked(Asks.ADDS_INDEX, line, cursor.name(), name=name)
    elif cursor.take("ALTER", "TABLE"):
        cursor.skip("IF", "EXISTS", "ONLY")
        table = cursor.name()
        for action in _split(cursor.rest, ","):
            yield from _action(_Cursor(action), table, line)


_NO_COLUMN = (
    "CONSTRAINT", "INDEX", "KEY", "PRIMARY", "FOREIGN", "CHECK", "PARTITION", "DEFAULT", "SYSTEM", "PERIOD"
)  # fmt: skip
"""What ALTER TABLE may drop besides a column."""


def _action(cursor: _Cursor, table: str, line: int) -> Iterator[Asked]:
    """One action of an ALTER TABLE."""
    if cursor.take("RENAME", "TO"):
        yield Asked(Asks.RENAMES, line, table, cursor.name())
    elif cursor.take("DROP"):
        if not (cursor.rest and cursor.rest[0].is_word(*_NO_COLUMN)):
            cursor.skip("COLUMN")
            cursor.skip("IF", "EXISTS")
            yield Asked(Asks.DROPS_COLUMN, line, table, cursor.name())
    elif cursor.take("ALTER"):
        cursor.skip("COLUMN")
        column = cursor.name()
        if cursor.take("SET", "NOT", "NULL"):
            yield Asked(Asks.SETS_NOT_NULL, line, table, column)
        elif cursor.take("TYPE") or cursor.take("SET", "DATA", "TYPE"):
            yield Asked(Asks.CHANGES_TYPE, line, table, column)
    elif cursor.take("MODIFY") or cursor.take("CHANGE"):
        cursor.skip("COLUMN", "IF", "EXISTS")
        yield Asked(Asks.CHANGES_TYPE, line, table, cursor.name())
    elif cursor.take("ADD"):
        name = cursor.name() if cursor.take("CONSTRAINT") else ""
        kind = {"FOREIGN": Asks.ADDS_FOREIGN_KEY, "CHECK": Asks.ADDS_CHECK, "UNIQUE": Asks.ADDS_UNIQUE}.get(
            cursor.rest[0].text.upper() if cursor.rest else ""
        )
        # USING INDEX; NOT VALID
        late = cursor.has("USING") if kind is Asks.ADDS_UNIQUE else cursor.has("VALID")
        if kind is not None and not late:
            yield Asked(kind, line, table, name=name)


def _names(cursor: _Cursor) -> Iterator[str]:
    for one in _split(cursor.rest, ","):
        if one:
            yield _Cursor(one).name()


def _split(tokens: Sequence[Token], sign: str) -> Iterator[Sequence[Token]]:
    """The parts between signs that stand in no parentheses."""
    depth, start = 0, 0
    for at, token in enumerate(tokens):
        depth += token.is_mark("(") - token.is_mark(")")
        if token.is_mark(sign) and depth <= 0:
            yield tokens[start:at]
            start = at + 1
    yield tokens[start:]
