"""The run lock on MariaDB: two runners, killed holders, orphaned statements, who is in the way."""

import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing, contextmanager, suppress

import pymysql
import pytest
from kill_support import new_shop, only_for_real
from mysql_support import url_of
from sqlalchemy import make_url
from stuck_proxy import StuckProxy

from ci_migrate.databases import session_lock
from ci_migrate.databases.mysql import lock as lock_module
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.mysql.lock import lock_name, session_marks
from ci_migrate.errors import LockedError

HOLD = """
    import sys, time
    from sqlalchemy import make_url
    from ci_migrate.databases.mysql.database import MySQL
    with MySQL(make_url(input())).lock("first", 5):
        print("held", flush=True)
        time.sleep(60)
"""


def connect(url, **arguments):
    return pymysql.connect(
        host=url.host,
        port=url.port,
        user=url.username,
        password=url.password,
        database=url.database,
        autocommit=True,
        **arguments,
    )


def one(url, query, *values):
    with closing(connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute(query, values)
        row = cursor.fetchone()
        return row and row[0]


@contextmanager
def running(url, statement):
    """A session in which a statement is at work, until the server ends it."""

    def work():
        with suppress(pymysql.MySQLError):  # it is killed
            connection.cursor().execute(statement)

    connection = connect(url)
    pid = connection.thread_id()
    thread = threading.Thread(target=work)
    thread.start()
    busy = "SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s AND COMMAND = 'Query' AND INFO IS NOT NULL"
    while not one(url, busy, pid):
        time.sleep(0.02)
    try:
        yield pid
    finally:
        if one(url, "SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s", pid):
            one(url, f"KILL {pid}")
        thread.join()


@pytest.fixture
def holder(mysql_url):
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        child.stdin.write(mysql_url.render_as_string(hide_password=False) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def cut_lock(url):
    one(url, f"KILL {one(url, 'SELECT IS_USED_LOCK(%s)', lock_name(url.database))}")


def test_L1_of_two_processes_one_runs_and_the_other_is_told_who_does(mysql_url, holder):
    session = one(mysql_url, "SELECT IS_USED_LOCK(%s)", lock_name(mysql_url.database))
    started = time.monotonic()
    with (
        pytest.raises(LockedError, match=rf"is locked by another run \(connection {session} of admin@127"),
        MySQL(mysql_url).lock("second", 0.6),
    ):
        pytest.fail("held twice")
    assert 0.6 <= time.monotonic() - started < 5


def test_other_databases_are_not_locked_and_the_name_fits(mysql_url, mariadb_server):
    with MySQL(mysql_url).lock("a", 0), MySQL(mariadb_server.admin_url).lock("b", 0):
        pass
    assert max(map(len, [lock_name("x" * 64), *session_marks("x" * 64)])) <= 64
    assert lock_name("Shop") == lock_name("shop")  # where the server does not tell them apart


def test_L2_a_statement_of_a_killed_run_is_waited_for(mysql_url):
    database = MySQL(mysql_url)
    with running(mysql_url, "/* ci-migrate/killed */ SELECT SLEEP(60)") as pid:
        with pytest.raises(LockedError, match="still at work") as raised, database.lock("next", 0.4):
            pytest.fail("ran beside an orphan")
        assert f"pid {pid}, user admin@" in raised.value.what
        assert f"KILL {pid};" in raised.value.hint
        assert len(database.sessions_of("ci-migrate/killed")) == 1
        assert database.sessions_of("ci-migrate/other") == []
        timer = threading.Timer(0.5, one, [mysql_url, f"KILL {pid}"])
        timer.start()
        with database.lock("next", 10):
            assert database.sessions_of("ci-migrate/") == []
        timer.join()


def test_a_statement_that_only_quotes_our_name_is_nobody_of_ours(mysql_url):
    database = MySQL(mysql_url)
    with running(mysql_url, "SELECT '/* ci-migrate/killed */', SLEEP(60)"):
        assert database.sessions_of("ci-migrate/") == []
        with database.lock("next", 0.4):
            pass


ASLEEP = """
SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s AND INFO LIKE %s AND ID <> CONNECTION_ID()"""


def test_L2_a_procedure_that_a_killed_run_called_is_waited_for(mysql_url, tmp_path):
    """The process list shows the statement inside of the procedure, without the name."""
    one(mysql_url, "CREATE PROCEDURE slow() DO SLEEP(60)")
    shop = new_shop(tmp_path, mysql_url)
    shop.revision("r1", "r0", only_for_real('op.execute("CALL slow()")'))
    with shop.start("migrate") as run:
        while not (pid := one(mysql_url, ASLEEP, mysql_url.database, "DO SLEEP(60)%")):
            assert run.poll() is None, run.communicate()
            time.sleep(0.05)
        run.kill()
    database = MySQL(mysql_url)
    try:
        with (
            pytest.raises(LockedError, match=f"still at work .*pid {pid}, user admin"),
            database.lock("next", 0.4),
        ):
            pytest.fail("ran beside an orphan")
        assert len(database.sessions_of("ci-migrate/")) == 1
        assert MySQL(mysql_url.set(database="mysql")).sessions_of("ci-migrate/") == []
    finally:
        one(mysql_url, f"KILL {pid}")
    with database.lock("next", 10):
        assert database.sessions_of("ci-migrate/") == []


def test_L2_a_marked_session_that_may_not_be_seen_counts_too(mysql_url):
    name = f"w_{mysql_url.database[5:]}"
    one(mysql_url, f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'x'")
    try:
        one(mysql_url, f"GRANT SELECT ON {mysql_url.database}.* TO {name}@'127.0.0.1'")
        with closing(connect(mysql_url)) as connection:
            connection.cursor().execute("SELECT GET_LOCK(%s, 0)", [session_marks(mysql_url.database)[-1]])
            (words,) = MySQL(mysql_url.set(username=name, password="x")).sessions_of("ci-migrate/")
            assert words == f"pid {connection.thread_id()}, which can only be seen with the right PROCESS"
    finally:
        one(mysql_url, f"DROP USER {name}@'127.0.0.1'")


def test_a_release_that_fails_is_an_error(mysql_url):
    def run(fail):
        with MySQL(mysql_url).lock("cut", 0):
            cut_lock(mysql_url)
            if fail:
                raise ZeroDivisionError

    with pytest.raises(LockedError, match="was lost"):
        run(fail=False)
    with pytest.raises(ZeroDivisionError):  # what ended the run is the news
        run(fail=True)


def test_a_server_that_ends_idle_sessions_spares_the_lock(start_mariadb):
    with (
        start_mariadb(settings=("--wait-timeout=1",)) as server,
        MySQL(server.admin_url).lock("a", 0) as lock,
    ):
        time.sleep(2.2)
        lock.check()


def test_F103_the_lock_of_a_client_that_vanished_is_freed(either, monkeypatch):
    """Its network is gone: no end of the connection reaches the server. Until then it is kept, however quiet it is."""
    monkeypatch.setattr(lock_module, "IDLE", 3)
    monkeypatch.setattr(session_lock, "KEEP_ALIVE", 0.5)
    url = make_url(url_of(either))
    with StuckProxy(url.port) as proxy:
        holding = MySQL(url.set(port=proxy.port)).lock("gone", 0)
        lock = holding.__enter__()
        time.sleep(4)
        lock.check()
        proxy.stuck.set()
        with pytest.raises(LockedError, match="is locked by another run"), MySQL(url).lock("next", 0):
            pass
        with MySQL(url).lock("next", 20):
            pass
        proxy.stuck.clear()
        with pytest.raises(LockedError, match="was lost"):
            holding.__exit__(None, None, None)


# --------------------------------------------------------------------------- who is in the way


@contextmanager
def idle_in_transaction(url, database):
    """A session that read a table of `database` in a transaction and does nothing since."""
    with closing(connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT * FROM {database}.t")
        cursor.fetchall()
        yield connection.thread_id()


def test_L9_who_is_idle_in_a_transaction_is_named(mysql_url):
    one(mysql_url, "CREATE TABLE t (a int)")
    database = MySQL(mysql_url, lock_timeout=1)
    assert not any(mysql_url.database in words for words in database.blockers())
    with idle_in_transaction(mysql_url, mysql_url.database) as pid:
        time.sleep(0.2)  # INNODB_TRX is as old as the last look at it if that was less than 0.1 s ago
        assert database.blockers()[0].startswith(f"pid {pid}, user admin@127.0.0.1")
        started = time.monotonic()
        engine = database.engine()
        with engine.connect() as connection, pytest.raises(Exception, match="1205") as raised:
            connection.exec_driver_sql("ALTER TABLE t ADD COLUMN b int")
        assert time.monotonic() - started < 10
        assert "Lock wait timeout exceeded" in database.explain(raised.value)


def test_L9_a_transaction_begun_in_another_database_is_named_too(mysql_url):
    one(mysql_url, "CREATE TABLE t (a int)")
    with idle_in_transaction(mysql_url.set(database="mysql"), mysql_url.database) as pid:
        assert any(words.startswith(f"pid {pid}, ") for words in MySQL(mysql_url).blockers())


@pytest.mark.parametrize("settings", [
    ("--performance-schema=ON", "--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON"),
    ("--plugin-load-add=metadata_lock_info",),
], ids=["performance_schema", "metadata_lock_info"])  # fmt: skip
def test_L9_where_the_server_knows_metadata_locks_only_their_holders_are_named(start_mariadb, settings):
    with start_mariadb(settings=settings) as server:
        for statement in ("CREATE DATABASE here", "CREATE DATABASE there", "CREATE TABLE here.t (a int)",
                          "CREATE TABLE there.t (a int)"):  # fmt: skip
            one(server.admin_url, statement)
        database = MySQL(server.url("here"))
        with (
            idle_in_transaction(server.url("mysql"), "there"),
            idle_in_transaction(server.url("mysql"), "here") as pid,
        ):
            (words,) = database.blockers()
            assert words.startswith(f"pid {pid}, ")


def test_without_the_right_to_see_others_there_are_no_blockers(mysql_url):
    name = f"w_{mysql_url.database[5:]}"
    one(mysql_url, "CREATE TABLE t (a int)")
    one(mysql_url, f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'x'")
    try:
        one(mysql_url, f"GRANT SELECT ON {mysql_url.database}.* TO {name}@'127.0.0.1'")
        with idle_in_transaction(mysql_url, mysql_url.database):
            assert MySQL(mysql_url.set(username=name, password="x")).blockers() == []
    finally:
        one(mysql_url, f"DROP USER {name}@'127.0.0.1'")
