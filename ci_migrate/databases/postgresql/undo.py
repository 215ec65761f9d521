"""PostgreSQL: dropping what a migration that stopped half-way has made."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.names import column_of, parts
from ci_migrate.databases.postgresql.catalog import pin
from ci_migrate.errors import DatabaseError, RefusedError
from ci_migrate.model import Schema

if TYPE_CHECKING:
    import psycopg

_OF_TABLES = {"trigger": "TRIGGER", "rule": "RULE", "policy": "POLICY"}
_AT_ONCE = {"view": "VIEW", "materialized view": "MATERIALIZED VIEW", "table": "TABLE"}
_BY_NAME = {
    "sequence": "SEQUENCE",
    "procedure": "PROCEDURE",
    "function": "FUNCTION",
    "type": "TYPE",
    "statistics": "STATISTICS",
    "publication": "PUBLICATION",
    "event trigger": "EVENT TRIGGER",
    "foreign server": "SERVER",
    "extension": "EXTENSION",
    "schema": "SCHEMA",
}
_COMMENTED = {"table column": "column", "view column": "column", "table constraint": "constraint"}
"""What `pg_identify_object` calls a kind that COMMENT and our keys call otherwise."""
_GOES_ALONG = ("owner", "grant", "comment on")
_KINDS = (*_OF_TABLES, *_AT_ONCE, *_BY_NAME, *_GOES_ALONG, "constraint", "index", "column", "rule", "policy")
_TABLE_OF_INDEX = re.compile(
    r' ON (?:ONLY )?((?:"(?:[^"]|"")*"|[^\s".])+\.(?:"(?:[^"]|"")*"|[^\s".])+) USING '
)
_OWNED_BY = re.compile(r" owned by (.*)$")

Key = tuple[str, str]


def undo_statements(schema: Schema, added: Sequence[Collection[str]]) -> list[str]:
    """See `base.UndoesAdditions`; `schema` is that of the database as it is."""
    everything = {_split(key) for batch in added for key in batch}
    return [
        statement
        for batch in added
        for statement in _Batch(schema, {_split(key) for key in batch}, everything).statements()
    ]


def _split(key: str) -> Key:
    kind = next((k for k in sorted(_KINDS, key=len, reverse=True) if key.startswith(f"{k} ")), "")
    if not kind:
        raise RefusedError(f"There is no way known to take {key} back alone.")
    return kind, key[len(kind) + 1 :]


def _quote(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def _plain(name: str) -> str:
    """A name of a key as SQL; what stands in parentheses (the arguments of a function) is SQL already."""
    bare, mark, arguments = name.partition("(")
    return f"{_quote(*parts(bare))}{mark}{arguments}"


class _Batch:
    """Objects that came at a time: PostgreSQL made them in one statement, or between two commits."""

    def __init__(self, schema: Schema, batch: Collection[Key], everything: Collection[Key]) -> None:
        self.schema = schema
        self.batch = sorted(batch)
        self.all_tables = {parts(name) for kind, name in everything if kind == "table"}
        self.tables = {parts(name) for kind, name in batch if kind == "table"}
        self.everything = set(everything)

    def statements(self) -> Iterator[str]:
        """What depends on other objects comes before them."""
        for kind, name in self.batch:
            if kind in _GOES_ALONG:
                yield from self._along(kind, name)
        for kind, name in self._of(*_OF_TABLES):
            *table, last = parts(name)
            if tuple(table) not in self.all_tables:
                yield f"DROP {_OF_TABLES[kind]} {_quote(last)} ON {_quote(*table)}"
        for kind, word in _AT_ONCE.items():  # those that depend on each other must go together
            if names := [_plain(name) for _, name in self._of(kind)]:
                yield f"DROP {word} {', '.join(names)}"
        for _, name in self._of("constraint"):
            *table, last = parts(name)
            if tuple(table) not in self.tables:
                yield f"ALTER TABLE {_quote(*table)} DROP CONSTRAINT {_quote(last)}"
        yield from self._indexes()
        yield from self._columns()
        for kind, word in _BY_NAME.items():
            yield from (
                f"DROP {word} {_plain(name)}" for _, name in self._of(kind) if not self._owned(kind, name)
            )

    def _of(self, *kinds: str) -> list[Key]:
        return [(kind, name) for kind, name in self.batch if kind in kinds]

    def _along(self, kind: str, name: str) -> Iterator[str]:
        """Owners, rights and comments go with what they belong to; a comment on another object is taken back."""
        if kind == "owner":
            return
        if kind == "grant":
            if not self._is_new(name.rpartition(" to ")[0]):
                raise RefusedError(f"There is no way known to take {kind} {name} back alone.")
            return
        what = next((k for k in (*_COMMENTED, *_KINDS) if name.startswith(f"{k} ")), "")
        if not what:
            raise RefusedError(f"There is no way known to take {kind} {name} back alone.")
        identity, word = name[len(what) + 1 :], _COMMENTED.get(what, what)
        if word == "constraint" or word in _OF_TABLES:
            own, _, table = identity.partition(" on ")
            key = f"{word} {table}.{own}"
        else:
            key = f"{word} {identity}"
        if not self._is_new(key):
            yield f"COMMENT ON {word.upper()} {identity.replace(' on ', ' ON ', 1)} IS NULL"

    def _is_new(self, key: str) -> bool:
        kind, name = _split(key)
        bare = parts(name.partition("(")[0])
        if kind in ("column", "constraint", *_OF_TABLES) and bare[:-1] in self.all_tables:
            return True
        return any(k == kind and (n == name or parts(n) == bare) for k, n in self.everything)

    def _indexes(self) -> Iterator[str]:
        constraints = {
            (*parts(name)[:1], parts(name)[-1]) for kind, name in self.everything if kind == "constraint"
        }
        found = []
        for _, name in self._of("index"):
            text = self.schema.get(f"index {name}", "")
            on = _TABLE_OF_INDEX.search(text)
            table = parts(on[1]) if on else ()
            if table not in self.all_tables and parts(name) not in constraints:
                # that of a partitioned table takes its parts with it
                found.append((" ON ONLY " not in text, name))
        yield from (f"DROP INDEX IF EXISTS {_plain(name)}" for _, name in sorted(found))

    def _columns(self) -> Iterator[str]:
        found = []
        for _, name in self._of("column"):
            table, column = column_of(f"column {name}")
            if parts(table) not in self.all_tables:
                child = "; inherits " in self.schema.get(f"table {table}", "")
                found.append((child, table, column))  # a partition's goes with its parent's
        yield from (
            f"ALTER TABLE {_plain(table)} DROP COLUMN IF EXISTS {_quote(column)}"
            for _, table, column in sorted(found)
        )

    def _owned(self, kind: str, name: str) -> bool:
        """Whether a sequence goes with its column."""
        owner = _OWNED_BY.search(self.schema.get(f"{kind} {name}", "")) if kind == "sequence" else None
        return owner is not None and self._is_new(f"column {owner[1]}")


def run(
    connection: "psycopg.Connection[Any]",
    statements: Sequence[str],
    before: Callable[[str], None],
    check: Callable[[], None],
) -> None:
    """All in one transaction, or nothing. What something else still depends on is tried again after it."""
    from psycopg import Error
    from psycopg.errors import DependentObjectsStillExist

    with connection.transaction():
        waiting = list(statements)
        while waiting:
            later = []
            for statement in waiting:
                before(statement)
                try:
                    with connection.transaction():
                        connection.execute(statement)
                except DependentObjectsStillExist as error:
                    later.append(statement)
                    failed: Error = error
                except Error as error:
                    raise _failure(statement, error) from error
            if len(later) == len(waiting):
                raise _failure(later[0], failed) from failed
            waiting = later
        pin(connection)
        check()


def _failure(statement: str, error: "psycopg.Error") -> DatabaseError:
    return DatabaseError(f"{statement}: {error.diag.message_primary or error}.", state="Nothing was changed.")


def beyond_default(connection: "psycopg.Connection[Any]", table: str, column: str) -> int:
    """See `base.UndoesAdditions`. In a transaction that is pinned and read-only: no sequence moves."""
    name = _plain(table)
    row = connection.execute(
        "SELECT pg_get_expr(d.adbin, d.adrelid), a.attgenerated, format_type(a.atttypid, a.atttypmod)"
        " FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " WHERE a.attrelid = to_regclass(%s) AND a.attname = %s AND NOT a.attisdropped",
        [name, column],
    ).fetchone()
    if row is None or row[1]:
        return 0
    default = f"({row[0] or 'NULL'})::{row[2]}"
    query = f"SELECT count(*) FROM {name} WHERE {_quote(column)}::text IS DISTINCT FROM ({default})::text"
    found = connection.execute(query).fetchone()
    return int(found[0]) if found else 0
