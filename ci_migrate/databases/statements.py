"""Statements of SQL, read by tokens: where each begins, what it does, and which tables it names. See `effects`.

How a server is set to read (`readings`) is not known of each text: who must not be wrong asks by `read_alike`; the
others, who blame and measure, read as the engine is set by default.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, TypeVar

from ci_migrate.migrations.worker.tokens import (
    MARK,
    NAME,
    OPEN,
    TEXT,
    WORD,
    Cursor,
    Dialect,
    Name,
    Token,
    begins,
    dialect_of,
    is_executed_comment,
    is_name,
    readings,
    split,
    tokens_of,
)


class Verb(StrEnum):
    """What a statement does, as far as tables go."""

    CREATE_TABLE = "create table"
    DROP_TABLE = "drop table"
    ALTER_TABLE = "alter table"
    RENAME_TABLE = "rename table"
    OPTIMIZE_TABLE = "optimize table"
    CREATE_INDEX = "create index"
    DROP_INDEX = "drop index"
    TRUNCATE = "truncate"
    DELETE = "delete"
    INSERT = "insert"
    REPLACE = "replace"
    UPDATE = "update"
    MERGE = "merge"
    COPY = "copy"
    OTHER = "other"


class Action(NamedTuple):
    """One statement.

    `tables` are those that it names where its verb wants them, with all of a DROP, a TRUNCATE or a multi-table UPDATE;
    `modifiers` are the words between: OR, REPLACE, TEMPORARY, IGNORE, CONCURRENTLY. `rest` is what comes behind the
    tables, `tokens` is all of it; `name` is that of an index.
    """

    verb: Verb
    tokens: Sequence[Token]
    tables: tuple[Name, ...] = ()
    modifiers: frozenset[str] = frozenset()
    rest: Sequence[Token] = ()
    name: str = ""

    def starts(self, *words: str) -> bool:
        """Whether one of these is its first word."""
        return bool(self.tokens) and self.tokens[0].is_word(*words)

    def has(self, *words: str) -> bool:
        """Whether one of these bare words is in it."""
        return any(token.is_word(*words) for token in self.tokens)

    @property
    def parts(self) -> list[Sequence[Token]]:
        """What stands behind the table, split at its commas: the actions of an ALTER TABLE."""
        return [part for part in split(self.rest, ",") if part]


# --------------------------------------------------------------------------- one after the other


def actions_in(sql: str, dialect: Dialect) -> list[Action]:
    """The statements of a text, in order. What stands in MySQL's `/*! */` is executed, and counts."""
    tokens = [t for t in tokens_of(sql, dialect) if not is_executed_comment(t)]
    return [_action(one) for one in _statements(tokens) if one]


_remembered = lru_cache(maxsize=2_048)
"""A dozen checks read the statements of a dry run, one check after the other."""

SHORT = 1_000
"""Characters of a text whose reading is remembered: what those of longer ones take is not worth its memory."""


def actions_within(sql: str, dialect: Dialect) -> Sequence[Action]:
    """These, and those that stand inside of a WITH, of a DO block or of another text that the server executes."""
    return (_remembered_actions if len(sql) <= SHORT else _actions_within)(sql, dialect)


def _actions_within(sql: str, dialect: Dialect) -> Sequence[Action]:
    found: list[Action] = []
    for action in actions_in(sql, dialect):
        if action.starts("DO", "BEGIN", "EXECUTE", "WITH", "EXPLAIN"):
            found += _inner(action.tokens, dialect)
        found.append(action)
    return tuple(found)


_remembered_actions = _remembered(_actions_within)


T = TypeVar("T")


def read_alike(sql: str, engine: str, ask: Callable[[Sequence[Action]], T | None]) -> T | None:
    """What a question comes to, however the server is set to read; None where that makes a difference.

    Nor is it told of `/*! */`, which one version executes and another does not.
    """
    found = []
    for dialect in readings(dialect_of(engine)):
        tokens = tokens_of(sql, dialect)
        if any(map(is_executed_comment, tokens)):
            return None
        if not any(t.kind == OPEN for t in tokens):  # a server that is set so would have refused it
            found.append(ask([_action(one) for one in _statements(tokens) if one]))
    return found[0] if found and all(one == found[0] for one in found) else None


def first_word(sql: str, engine: str) -> str:
    """The word that a text begins with, in upper case; "" where it begins with something else."""
    tokens = [t for t in tokens_of(sql, dialect_of(engine)) if not is_executed_comment(t)]
    return tokens[0].text.upper() if tokens and tokens[0].kind == WORD else ""


_KINDS = (
    "TABLE", "INDEX", "VIEW", "SEQUENCE", "TYPE", "DOMAIN", "SCHEMA", "DATABASE", "ROLE", "USER", "EXTENSION", "POLICY",
    "RULE", "TRIGGER", "FUNCTION", "PROCEDURE", "EVENT", "PACKAGE",
)  # fmt: skip
_PROGRAMS = ("TRIGGER", "FUNCTION", "PROCEDURE", "EVENT", "PACKAGE")


