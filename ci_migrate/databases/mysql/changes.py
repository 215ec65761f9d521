"""The schema after some more statements, read from those tables alone that they can have changed.

On a server with many tables a whole reading takes longer than most statements of a migration. What is not understood
here for certain may have changed anything: two statements in one, `/*! */`, what the server's settings decide.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from ci_migrate.databases.effects import renames
from ci_migrate.databases.mysql.catalog import named, part, read_flavour, read_schema, read_table
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.databases.names import parts
from ci_migrate.databases.statements import Action, Verb, read_alike
from ci_migrate.migrations.worker.tokens import begins
from ci_migrate.model import Schema, split_key

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

SNAPSHOT = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"

# these two read what our catalog has written, in one form whatever the SQL looked like
_CASCADES = re.compile(r" on (?:delete|update) (?:cascade|set )")
_OWN_ROWS = re.compile(r"; engine (?:InnoDB|MyISAM|Aria|MEMORY);")
"""Engines whose tables hold their own rows: MERGE, FEDERATED and the like show those of others."""

_ROWS = ("INSERT", "UPDATE", "DELETE", "REPLACE", "SELECT", "WITH", "TRUNCATE", "SET")
_DEFINES = (Verb.CREATE_TABLE, Verb.ALTER_TABLE, Verb.CREATE_INDEX, Verb.DROP_INDEX, Verb.DROP_TABLE)
_NOT_HERE = frozenset({"REPLACE", "TEMPORARY"})
"""Modifiers of what drops an old table too, or makes one that only the session sees."""


def changed_tables(statement: str, database: str) -> frozenset[str] | None:
    """The tables whose definition a statement can have changed, as it names them; None: anything may have changed.

    Triggers go with a table that is dropped, and foreign keys of others follow what they lead to: that is the
    reader's part.

    Args:
        statement: as it was sent.
        database: the one that it was sent in.
    """
    return read_alike(statement, "mysql", lambda actions: _changed(actions, database))


def _changed(actions: Sequence[Action], database: str) -> frozenset[str] | None:
    if len(actions) != 1:
        return None
    action = actions[0]
    if action.starts(*_ROWS):
        return None if _sets_for_another(action) else frozenset()
    if action.verb not in _DEFINES or action.modifiers & _NOT_HERE or _takes_another_table(action):
        return None
    return _own_names(action, database)


def _sets_for_another(action: Action) -> bool:
    """MariaDB's `SET STATEMENT max_statement_time = 9 FOR ALTER TABLE ...`."""
    return begins(action.tokens, "SET", "STATEMENT")


def _takes_another_table(action: Action) -> bool:
    """Whether an ALTER TABLE renames its table, or swaps or makes partitions of another."""
    others = (("EXCHANGE",), ("CONVERT", "PARTITION"), ("CONVERT", "TABLE"))
    return action.verb is Verb.ALTER_TABLE and (
        bool(renames(action)) or any(begins(part, *words) for part in action.parts for words in others)
    )


def written_tables(statement: str, database: str) -> frozenset[str] | None:
    """The tables whose rows a statement can have changed by itself; None: any. Arguments as of `changed_tables`."""
    return read_alike(statement, "mysql", lambda actions: _written(actions, database))


def _written(actions: Sequence[Action], database: str) -> frozenset[str] | None:
    changed = _changed(actions, database)
    if changed or changed is None or actions[0].starts("SET"):
        return changed
    return _own_names(actions[0], database) if _writes_one(actions[0]) else None


def _writes_one(action: Action) -> bool:
    """Whether it writes the table that it names and no other."""
    after = action.rest[0] if action.rest else None
    match action.verb:
        case Verb.UPDATE:
            return after is not None and after.is_word("SET")
        case Verb.INSERT | Verb.REPLACE:
            return after is not None and (
                after.is_mark("(") or after.is_word("VALUES", "VALUE", "SELECT", "SET")
            )
        case Verb.DELETE:
            return after is None or after.is_word("WHERE", "ORDER", "LIMIT")
        case Verb.TRUNCATE:
            return after is None
        case _:
            return False


def _own_names(action: Action, database: str) -> frozenset[str] | None:
    """The tables that it names; None for none, and where one is another database's."""
    if not action.tables or any(name[:-1] not in ((), (database,)) for name in action.tables):
        return None
    return frozenset(name[-1] for name in action.tables)


class TableReader:
    """See `schema_changes.SchemaReader`: with one session, which is not the child's."""

    def __init__(self, cursor: "Cursor", access: Access) -> None:
        self._cursor = cursor
        self._access = access
        self._flavour = read_flavour(cursor)

    def read(self, last: Schema, statements: Sequence[str]) -> Schema:
        with self._access.translate_errors():
            each = [changed_tables(statement, self._access.database) for statement in statements]
            names = {name for some in each for name in some or ()}
            if None not in each and not names:
                return last
            self._cursor.execute(SNAPSHOT)
            try:
                found = None if None in each else self._read_tables(last, names)
                return read_schema(self._cursor, self._access.database) if found is None else found
            finally:
                self._cursor.execute("COMMIT")  # else the tables that were opened stay locked

    def written(self, last: Schema, statements: Sequence[str]) -> frozenset[str] | None:
        if any(map(_writes_elsewhere, last.keys(), last.values())):
            return None
        each = [written_tables(statement, self._access.database) for statement in statements]
        names = {name for some in each for name in some or ()}
        if None in each or any(named("view", name) in last for name in names):
            return None
        return frozenset(map(part, names))

    def _read_tables(self, last: Schema, names: Iterable[str]) -> Schema | None:
        """The last schema with these tables as they are now; None where they are not what they are called."""
        wanted = {*names, *_referring(last, names)}
        now: Schema = {}
        for name in sorted(wanted):
            found = read_table(self._cursor, self._access.database, self._flavour, name)
            here, was = named("table", name) in found, named("table", name) in last
            with_triggers = any(split_key(key)[0] == "trigger" for key in last)
            if not here and (found or not was or with_triggers):
                return None
            now.update(found)
        kept = {key: text for key, text in last.items() if _table_of(key) not in wanted}
        return dict(sorted({**kept, **now}.items()))


def _writes_elsewhere(key: str, definition: str) -> bool:
    """Whether a statement about one table can write to another one because of this object."""
    if key.startswith("foreign key "):
        return bool(_CASCADES.search(definition))
    if key.startswith("table "):
        return not _OWN_ROWS.search(definition)
    return key.startswith(("trigger ", "function ", "procedure "))


def _referring(schema: Schema, names: Iterable[str]) -> Iterator[str]:
    """The tables whose foreign keys lead to these."""
    targets = tuple(f" references {part(name)} (" for name in names)
    for key, text in schema.items():
        if key.startswith("foreign key ") and any(target in text for target in targets):
            yield _table_of(key)


def _table_of(key: str) -> str:
    """The table that an object of the schema belongs to; "" for a view, a routine and the like."""
    for kind in ("table ", "column ", "index ", "primary key ", "foreign key ", "check "):
        if key.startswith(kind):
            return parts(key.removeprefix(kind))[0]
    return ""


@contextmanager
def schema_reader(access: Access) -> Iterator[TableReader]:
    """A reader of its own session."""
    with closing(access.connect(read_only=True)) as connection, access.translate_errors():
        cursor = connection.cursor()
        cursor.execute(read_flavour(cursor).no_statement_limit)
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield TableReader(cursor, access)
