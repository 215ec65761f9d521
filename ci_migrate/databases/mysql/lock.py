"""The run lock on MySQL and MariaDB: GET_LOCK by a session of its own; and who else is at work in a database."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.databases.session_lock import (
    SessionLock,
    lost,
    release_after,
    wait_for_lock,
    wait_for_orphans,
)
from ci_migrate.databases.traffic import without_values

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

OURS = "ci-migrate/"
"""What the comment in each statement of a run starts with: the process list shows no other name of a session."""

MARKS = 8
"""Sessions of one migration that can be seen at the same time, whatever they do."""

IDLE = 120
"""Seconds after which the server ends the session of a lock that it hears nothing from, which is asked each
`KEEP_ALIVE`: nothing else tells it that a client is gone with its network. A server's own `wait_timeout` may be shorter
than that, or hours."""

_PROCESSES = """
SELECT p.ID, p.USER, p.HOST, p.COMMAND, p.TIME, COALESCE(p.INFO, '') FROM information_schema.PROCESSLIST p"""

_OTHERS = "p.ID <> CONNECTION_ID() AND LOCATE(%(ours)s, COALESCE(p.INFO, '')) <> 1"

BLOCKERS = (
    # both flavours, where performance_schema is on
    f"""{_PROCESSES} WHERE {_OTHERS} AND p.ID IN (
  SELECT t.PROCESSLIST_ID FROM performance_schema.metadata_locks m
  JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID
  WHERE m.OBJECT_TYPE = 'TABLE' AND m.OBJECT_SCHEMA = %(database)s AND m.LOCK_STATUS = 'GRANTED')
ORDER BY p.TIME DESC, p.ID""",
    # MariaDB with its plugin metadata_lock_info
    f"""{_PROCESSES} WHERE {_OTHERS} AND p.ID IN (
  SELECT m.THREAD_ID FROM information_schema.METADATA_LOCK_INFO m WHERE m.TABLE_SCHEMA = %(database)s)
ORDER BY p.TIME DESC, p.ID""",
    # whoever is in a transaction: those in this database first, a transaction begun elsewhere can lock tables here
    f"""{_PROCESSES} JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID
WHERE {_OTHERS} ORDER BY COALESCE(p.DB, '') = %(database)s DESC, t.trx_started, p.ID""",
    f"""{_PROCESSES} WHERE {_OTHERS} AND COALESCE(p.DB, '') = %(database)s AND p.COMMAND = 'Query'
ORDER BY p.TIME DESC, p.ID""",
)
"""Who may hold the locks that we wait for, by what each server can tell; the first that names somebody counts."""


def lock_name(database: str) -> str:
    """The name that stands for a database's run lock: of the whole server, at most 64 characters."""
    # lower case: where the server does not tell Shop from shop, two URLs may write one database differently
    return "ci_migrate_" + sha256(database.lower().encode()).hexdigest()[:40]


def session_marks(database: str) -> list[str]:
    """Names of locks: each session of a migration takes the first that is free, so that others can see it."""
    digest = sha256(database.lower().encode()).hexdigest()[:40]
    return [f"ci_migrate_at_{digest}_{number}" for number in range(MARKS)]


def _words(pid: int, user: str, host: str, command: str, age: int | None, query: str) -> str:
    text = " ".join(query.split())
    shown = f": {text[:160]}{'...' if len(text) > 160 else ''}" if text else ""
    return f"pid {pid}, user {user}@{host}, {command} for {age or 0} s{shown}"


def sessions(cursor: "Cursor", database: str, prefix: str, without: str = "") -> list[str]:
    """Who is at work in a database by a name starting with `prefix` (and is not `without`), as words.

    That is statements that carry it, and, where runs are asked for, sessions that a run has marked: inside of a
    procedure that was called, the process list shows a statement without the name.
    """
    marked = _find_marked(cursor, database) if prefix.startswith(OURS) else []
    cursor.execute(
        f"{_PROCESSES} WHERE p.ID <> CONNECTION_ID() AND (p.ID IN %s OR COALESCE(p.DB, '') = %s"
        " AND LOCATE(%s, p.INFO) = 1) ORDER BY p.ID",
        [marked or [0], database, f"/* {prefix}"],
    )
    rows = cursor.fetchall()
    hidden = sorted(set(marked) - {row[0] for row in rows})
    found = [_words(*row) for row in rows if not without or f"/* {without} */" not in row[5]]
    return found + [f"pid {pid}, which can only be seen with the right PROCESS" for pid in hidden]