def makes_program(tokens: Sequence[Token]) -> bool:
    """Whether it creates what holds statements of its own: `CREATE TRIGGER ... BEGIN ...; END`."""
    if not (tokens and tokens[0].is_word("CREATE")):
        return False
    kind = next((t for t in tokens[1:] if t.is_word(*_KINDS) or t.is_mark("(")), None)
    return kind is not None and kind.is_word(*_PROGRAMS)


def _statements(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Split at semicolons, but for those within the body of a program."""
    start, depth = 0, 0
    program = makes_program(tokens) or _is_block(tokens)
    for at, token in enumerate(tokens):
        before, after = tokens[at - 1] if at else token, tokens[at + 1] if at + 1 < len(tokens) else token
        if program and not before.is_mark("."):
            depth += token.is_word("BEGIN", "CASE") and not before.is_word("END")
            depth -= token.is_word("END") and not after.is_word("IF", "LOOP", "WHILE", "REPEAT", "FOR")
        if token.is_mark(";") and depth <= 0:
            yield tokens[start:at]
            start, depth = at + 1, 0
            program = makes_program(tokens[start:]) or _is_block(tokens[start:])
    yield tokens[start:]


def _is_block(tokens: Sequence[Token]) -> bool:
    """MariaDB's `BEGIN NOT ATOMIC ... END`."""
    return begins(tokens, "BEGIN", "NOT")


class Within(NamedTuple):
    """What stands in a statement, and in the texts that the server executes: a DO block, a function's body.

    `words` are the bare words in upper case, `names` all that may be a name, in lower case: words, and names in quotes.
    """

    words: frozenset[str]
    names: frozenset[str]
    tokens: tuple[Token, ...]


def within(sql: str, dialect: Dialect) -> Within:
    """All that is no text, no number and no comment."""
    return (_remembered_within if len(sql) <= SHORT else _within)(sql, dialect)


def _within(sql: str, dialect: Dialect) -> Within:
    tokens = tuple(_tokens_within(tokens_of(sql, dialect), dialect))
    return Within(
        frozenset(token.text.upper() for token in tokens if token.kind == WORD),
        frozenset(token.value.lower() for token in tokens if token.kind in (WORD, NAME)),
        tokens,
    )


_remembered_within = _remembered(_within)


def _tokens_within(tokens: Sequence[Token], dialect: Dialect) -> Iterator[Token]:
    for at, token in enumerate(tokens):
        if _is_executed(tokens, at):
            yield from _tokens_within(tokens_of(token.value, dialect), dialect)
        elif token.kind in (WORD, NAME, MARK):
            yield token


def _is_executed(tokens: Sequence[Token], at: int) -> bool:
    """Whether a text is a program."""
    token = tokens[at]
    before = tokens[at - 1] if at else token
    return token.kind == TEXT and (token.text[0] == "$" or before.is_word("DO", "IMMEDIATE", "EXECUTE"))


_SET_OFF = ("DELETE", "INSERT", "UPDATE", "TRUNCATE", "DROP", "REPLACE", "MERGE", "ALTER", "RENAME", "CREATE")


def _inner(tokens: Sequence[Token], dialect: Dialect) -> Iterator[Action]:
    """The actions that begin anywhere in these tokens, and in the texts among them."""
    for at, token in enumerate(tokens):
        before = tokens[at - 1] if at else token
        if _is_executed(tokens, at):
            yield from _inner(tokens_of(token.value, dialect), dialect)
        elif token.is_word(*_SET_OFF) and not before.is_word(
            "ON", "FOR", "KEY", "DO", "BEFORE", "AFTER", "OF"
        ):
            action = _action(tokens[at:])
            if action.tables:
                yield action


# --------------------------------------------------------------------------- one of them


def _action(tokens: Sequence[Token]) -> Action:
    cursor = Cursor(tokens)
    first = cursor.rest.pop(0).text.upper() if cursor.rest and cursor.rest[0].kind == WORD else ""
    reader = _READERS.get(first)
    verb, tables, name = reader(cursor) if reader is not None else (Verb.OTHER, (), "")
    return Action(verb, tokens, tables, frozenset(cursor.skipped), cursor.rest, name)


_Read = tuple[Verb, tuple[Name, ...], str]


def _one(name: Name) -> tuple[Name, ...]:
    return (name,) if name else ()


def _read_create(cursor: Cursor) -> _Read:
    cursor.skip(
        *("OR", "REPLACE", "GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED", "FOREIGN", "VIRTUAL"),
        *("ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "SPATIAL"),
    )
    if cursor.take("TABLE"):
        cursor.skip("IF", "NOT", "EXISTS")
        return Verb.CREATE_TABLE, _one(cursor.name()), ""
    if cursor.take("INDEX"):
        cursor.skip("CONCURRENTLY", "IF", "NOT", "EXISTS")
        name = () if cursor.sees("ON") else cursor.name()
        if cursor.take("USING"):
            del cursor.rest[:1]
        if cursor.take("ON"):
            cursor.skip("ONLY")
            return Verb.CREATE_INDEX, _one(cursor.name()), ".".join(name)
    return Verb.OTHER, (), ""


def _read_drop(cursor: Cursor) -> _Read:
    cursor.skip("TEMPORARY", "ONLINE", "OFFLINE", "FOREIGN")
    if cursor.take("TABLE") or cursor.take("TABLES"):
        cursor.skip("IF", "EXISTS")
        return Verb.DROP_TABLE, cursor.names(), ""
    if cursor.take("INDEX"):
        cursor.skip("CONCURRENTLY", "IF", "EXISTS")
        name = ".".join(cursor.name())
        return Verb.DROP_INDEX, _one(cursor.name()) if cursor.take("ON") else (), name
    return Verb.OTHER, (), ""


def _read_alter(cursor: Cursor) -> _Read:
    cursor.skip("ONLINE", "OFFLINE", "IGNORE", "FOREIGN")
    if not cursor.take("TABLE"):
        return Verb.OTHER, (), ""
    cursor.skip("IF", "EXISTS", "ONLY")
    tables = _one(cursor.name())
    cursor.take_mark("*")
    cursor.skip_wait()
    return Verb.ALTER_TABLE, tables, ""


def _read_rename(cursor: Cursor) -> _Read:
    if not (cursor.take("TABLE") or cursor.take("TABLES")):
        return Verb.OTHER, (), ""
    cursor.skip("IF", "EXISTS")
    pairs = [Cursor(part) for part in split(cursor.rest, ",")]
    return Verb.RENAME_TABLE, tuple(name for pair in pairs if (name := pair.name())), ""


def _read_optimize(cursor: Cursor) -> _Read:
    cursor.skip("NO_WRITE_TO_BINLOG", "LOCAL")
    found = cursor.take("TABLE") or cursor.take("TABLES")
    return (Verb.OPTIMIZE_TABLE, cursor.names(), "") if found else (Verb.OTHER, (), "")


def _read_truncate(cursor: Cursor) -> _Read:
    cursor.skip("TABLE")
    tables = cursor.names()
    cursor.skip_wait()
    return Verb.TRUNCATE, tables, ""


def _read_delete(cursor: Cursor) -> _Read:
    cursor.skip("LOW_PRIORITY", "QUICK", "IGNORE")
    if len(cursor.rest) > 1 and cursor.rest[1].is_word("FROM"):
        cursor.skip("HISTORY")
    if cursor.take("FROM"):
        return Verb.DELETE, cursor.names(), ""
    tables = cursor.names()  # of several, and some may be called otherwise there
    return Verb.DELETE, tuple(called(table, cursor.rest) for table in tables), ""


def called(alias: Name, tokens: Sequence[Token]) -> Name:
    """The table that `FROM users AS u` calls so; the name itself where it is none's."""
    for at, token in enumerate(tokens):
        end = at - 1 if at and tokens[at - 1].is_word("AS") else at
        if end < 1 or not is_name(token) or (token.value,) != alias:
            continue
        start = end
        while start and is_name(tokens[start - 1]) and not tokens[start - 1].is_word("FROM", "JOIN"):
            start -= 1
            if not (start and tokens[start - 1].is_mark(".")):
                break
            start -= 1
        if name := Cursor(tokens[start:end]).name():
            return name
    return alias


def _read_insert(cursor: Cursor) -> _Read:
    cursor.skip("OR", "ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE")
    cursor.skip("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE")
    cursor.skip("INTO")
    return Verb.INSERT, _one(cursor.name()), ""


def _read_replace(cursor: Cursor) -> _Read:
    cursor.skip("LOW_PRIORITY", "DELAYED", "INTO")
    return Verb.REPLACE, _one(cursor.name()), ""


def _read_update(cursor: Cursor) -> _Read:
    cursor.skip("OR", "ROLLBACK", "ABORT", "FAIL", "REPLACE", "LOW_PRIORITY", "IGNORE", "ONLY")
    tables = _one(cursor.name())
    ahead: list[Token] = []
    for token in cursor.rest:
        if token.is_word("SET"):
            break
        ahead.append(token)
    for at, token in enumerate(ahead):
        if token.is_mark(",") or token.is_word("JOIN"):
            tables += _one(Cursor(ahead[at + 1 :]).name())
    return Verb.UPDATE, tables, ""


def _read_merge(cursor: Cursor) -> _Read:
    cursor.skip("INTO", "ONLY")
    return Verb.MERGE, _one(cursor.name()), ""


def _read_copy(cursor: Cursor) -> _Read:
    return Verb.COPY, _one(cursor.name()), ""


def _read_load(cursor: Cursor) -> _Read:
    while cursor.rest and not cursor.take("INTO", "TABLE"):
        del cursor.rest[0]
    return Verb.COPY, _one(cursor.name()), ""


_READERS: dict[str, Callable[[Cursor], _Read]] = {
    "CREATE": _read_create,
    "DROP": _read_drop,
    "ALTER": _read_alter,
    "RENAME": _read_rename,
    "OPTIMIZE": _read_optimize,
    "TRUNCATE": _read_truncate,
    "DELETE": _read_delete,
    "INSERT": _read_insert,
    "REPLACE": _read_replace,
    "UPDATE": _read_update,
    "MERGE": _read_merge,
    "COPY": _read_copy,
    "LOAD": _read_load,
}
