"""Others' work in a database of MySQL or MariaDB: transactions that hold metadata locks, and old ones."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ci_migrate.databases.mysql.catalog import tables_of
from ci_migrate.databases.traffic import Hindrance, without_values

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

OURS = "/* ci-migrate/"

METADATA_LOCKS = (
    # both flavours, where performance_schema is on
    """
SELECT t.PROCESSLIST_ID, m.OBJECT_NAME, m.LOCK_TYPE
FROM performance_schema.metadata_locks m JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID
WHERE m.OBJECT_TYPE = 'TABLE' AND m.OBJECT_SCHEMA = %s AND m.LOCK_STATUS = 'GRANTED'""",
    # MariaDB with its plugin metadata_lock_info
    """
SELECT m.THREAD_ID, m.TABLE_NAME, m.LOCK_MODE FROM information_schema.METADATA_LOCK_INFO m
WHERE m.TABLE_SCHEMA = %s""",
)

OLD = """
SELECT p.ID, p.USER, p.HOST, p.COMMAND, TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), COALESCE(p.INFO, '')
FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
WHERE p.ID <> CONNECTION_ID() AND t.trx_started <= NOW() - INTERVAL %s SECOND
ORDER BY t.trx_started, p.ID"""


def hindrances(cursor: "Cursor", database: str, wanted: Mapping[str, str], age: float) -> list[Hindrance]:
    """See `traffic.WatchesTraffic`. Any lock on a table keeps DDL on it waiting, whatever its mode."""
    names = {name: key for key, name in tables_of(cursor, database) if key in wanted}
    held: dict[int, list[str]] = {}
    for pid, table, mode in _first(cursor, METADATA_LOCKS, database):
        if table in names:
            held.setdefault(int(str(pid)), []).append(f"{mode} on {names[str(table)]}")
    found = []
    for pid, user, host, command, seconds, statement in _first(cursor, (OLD,), int(age)):
        if str(statement).startswith(OURS):
            continue
        locks = held.get(int(str(pid)), [])
        text = without_values(str(statement), quotes_are_values=True)
        words = f"pid {pid}, user {user}@{host}, {command}, in a transaction for {seconds} s"
        words += f", holds {', '.join(locks[:5])}" if locks else ""
        found.append(Hindrance(words + (f": {text}" if text else ""), bool(locks), f"KILL {pid};"))
    return sorted(found, key=lambda one: not one.stops)


def _first(cursor: "Cursor", queries: Sequence[str], *values: object) -> Sequence[Sequence[object]]:
    """The rows of the first query that this server and account know."""
    import pymysql

    for query in queries:
        try:
            cursor.execute(query, values)
        except pymysql.MySQLError:  # no such table, or no right to it
            continue
        if rows := cursor.fetchall():
            return rows
    return ()
