"""The run lock on PostgreSQL: an advisory lock held by a session of its own, in autocommit."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.traffic import SESSION, describe
from ci_migrate.databases.session_lock import (
    POLL,
    SessionLock,
    lost,
    release_after,
    wait_for_lock,
    wait_for_orphans,
)

if TYPE_CHECKING:
    import psycopg

NO_LIMITS = """
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('statement_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout',
               'transaction_timeout')"""
"""For sessions that live as long as a run: the server may end idle ones, which settings depends on its version."""

OURS = "ci-migrate/"
"""What the name of each session of a run starts with."""

LOCK_NAME = "ci-migrate lock "
"""What the name of the session that holds a lock starts with: no statement of it is ever waited for."""

_HOLDER = """
SELECT a.pid, a.application_name, a.usename, a.backend_start
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_backend_pid()
  AND l.classid::bigint = (%(key)s::bigint >> 32) & 4294967295
  AND l.objid::bigint = %(key)s::bigint & 4294967295"""
"""In whatever database: should two runners lock in different ones, they still see each other."""


def lock_key(database: str) -> int:
    """The number that stands for a database's run lock, as PostgreSQL's bigint."""
    return int.from_bytes(sha256(f"ci-migrate {database}".encode()).digest()[:8], "big", signed=True)


def holder(connection: "psycopg.Connection[Any]", key: int) -> str:
    """Which other session of this server holds a lock, in words; '' for none."""
    found = connection.execute(_HOLDER, {"key": key}).fetchone()
    if found is None:
        return ""
    pid, application, user, since = found
    started = f" since {since:%Y-%m-%d %H:%M:%S %Z}" if since else ""
    return f"{application or 'a session without a name'} (pid {pid}, user {user}){started}"


_WHO = """
SELECT pid, coalesce(application_name, ''), coalesce(usename, ''), coalesce(state, 'state hidden'),
       extract(epoch FROM clock_timestamp() - coalesce(query_start, backend_start))::float8, coalesce(query, '')
FROM pg_stat_activity
WHERE datname = %(database)s AND pid <> pg_backend_pid()"""

BLOCKERS = f"""SELECT {SESSION} FROM pg_stat_activity a
WHERE datname = %(database)s AND pid <> pg_backend_pid()
  AND xact_start IS NOT NULL AND NOT starts_with(coalesce(application_name, ''), 'ci-migrate')
ORDER BY xact_start, pid"""
"""Who is inside of a transaction: only those hold locks on tables."""

SESSIONS = f"""{_WHO} AND starts_with(application_name, %(prefix)s)
  AND application_name <> %(without)s
ORDER BY backend_start, pid"""


def sessions(
    connection: "psycopg.Connection[Any]", database: str, prefix: str, without: str = ""
) -> list[str]:
    """Live sessions in a database whose name starts with `prefix` (and is not `without`), as words."""
    rows = connection.execute(SESSIONS, {"database": database, "prefix": prefix, "without": without})
    return [_words(*row) for row in rows]


def blockers(connection: "psycopg.Connection[Any]", database: str) -> list[str]:
    """Other people's sessions that are inside of a transaction, the oldest first, as words."""
    return [describe(*row) for row in connection.execute(BLOCKERS, {"database": database})]


def _words(pid: int, application: str, user: str, state: str, age: float | None, query: str) -> str:
    since = f" for {age:.0f} s" if age is not None else ""
    text = " ".join(query.split())
    shown = f": {text[:160]}{'...' if len(text) > 160 else ''}" if text else ""
    return f"pid {pid}, {application}, user {user}, {state}{since}{shown}"


@contextmanager
def run_lock(access: Access, target: Access, run_id: str, timeout: float) -> Iterator[SessionLock]:
    """Hold the run lock of `target` in the database of `access`, once no session of an earlier run is in the target.

    Raises:
        LockedError: somebody else holds it, or such a session is still there after `timeout` seconds.
    """
    access = access.elsewhere(access.database, application_name=LOCK_NAME + run_id)
    deadline = time.monotonic() + timeout
    with closing(access.connect()) as connection:
        key = lock_key(target.database)
        with access.translate_errors():
            connection.execute(NO_LIMITS)
            wait_for_lock(
                lambda: _taken(connection, key),
                lambda: holder(connection, key) or "another run",
                target.place,
                deadline,
            )
            wait_for_orphans(
                lambda: sessions(connection, target.database, OURS, without=OURS + run_id),
                target.place,
                lambda pid: f"SELECT pg_terminate_backend({pid});",
                deadline,
            )
        free = f"SELECT pg_advisory_unlock({key})"
        with release_after(SessionLock(_asking(connection, access), access.place, "SELECT 1", free)) as lock:
            yield lock


def _asking(connection: "psycopg.Connection[Any]", access: Access) -> Callable[[str], Any]:
    import psycopg

    def ask(sql: str) -> Any:
        try:
            row = connection.execute(sql).fetchone()
        except psycopg.Error as error:
            raise lost(access.place, access.explain(error)) from error
        return row[0] if row else None

    return ask


def _taken(connection: "psycopg.Connection[Any]", key: int) -> bool:
    row = connection.execute(f"SELECT pg_try_advisory_lock({key})").fetchone()
    if not (row and row[0]):
        return False
    if not holder(connection, key):
        return True
    connection.execute(f"SELECT pg_advisory_unlock({key})")
    time.sleep(random.uniform(0, POLL))  # noqa: S311 - two that meet like this must not stay in step
    return False
