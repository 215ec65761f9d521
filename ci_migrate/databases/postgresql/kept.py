"""A session that reads, kept between two uses: with TLS and a password a new one takes tens of milliseconds."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

_BEGINS = """
SELECT pg_catalog.string_agg(s::text, ' ' ORDER BY s.setdatabase, s.setrole) FROM pg_catalog.pg_db_role_setting s
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
  AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user))"""
"""What ALTER DATABASE and ALTER ROLE say that a session begins with. The database's name and place can't change while
one is there. https://www.postgresql.org/docs/current/catalog-pg-db-role-setting.html"""


class Kept:
    """At most one session, idle and outside of a transaction.

    It is used again only as what a new one would be: `RESET ALL` takes back what was set in it, no plan is kept, and it
    is thrown away where a new session would begin with other settings, or where it does not answer. Where the host's
    name leads by now it can't tell: for that a session of its own is opened. Nobody who reads sets a role in it, makes
    a temporary table or takes a lock: those would stay.
    """

    def __init__(self) -> None:
        self._idle: tuple[psycopg.Connection[Any], tuple[Any, ...]] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def session(
        self, connect: "Callable[[], psycopg.Connection[Any]]"
    ) -> "Iterator[psycopg.Connection[Any]]":
        """The session, or a new one; kept where the block is left without an error."""
        connection, begun = self._take() or _begin(connect())
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._give(connection, begun)

    def _take(self) -> "tuple[psycopg.Connection[Any], tuple[Any, ...]] | None":
        import psycopg

        with self._lock:
            kept, self._idle = self._idle, None
        if kept is None:
            return None
        connection, begun = kept
        with suppress(psycopg.Error):
            connection.execute("RESET ALL")
            if connection.execute(_BEGINS).fetchone() == begun:
                return kept
        connection.close()
        return None

    def _give(self, connection: "psycopg.Connection[Any]", begun: tuple[Any, ...]) -> None:
        import psycopg

        info = connection.info
        fits = info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        # of SQL_ASCII the client's encoding was changed, which RESET ALL would take back
        fits = fits and info.parameter_status("server_encoding") != "SQL_ASCII"
        with self._lock:
            if fits and self._idle is None:
                self._idle = connection, begun
                return
        connection.close()

    def close(self) -> None:
        """Close it, if there is one."""
        with self._lock:
            kept, self._idle = self._idle, None
        if kept is not None:
            kept[0].close()


def _begin(connection: "psycopg.Connection[Any]") -> "tuple[psycopg.Connection[Any], tuple[Any, ...]]":
    connection.prepare_threshold = None  # a plan from before a column was changed ends in an error
    try:
        found = connection.execute(_BEGINS).fetchone()
        assert found is not None
    except BaseException:
        connection.close()
        raise
    return connection, found
