"""How a migration of the target waits for locks: by the kind of its statement, and beside traffic."""

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from kill_support import Shop, new_shop
from sqlalchemy import create_engine, text

from benchmarks.traffic import Load, fill, project, reading

CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.create_index("ix_points", "customers", ["points"], postgresql_concurrently=True{more})
"""
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE '{}%' AND clock_timestamp() - query_start > interval '{} s'"
)
READS = "SELECT count(*) FROM customers WHERE name <> 'secret 4711'"
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_points'::regclass"


@pytest.fixture
def shop(postgresql_url, tmp_path) -> Shop:
    return one_revision(new_shop(tmp_path, postgresql_url))


def one_revision(shop: Shop, code: str = CONCURRENTLY.format(more="")) -> Shop:
    for name in ("r2", "r3"):
        (shop.folder / f"migrations/versions/{name}.py").unlink(missing_ok=True)
    shop.revision("r1", "r0", code, "pass")
    return shop


@contextlib.contextmanager
def older_transaction(shop: Shop, until: Callable[[], bool], sql: str = "SELECT 1") -> Iterator[None]:
    """Another session with an open transaction, which ends as soon as `until` is true."""
    stop = threading.Event()
    engine = create_engine(shop.url, isolation_level="REPEATABLE READ")
    begun = threading.Event()

    def hold() -> None:
        with engine.begin() as connection:
            connection.execute(text(sql))
            begun.set()
            while not stop.is_set() and not until():
                time.sleep(0.05)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert begun.wait(30)
        yield
    finally:
        stop.set()
        thread.join(30)
        engine.dispose()


def test_F65_a_concurrent_index_waits_for_an_older_transaction_and_names_it(shop, monkeypatch) -> None:
    """It waits for longer than others: 5 s was where every statement ended."""
    monkeypatch.setattr("ci_migrate.run.heartbeat.EVERY", 0.5)
    waits = WAITING.format("CREATE INDEX CONC", 5.5)
    with older_transaction(shop, lambda: shop.query(waits) == [(1,)], READS):
        done = shop.here("run")
    assert done.code == 0, done.text
    assert "lock timeout" not in done.text
    assert shop.query(VALID) == [(True,)]
    phase = r"pid \d+: waiting for (old snapshots|writers before build), 0 of 1 transactions are over; "
    who = r"held up by pid \d+, user postgres, idle in transaction, in a transaction for \d+ s: SELECT count\(\*\)"
    for told in (" ".join(done.text.split()), done.stage("migrate")["message"]):
        assert re.search(phase + who, told), told
        assert "4711" not in told


def test_what_fails_after_a_long_wait_leaves_nothing(shop) -> None:
    shop.settings('lock-timeout-concurrently = 0.5\n[targets.dev]\nurl = "env:DATABASE_URL"')
    before = shop.everything_in_it()
    with older_transaction(shop, lambda: False):
        done = shop.here("run")
    assert done.code == 6, done.text
    assert "Tried 1 time. In the way: pid" in done.stage("migrate")["message"]
    assert "the INVALID index public.ix_points was dropped (its build had failed)" in done.text
    assert shop.everything_in_it() == before
    assert shop.query("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_F65_an_invalid_index_of_a_failed_build_is_dropped_and_built_again(shop) -> None:
    """Somebody deadlocks with the build, and it is the build that the server ends."""
    engine = create_engine(shop.url)
    ready, stop = threading.Event(), threading.Event()
    waits = WAITING.format("CREATE INDEX CONC", 0)

    def deadlock() -> None:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL deadlock_timeout = '1min'"))  # so the build looks for it first
            connection.execute(text("UPDATE customers SET points = points WHERE id = 1"))
            ready.set()
            while shop.query(waits) != [(1,)]:
                assert not stop.is_set()
            connection.execute(text("LOCK TABLE customers IN SHARE UPDATE EXCLUSIVE MODE"))

    thread = threading.Thread(target=deadlock)
    thread.start()
    assert ready.wait(30)
    done = shop.here("run")
    stop.set()
    thread.join(30)
    engine.dispose()
    assert done.code == 0, done.text
    dropped = "the INVALID index public.ix_points was dropped (its build had failed)"
    assert dropped in done.text
    assert "lock timeout in r1, statement 1 (try 1 of 10), nothing done; again in" in done.text
    assert dropped in done.stage("migrate")["message"]
    assert shop.query(VALID) == [(True,)]


@pytest.mark.parametrize("more", ["", ", if_not_exists=True"])
def test_F65_an_invalid_index_of_an_earlier_run_is_dropped_and_built_again(shop, more) -> None:
    """Alone it would fail; with IF NOT EXISTS it would end well, with an index that no query uses."""
    one_revision(shop, CONCURRENTLY.format(more=more))
    shop.query("CREATE INDEX ix_points ON customers (points)")
    shop.query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_points'::regclass")
    done = shop.here("run")
    assert done.code == 0, done.text
    assert "the INVALID index public.ix_points was dropped (an earlier build had left it)" in done.text
    assert shop.query(VALID) == [(True,)]


def test_an_index_that_somebody_else_builds_is_not_taken_for_left(shop) -> None:
    """It is INVALID as long as it is built."""
    shop.settings('lock-timeout-concurrently = 0.5\n[targets.dev]\nurl = "env:DATABASE_URL"')
    stop = threading.Event()
    engine = create_engine(shop.url, isolation_level="AUTOCOMMIT")

    def build() -> None:
        with engine.connect() as connection:
            connection.execute(text("CREATE INDEX CONCURRENTLY ix_points ON customers (points)"))

    with older_transaction(shop, stop.is_set):
        thread = threading.Thread(target=build)
        thread.start()
        while shop.query(WAITING.format("CREATE INDEX CONC", 0)) != [(1,)]:
            time.sleep(0.05)
        done = shop.here("run")
        stop.set()
        thread.join(60)
    engine.dispose()
    assert done.code == 6, done.text
    assert "was dropped" not in done.text
    assert shop.query(VALID) == [(True,)]


DDL = """
op.create_table("extra", sa.Column("id", sa.Integer, primary_key=True))
op.add_column("stock", sa.Column("n", sa.Integer))
op.execute("INSERT INTO stock (id, n) VALUES (1, 1)")
"""


def test_F65_ddl_that_did_not_get_its_lock_is_sent_again_by_itself(tmp_path, mysql_url) -> None:
    """What is before it in the revision is committed, and is not run twice."""
    shop = one_revision(new_shop(tmp_path, mysql_url, settings="lock-timeout = 1"), DDL)
    shop.query("CREATE TABLE stock (id INTEGER PRIMARY KEY) ENGINE=InnoDB")
    again = "SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name = 'extra'"
    lines: list[str] = []
    engine = create_engine(shop.url)
    with engine.connect() as other:
        other.execute(text("SELECT * FROM stock"))
        running = shop.start("run")
        while "lock timeout in r1, statement 2 (try 1 of 10), nothing done" not in "".join(lines):
            line = running.stdout.readline()
            assert line, f"{lines} {running.stderr.read()}"
            lines.append(line)
        assert shop.query(again) == [(1,)]
    engine.dispose()
    out, error = running.communicate(timeout=120)
    assert running.returncode == 0, "".join(lines) + out + error
    assert shop.query("SELECT id, n FROM stock") == [(1, 1)]


# --------------------------------------------------------------------------- who is in the way

ADD = 'op.add_column("customers", sa.Column("email", sa.String(80)))'


def with_settings(shop: Shop, lines: str) -> Shop:
    shop.settings(f'run-lock-timeout = 15\n{lines}\n[targets.dev]\nurl = "env:DATABASE_URL"')
    return shop


def test_F65_an_old_transaction_on_the_table_is_a_reason_not_to_begin(shop) -> None:
    with_settings(one_revision(shop, ADD), 'in-the-way = "refuse"\nin-the-way-age = 0')
    with older_transaction(shop, lambda: False, READS):
        done = shop.here("run")
    assert done.code == 1, done.text
    message = done.stage("migrate")["message"]
    assert re.search(
        r"In the way of the migration: pid \d+, user postgres, idle in transaction, in a transaction for \d+ s,"
        r" holds ACCESS SHARE on public.customers: SELECT count\(\*\) FROM customers WHERE name <> \?",
        message,
    ), message
    assert re.search(
        r"\n# ends it.*\nSELECT pg_terminate_backend\(\d+\);\n# once .*\nci-migrate run --target dev$",
        message,
    )
    assert shop.heads_now() == ["r0"]
    assert shop.here("status").code == 0


def test_F65_it_is_waited_for_and_then_it_migrates(shop) -> None:
    with_settings(one_revision(shop, ADD), "in-the-way-age = 0")
    lines: list[str] = []
    stop = threading.Event()
    with older_transaction(shop, stop.is_set, READS):
        running = shop.start("run")
        while "waiting up to 60 s for what is in the way" not in "".join(lines):
            line = running.stdout.readline()
            assert line, f"{lines} {running.stderr.read()}"
            lines.append(line)
        stop.set()
    out, error = running.communicate(timeout=120)
    assert running.returncode == 0, "".join(lines) + out + error
    assert "lock timeout" not in out
    assert shop.heads_now() == ["r1"]


def test_a_transaction_that_holds_nothing_of_ours_is_named_and_no_reason(shop) -> None:
    with_settings(one_revision(shop, ADD), 'in-the-way = "refuse"\nin-the-way-age = 0')
    with older_transaction(shop, lambda: False):
        done = shop.here("run")
    assert done.code == 0, done.text
    assert re.search(r"old: pid \d+, user postgres, idle in transaction", done.text), done.text


def test_F65_a_prepared_transaction_is_named_with_the_statement_that_ends_it(
    start_postgresql, tmp_path
) -> None:
    with start_postgresql(settings=("max_prepared_transactions=5",)) as server:
        shop = one_revision(new_shop(tmp_path, server.admin_url), ADD)
        with_settings(shop, 'in-the-way = "refuse"')
        engine = create_engine(shop.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for sql in ("BEGIN", "UPDATE customers SET points = 0", "PREPARE TRANSACTION 'nightly''s'"):
                connection.exec_driver_sql(sql)
        engine.dispose()
        done = shop.here("run")
        assert done.code == 1, done.text
        message = done.stage("migrate")["message"]
        assert "prepared transaction nightly's of postgres, open for" in message
        assert "holds ROW EXCLUSIVE on public.customers" in message
        assert "ROLLBACK PREPARED 'nightly''s';" in message


@pytest.mark.parametrize("engine", ["mysql", pytest.param("mariadb", marks=pytest.mark.long)])
def test_F65_a_transaction_with_a_metadata_lock_is_named(engine, tmp_path, request) -> None:
    """MariaDB tells of metadata locks where its performance_schema is on."""
    with contextlib.ExitStack() as stack:
        if engine == "mysql":
            url = request.getfixturevalue("mysql97_url")
        else:
            start = request.getfixturevalue("start_mariadb")
            server = stack.enter_context(start(settings=("--performance-schema=ON", "--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON")))  # fmt: skip
            url = server.url("shop")
            create = create_engine(server.admin_url)
            with create.begin() as connection:
                connection.exec_driver_sql("CREATE DATABASE shop")
            create.dispose()
        shop = one_revision(new_shop(tmp_path, url), ADD)
        with_settings(shop, 'in-the-way = "refuse"\nin-the-way-age = 0')
        with older_transaction(shop, lambda: False, READS):
            done = shop.here("run")
        assert done.code == 1, done.text
        message = done.stage("migrate")["message"]
        assert re.search(
            r"In the way of the migration: pid \d+, .* holds SHARED_READ on customers", message
        ), message
        assert re.search(r"KILL \d+;", message)
        assert shop.heads_now() == ["r0"]


# --------------------------------------------------------------------------- traffic

ENGINES = {"postgresql": "postgresql_url", "mariadb": "mysql_url", "mysql": "mysql97_url"}


@pytest.mark.parametrize(
    "engine", ["postgresql", *(pytest.param(e, marks=pytest.mark.long) for e in ("mariadb", "mysql"))]
)
def test_F65_requests_flow_while_a_migration_waits_for_its_lock(engine, tmp_path, request) -> None:
    """All kinds of requests are answered while the transaction that is in the way is still open.

    With plain Alembic they queue behind the ALTER TABLE until that one ends (benchmarks/traffic.py has the figures).
    """
    url = request.getfixturevalue(ENGINES[engine])
    url = url.set(drivername="postgresql+psycopg" if engine == "postgresql" else "mysql+pymysql")
    fill(url, 500)
    made = project(tmp_path / "project", url, 'op.add_column("orders", sa.Column("added", sa.Integer))')
    over = threading.Event()
    lines: list[str] = []
    with Load(url) as load:
        running = made.start("run")
        try:
            _until((made.folder / "begun").exists, running)
            with reading(url, over.wait):
                (made.folder / "held").touch()
                while "lock timeout in r1" not in "".join(lines):
                    line = running.stdout.readline()
                    assert line, f"{lines} {running.stderr.read()}"
                    lines.append(line)
                before = load.answered()
                _until(
                    lambda: all(now > then for now, then in zip(load.answered(), before, strict=True)),
                    running,
                )
                over.set()
        finally:
            over.set()
        out, error = running.communicate(timeout=120)
    assert running.returncode == 0, "".join(lines) + out + error
    assert not load.failed
    engine_ = create_engine(url)
    with engine_.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [("r1",)]
    engine_.dispose()


def _until(true: Callable[[], bool], running: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 90
    while not true():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
