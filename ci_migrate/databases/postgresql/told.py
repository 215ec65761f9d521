"""What a session tells of the database that it has come to, whatever address leads there."""

import secrets

from ci_migrate.databases.postgresql.sessions import Access


def read_told(access: Access) -> dict[str, str]:
    """`oid`, `system_identifier` ('' where it may not be read), and when the server `started`.

    The worker asks for the start, too: every role may, and a cluster that was copied as files has the same
    identifier. It is compared within a run alone. A session of its own is asked: the URL may lead elsewhere now.
    """
    with access.anew.session(read_only=True) as connection:
        row = connection.execute(
            "SELECT d.oid, pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute'),"
            " (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint"
            " FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
        ).fetchone()
        assert row is not None
        oid, permitted, started = row
        system = (
            connection.execute("SELECT system_identifier FROM pg_catalog.pg_control_system()")
            if permitted
            else None
        )
        found = system.fetchone() if system else None
    return {
        "oid": str(oid),
        "system_identifier": str(found[0]) if found else "",
        "started": str(started),
    }


def meet(one: Access, other: Access) -> bool:
    """Whether sessions of both come to one database: a lock that one of them holds keeps the other from it.

    Advisory locks belong to a database, need no right, and are in no copy of its files. What sessions are called tells
    less: those of another run may be there.
    """
    key = secrets.randbits(63)
    with (
        one.anew.session(read_only=True) as here,
        other.anew.session(read_only=True) as there,
        here.transaction(),  # a pooler would lend the session that holds it to the other one
    ):
        here.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s::bigint)", [key])
        row = there.execute("SELECT pg_catalog.pg_try_advisory_lock(%s::bigint)", [key]).fetchone()
    return row is None or not row[0]
