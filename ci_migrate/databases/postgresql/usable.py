"""Whether a server can be worked with at all."""

from ci_migrate.databases.postgresql.sessions import Access, own_url
from ci_migrate.errors import DatabaseError

OLDEST = 13
"""The oldest major version of the server."""


def refuse_unusable(access: Access) -> None:
    """Raise DatabaseError where a server is too old, a replica, or behind a pooler in transaction mode."""
    with access.session() as connection:
        told = connection.execute(
            "SELECT pg_is_in_recovery(), pg_backend_pid(), current_setting('server_version'),"
            " host(inet_server_addr()), current_setting('port')"
        ).fetchone()
        again = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert told is not None
        assert again is not None
        in_recovery, pid, version, address, port = told
        if connection.info.server_version < OLDEST * 10000:
            raise DatabaseError(
                f"{access.server} is PostgreSQL {version}; {OLDEST} is the oldest that is supported.",
                hint="Upgrade the server, or run Alembic by hand.",
            )
        if in_recovery:
            raise DatabaseError(
                f"{access.place} is a replica (in recovery): nothing can be written there.",
                hint="Give the URL of the primary (libpq: several hosts and target_session_attrs=read-write).",
            )
        if not connection.info.backend_pid == pid == again[0]:
            raise DatabaseError(
                f"{access.place} is behind a connection pooler: a lock would not stay with its session.",
                hint=own_url(address, port),
            )
