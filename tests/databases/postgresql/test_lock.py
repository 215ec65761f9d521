"""The run lock on PostgreSQL: two runners, killed holders, orphaned statements."""

import subprocess
import sys
import textwrap
import threading
import time

import psycopg
import pytest
from postgresql_support import plain

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import LockedError

HOLD = """
    import sys, time
    from sqlalchemy import make_url
    from ci_migrate.databases.postgresql.database import PostgreSQL
    with PostgreSQL(make_url(input())).lock("first", 5):
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def holder(postgresql_url):
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        child.stdin.write(plain(postgresql_url) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def test_L1_of_two_processes_one_runs_and_the_other_is_told_who_does(postgresql_url, holder):
    started = time.monotonic()
    with (
        pytest.raises(
            LockedError, match=r"is locked by ci-migrate lock first \(pid \d+, user postgres\) since 2"
        ),
        PostgreSQL(postgresql_url).lock("second", 0.6),
    ):
        pytest.fail("held twice")
    assert 0.6 <= time.monotonic() - started < 5


def test_two_that_lock_in_different_databases_still_see_each_other(postgresql_url, postgresql_server):
    """One runner may connect to `postgres`, the other may not (or was told to lock elsewhere)."""
    elsewhere = PostgreSQL(postgresql_url, lock_url=postgresql_server.url("template1"))
    here = PostgreSQL(postgresql_url)
    with here.lock("a", 0), pytest.raises(LockedError, match="ci-migrate lock a"), elsewhere.lock("b", 0.3):
        pass
    with elsewhere.lock("b", 0), pytest.raises(LockedError, match="ci-migrate lock b"), here.lock("a", 0.3):
        pass


def test_a_role_that_may_not_enter_postgres_locks_in_the_target(postgresql_url, postgresql_server):
    admin = psycopg.connect(plain(postgresql_server.admin_url), autocommit=True)
    with admin:
        admin.execute("CREATE ROLE locked_out LOGIN PASSWORD 'x'")
        admin.execute("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
        try:
            with PostgreSQL(postgresql_url.set(username="locked_out", password="x")).lock("a", 0):
                there = "SELECT d.datname FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory'"
                assert admin.execute(there).fetchall() == [(postgresql_url.database,)]
        finally:
            admin.execute("GRANT CONNECT ON DATABASE postgres TO PUBLIC")
            admin.execute("DROP ROLE locked_out")


def test_L2_a_statement_of_a_killed_run_is_waited_for(postgresql_url):
    database = PostgreSQL(postgresql_url)
    with psycopg.connect(plain(postgresql_url), application_name="ci-migrate/killed") as orphan:
        with pytest.raises(LockedError, match="still at work") as raised, database.lock("next", 0.4):
            pytest.fail("ran beside an orphan")
        assert str(orphan.info.backend_pid) in raised.value.what
        assert f"pg_terminate_backend({orphan.info.backend_pid})" in raised.value.hint
        timer = threading.Timer(0.5, orphan.close)
        timer.start()
        with database.lock("next", 10):
            assert orphan.closed
        timer.join()


def test_L5_the_lock_does_not_hold_up_an_index_that_is_built_concurrently(postgresql_url):
    with (
        PostgreSQL(postgresql_url).lock("a", 0),
        psycopg.connect(plain(postgresql_url), autocommit=True) as session,
    ):
        session.execute("CREATE TABLE t (a int)")
        session.execute("SET statement_timeout = '5s'")
        session.execute("CREATE INDEX CONCURRENTLY ix ON t (a)")


def test_a_release_that_fails_is_an_error(postgresql_url, postgresql_server):
    def run(fail):
        with PostgreSQL(postgresql_url).lock("cut", 0):
            with psycopg.connect(plain(postgresql_server.admin_url)) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ci-migrate lock cut'"
                )
            if fail:
                raise ZeroDivisionError

    with pytest.raises(LockedError, match="was lost"):
        run(fail=False)
    with pytest.raises(ZeroDivisionError):  # what ended the run is the news
        run(fail=True)


def test_a_server_that_ends_idle_sessions_spares_the_lock(postgresql_url, postgresql_server):
    with psycopg.connect(plain(postgresql_server.admin_url), autocommit=True) as admin:
        admin.execute("CREATE ROLE impatient LOGIN PASSWORD 'x'")
        admin.execute("ALTER ROLE impatient SET idle_session_timeout = '300ms'")
        try:
            with PostgreSQL(postgresql_url.set(username="impatient", password="x")).lock("a", 0) as lock:
                time.sleep(0.8)
                lock.check()
        finally:
            admin.execute("DROP ROLE impatient")
