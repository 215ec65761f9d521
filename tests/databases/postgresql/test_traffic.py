"""What stands in the way on PostgreSQL: autovacuum, which gives way or does not; replicas that lag."""

import subprocess
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.traffic import without_values

SLOW = (
    "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_scale_factor = 0"
)
SETTINGS = ("autovacuum_naptime=1s", "autovacuum_freeze_max_age=100000")
WORKER = (
    "SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE backend_type = 'autovacuum worker'"
    " AND relation = 't'::regclass AND l.mode = 'ShareUpdateExclusiveLock' AND (query LIKE '%%wraparound%%') = %s"
)


@pytest.fixture
def session(start_postgresql) -> Iterator["psycopg.Connection"]:
    with start_postgresql(settings=SETTINGS) as server:
        url = server.admin_url.render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                f"CREATE TABLE t (a int, b text) WITH ({SLOW}, autovacuum_vacuum_threshold = 1)"
            )
            connection.execute("INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n")
            connection.server = server
            yield connection


def wait_for_worker(connection: "psycopg.Connection", *, wraparound: bool) -> None:
    deadline = time.monotonic() + 60
    while connection.execute(WORKER, [wraparound]).fetchone() == (0,):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def add_column(connection: "psycopg.Connection", seconds: float, name: str) -> bool:
    """Whether it got its lock in this time."""
    connection.execute(f"SET lock_timeout = {seconds * 1000:.0f}")
    try:
        connection.execute(f"ALTER TABLE t ADD COLUMN {name} int")
    except psycopg.errors.LockNotAvailable:
        return False
    return True


@pytest.mark.long
def test_an_autovacuum_gives_way_to_who_waits_longer_than_deadlock_timeout(session) -> None:
    """Why `lock-timeout` is 2 s: with less than 1 s no ALTER TABLE gets past a long autovacuum."""
    session.execute("DELETE FROM t WHERE a % 2 = 0")
    wait_for_worker(session, wraparound=False)
    assert not add_column(session, 0.5, "early")
    wait_for_worker(session, wraparound=False)
    assert add_column(session, 2, "late")


@pytest.mark.long
def test_F65_an_autovacuum_to_prevent_wraparound_is_in_the_way(session) -> None:
    session.execute("CREATE PROCEDURE burn() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..110000 LOOP"
                    " PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")  # fmt: skip
    session.execute("CALL burn()")
    wait_for_worker(session, wraparound=True)
    database = PostgreSQL(session.server.admin_url)
    found = database.hindrances({"public.t": "ACCESS EXCLUSIVE"}, age=3600)
    assert [(one.stops, one.ends) for one in found] == [(True, "")], found
    assert "holds SHARE UPDATE EXCLUSIVE on public.t" in found[0].words
    assert "(to prevent wraparound)" in found[0].words
    assert not add_column(session, 2, "late")
    assert not any(one.stops for one in database.hindrances({"public.t": "ROW EXCLUSIVE"}, age=3600))


@pytest.mark.long
def test_a_replica_that_lags_is_named_and_stops_nobody(start_postgresql, postgresql_bin, tmp_path) -> None:
    """A real standby whose replay stands still, and then goes on."""
    copy = tmp_path / "copy"
    with start_postgresql() as primary:
        place = ["-h", str(primary.sockets), "-p", str(primary.port), "-U", "postgres"]
        subprocess.run(
            [str(postgresql_bin / "pg_basebackup"), "-D", str(copy), "-c", "fast", *place], check=True
        )
        source = f"host={primary.sockets} port={primary.port} user=postgres application_name=late"
        database = PostgreSQL(primary.admin_url)

        def named() -> list[str]:
            return [
                one.words
                for one in database.hindrances({}, age=2)
                if "replica" in one.words and not one.stops
            ]

        with (
            start_postgresql(copy_of=copy, settings=(f"primary_conninfo={source}",)) as replica,
            psycopg.connect(
                primary.socket_url().render_as_string(hide_password=False), autocommit=True
            ) as here,
            psycopg.connect(
                replica.socket_url().render_as_string(hide_password=False), autocommit=True
            ) as there,
        ):
            here.execute("CREATE TABLE t (a int)")
            written_until(here, lambda: there.execute("SELECT to_regclass('t')").fetchone() != (None,))
            assert named() == []
            there.execute("SELECT pg_wal_replay_pause()")
            written_until(here, named)
            assert named()[0].startswith("replica late at a socket (streaming) is ")
            there.execute("SELECT pg_wal_replay_resume()")
            written_until(here, lambda: not named())


def written_until(connection: "psycopg.Connection", done: Callable[[], object]) -> None:
    """A write now and then: the lag is that of what was written."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        connection.execute("SELECT pg_logical_emit_message(true, 'x', 'x')")
        time.sleep(0.3)


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT * FROM t WHERE name = 'O''Hara' AND id = 4711", "SELECT * FROM t WHERE name = ? AND id = ?"),
        ("SELECT $body$ secret $body$, t1.c2", "SELECT ?, t1.c2"),
        ("UPDATE t SET a = 'cut off by track_activity_qu", "UPDATE t SET a = ?"),
        ("SELECT 1.5e3\n  FROM  t", "SELECT ? FROM t"),
    ],
)
def test_somebody_elses_statement_is_shown_without_values(sql, shown) -> None:
    assert without_values(sql) == shown
    assert without_values('SELECT "secret"', quotes_are_values=True) == "SELECT ?"
