"""The schema after some more statements, read from those tables alone that they can have changed.

On a server with many tables a whole reading takes longer than most statements of a migration. What is not understood
here for certain may have changed anything: a comment, two statements in one, a name in double quotes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from ci_migrate.databases.mysql.catalog import named, part, read_flavour, read_schema, read_table
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.databases.names import parts
from ci_migrate.model import Schema, split_key

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

SNAPSHOT = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`")
_UNCLEAR = re.compile(r"--|#|/\*|;|\\")
"""Outside of what is quoted, the backslash everywhere: with it texts may end elsewhere."""

_PART = r"(?:`(?:[^`]|``)+`|[\w$]+)"
_NAME = rf"{_PART}(?:\s*\.\s*{_PART})?"
_ROWS = re.compile(
    r"(?:INSERT|UPDATE|DELETE|REPLACE|SELECT|WITH|TRUNCATE|SET(?!\s+STATEMENT\b))\b", re.IGNORECASE
)
_TABLE = re.compile(
    r"(?:CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"|ALTER\s+(?:ONLINE\s+)?(?:IGNORE\s+)?TABLE\s+(?:IF\s+EXISTS\s+)?"
    rf"|CREATE\s+(?:UNIQUE\s+|FULLTEXT\s+|SPATIAL\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?{_PART}\s+(?:USING\s+\w+\s+)?ON\s+"
    rf"|DROP\s+INDEX\s+(?:IF\s+EXISTS\s+)?{_PART}\s+ON\s+)"
    rf"(?P<name>{_NAME})(?![\w$.`])",
    re.IGNORECASE,
)
_DROPS = re.compile(
    rf"DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?P<names>{_NAME}(?:\s*,\s*{_NAME})*)\s*(?:RESTRICT|CASCADE)?",
    re.IGNORECASE,
)
_WRITES = re.compile(
    rf"(?:UPDATE\s+(?:LOW_PRIORITY\s+)?(?:IGNORE\s+)?(?P<updated>{_NAME})\s+SET\b"
    rf"|(?:INSERT|REPLACE)\s+(?:IGNORE\s+)?(?:INTO\s+)?(?P<filled>{_NAME})\s*(?:\(|(?:VALUES?|SELECT|SET)\b)"
    rf"|DELETE\s+(?:IGNORE\s+)?FROM\s+(?P<cleared>{_NAME})\s*(?:$|(?:WHERE|ORDER|LIMIT)\b)"
    rf"|TRUNCATE\s+(?:TABLE\s+)?(?P<emptied>{_NAME})\s*$)",
    re.IGNORECASE,
)
_CASCADES = re.compile(r" on (?:delete|update) (?:cascade|set )")
_OWN_ROWS = re.compile(r"; engine (?:InnoDB|MyISAM|Aria|MEMORY);")
"""Engines whose tables hold their own rows: MERGE, FEDERATED and the like show those of others."""

_OTHER_TABLES = re.compile(
    r"\bRENAME\b(?!\s+(?:COLUMN|INDEX|KEY)\b)|\bEXCHANGE\b|\bCONVERT\b(?!\s+TO\s+CHARACTER\b)", re.IGNORECASE
)
"""Of an ALTER TABLE, which another table takes part in."""


def changed_tables(statement: str, database: str) -> frozenset[str] | None:
    """The tables whose definition a statement can have changed, as it names them; None: anything may have changed.

    Triggers go with a table that is dropped, and foreign keys of others follow what they lead to: that is the
    reader's part.

    Args:
        statement: as it was sent.
        database: the one that it was sent in.
    """
    text = statement.strip().removesuffix(";").rstrip()
    bare = _QUOTED.sub("?", text)
    if _UNCLEAR.search(bare) or "\\" in text:
        return None
    if _ROWS.match(text):
        return frozenset()
    found = _TABLE.match(text)
    names = [found["name"]] if found and not _OTHER_TABLES.search(bare) else []
    if dropped := _DROPS.fullmatch(text):
        names = re.findall(_NAME, dropped["names"])
    own = [_own_name(name, database) for name in names]
    return frozenset(name for name in own if name) if own and None not in own else None


def written_tables(statement: str, database: str) -> frozenset[str] | None:
    """The tables whose rows a statement can have changed by itself; None: any. Arguments as of `changed_tables`."""
    changed = changed_tables(statement, database)
    text = statement.strip().removesuffix(";").rstrip()
    if changed or changed is None or re.match(r"SET\b", text, re.IGNORECASE):
        return changed
    found = _WRITES.match(text)
    name = _own_name(next(filter(None, found.groups())), database) if found else None
    return None if name is None else frozenset({name})


def _own_name(name: str, database: str) -> str | None:
    """The table's name; None where it is another database's."""
    *owner, table = (p[1:-1].replace("``", "`") if p[0] == "`" else p for p in re.findall(_PART, name))
    return table if not owner or owner == [database] else None


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