def _find_marked(cursor: "Cursor", database: str) -> list[int]:
    """The sessions of migrations in a database."""
    marks = session_marks(database)
    cursor.execute(f"SELECT {', '.join(['IS_USED_LOCK(%s)'] * len(marks))}", marks)
    return [int(pid) for pid in cursor.fetchone() or () if pid is not None]


def blockers(cursor: "Cursor", database: str) -> list[str]:
    """Other people's sessions that hold locks, else those inside of a transaction, else those at work, as words.

    To see more than one's own sessions the account needs the right PROCESS.
    """
    import pymysql

    for query in BLOCKERS:
        try:
            cursor.execute(query, {"database": database, "ours": f"/* {OURS}"})
        except pymysql.MySQLError:  # no such table, or no right to it
            continue
        if found := cursor.fetchall():
            return [
                _words(pid, user, host, command, age, without_values(query, quotes_are_values=True))
                for pid, user, host, command, age, query in found
            ]
    return []


@contextmanager
def run_lock(access: Access, run_id: str, timeout: float) -> Iterator[SessionLock]:
    """Hold the run lock of a database, once nothing of an earlier run is at work in it.

    Raises:
        LockedError: somebody else holds it, or such a session is still there after `timeout` seconds.
    """
    name = lock_name(access.database)
    deadline = time.monotonic() + timeout
    with closing(access.elsewhere("").connect()) as connection:
        with access.translate_errors(), connection.cursor() as cursor:
            cursor.execute(f"SET SESSION wait_timeout = {IDLE}")
            wait_for_lock(
                lambda: _one(cursor, f"SELECT GET_LOCK('{name}', 0)") == 1,
                lambda: _holder(cursor, name),
                access.place,
                deadline,
            )
            wait_for_orphans(
                lambda: sessions(cursor, access.database, OURS, without=OURS + run_id),
                access.place,
                lambda pid: f"KILL {pid};",
                deadline,
            )
        alive, free = f"SELECT IS_USED_LOCK('{name}') = CONNECTION_ID()", f"SELECT RELEASE_LOCK('{name}')"
        with release_after(SessionLock(_asking(connection, access), access.place, alive, free)) as lock:
            yield lock


def meet(one: Access, other: Access) -> bool:
    """Whether sessions of both come to one server: a lock that one of them holds keeps the other from it.

    Such locks belong to a server, need no right, and are in no copy of its files. Its uid does not tell: a copy may
    have the same.
    """
    name = f"ci_migrate_met_{secrets.token_hex(16)}"
    with one.session(read_only=True) as here, other.session(read_only=True) as there:
        here.execute("SELECT GET_LOCK(%s, 0)", [name])
        there.execute("SELECT GET_LOCK(%s, 0)", [name])
        row = there.fetchone()
    return row is None or row[0] != 1


def _one(cursor: "Cursor", sql: str) -> Any:
    cursor.execute(sql)
    row = cursor.fetchone()
    return row[0] if row else None


def _asking(connection: "Connection[Cursor]", access: Access) -> Callable[[str], Any]:
    import pymysql

    def ask(sql: str) -> Any:
        try:
            with connection.cursor() as cursor:
                return _one(cursor, sql)
        except (pymysql.MySQLError, OSError) as error:
            raise lost(access.place, access.explain(error)) from error

    return ask


def _holder(cursor: "Cursor", name: str) -> str:
    cursor.execute(f"{_PROCESSES} WHERE p.ID = IS_USED_LOCK(%s)", [name])
    row = cursor.fetchone()
    if row is None:
        return "another run (its session can only be seen with the right PROCESS)"
    pid, user, host, _, age, _ = row
    return f"another run (connection {pid} of {user}@{host}, last heard of {age or 0} s ago)"
