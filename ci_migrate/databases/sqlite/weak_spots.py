"""SQLite: foreign keys without an index."""

import sqlite3
from collections.abc import Iterator

from ci_migrate.databases.weak_spots import WeakSpot, WeakSpotKind

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
KEYS = 'SELECT id, "table", "from" FROM pragma_foreign_key_list(?) ORDER BY id, seq'
FIRST_COLUMNS = (
    "SELECT (SELECT name FROM pragma_index_info(i.name) WHERE seqno = 0) FROM pragma_index_list(?) i"
)
ROWID = "SELECT name FROM pragma_table_info(?) WHERE pk = 1"


def weak_spots(connection: sqlite3.Connection) -> Iterator[WeakSpot]:
    """See `KnowsWeakSpots`. What has no identity is known by its names."""
    for (table,) in connection.execute(TABLES).fetchall():
        keys: dict[int, tuple[str, list[str]]] = {}
        for number, parent, column in connection.execute(KEYS, (table,)):
            keys.setdefault(number, (parent, []))[1].append(column)
        if not keys:
            continue
        indexed = {name for (name,) in connection.execute(FIRST_COLUMNS, (table,))}
        indexed |= {name for (name,) in connection.execute(ROWID, (table,))}
        for parent, columns in keys.values():
            if not indexed & set(columns):
                identity = f"{table} ({', '.join(columns)}) {parent}"
                yield WeakSpot(WeakSpotKind.NO_INDEX, identity, table, parent, tuple(columns))
