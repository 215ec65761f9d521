"""Each row in exactly one batch, whatever the engine, the driver, the key, and wherever it was stopped."""

import time
import uuid

import pytest
import sqlalchemy as sa
from backfill_shop import Shop
from sqlalchemy.exc import DBAPIError

from ci_migrate.backfill import BackfillError, backfill, forget_backfill, requires_backfill

COUNT = "UPDATE t SET n = n + 1 WHERE {batch}"


def count(connection, name="count", statement=COUNT, **options):
    return backfill(connection, name, statement, **{"table": "t", "batch_size": 7, "rest": 0} | options)


class StoppedError(Exception):
    pass


def stops_after(batches):
    """What ends a backfill as Ctrl-C would."""

    def told(progress):
        if progress.batches == batches:
            raise StoppedError

    return told


def test_each_row_once_by_each_driver(driven):
    driven.fill(100)
    done = driven.call(lambda c: count(c, max_batch_size=20))
    assert (done.rows, done.changed) == (100, 100)
    assert done.batches >= 5
    assert driven.counts() == {1: 100}
    again = driven.call(count)
    assert (again.rows, again.batches) == (100, done.batches)
    assert driven.counts() == {1: 100}


def test_it_goes_on_where_it_stopped(driven):
    driven.fill(100)
    with pytest.raises(StoppedError):
        driven.call(lambda c: count(c, on_progress=stops_after(3), max_batch_size=7))
    assert driven.counts() == {0: 79, 1: 21}
    assert driven.run("SELECT seen_count, row_count, batch_count FROM ci_migrate_backfills") == [(21, 21, 3)]
    assert driven.call(count).rows == 100
    assert driven.counts() == {1: 100}


def test_without_a_transaction_it_needs_no_autocommit(shop):
    shop.fill(50)
    shop.call(count, autocommit=False)
    assert shop.counts() == {1: 50}


def test_in_a_transaction_it_names_the_line_to_write(driven):
    driven.fill(10)

    def run(connection):
        with connection.begin():
            connection.execute(sa.text("UPDATE t SET n = 5 WHERE id = 0"))
            count(connection)

    with pytest.raises(BackfillError, match=r"with op.get_context\(\).autocommit_block\(\):"):
        driven.call(run, autocommit=False)
    assert driven.counts() == {0: 10}


def test_the_connection_is_as_it_was(driven):
    """Each statement is committed by itself, and MySQL waits for locks as long as before."""
    driven.fill(10)
    mysql = driven.url.drivername.startswith("mysql")

    def run(connection):
        before = connection.scalar(sa.text("SELECT @@innodb_lock_wait_timeout")) if mysql else None
        count(connection)
        connection.execute(sa.text("UPDATE t SET n = 5 WHERE id = 0"))
        assert driven.counts()[5] == 1  # seen by another session at once
        if mysql:
            assert connection.scalar(sa.text("SELECT @@innodb_lock_wait_timeout")) == before
        return connection.get_execution_options().get("ci_migrate_backfill")

    assert driven.call(run) is None


def test_a_failing_batch_leaves_those_before_it(driven):
    driven.fill(100)
    driven.run("CREATE UNIQUE INDEX u ON t (n, id)")
    fails = "UPDATE t SET n = CASE WHEN id = 150 THEN NULL ELSE n + 1 END WHERE {batch}"
    with pytest.raises(DBAPIError):
        driven.call(lambda c: count(c, statement=fails, max_batch_size=10))
    done = driven.counts()[1]
    assert 0 < done <= 50
    assert driven.run("SELECT seen_count, row_count FROM ci_migrate_backfills") == [(done, done)]


KEYS = {
    "integers": ("BIGINT", lambda n: n * 3 - 50),
    "texts": ("VARCHAR(40)", lambda n: f"ä'{n:x}-{n % 7}"),
    "uuids as texts": ("VARCHAR(36)", lambda n: str(uuid.uuid5(uuid.NAMESPACE_DNS, str(n)))),
    "decimals": ("NUMERIC(20, 3)", lambda n: n * 1.5),
    "dates": ("DATE", lambda n: f"20{n % 90:02}-0{n % 9 + 1}-1{n % 10}"),
    "timestamps": ("TIMESTAMP(6)", lambda n: f"2026-01-01 00:{n // 60:02}:{n % 60:02}.000{n:03}"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_kinds_of_keys(driven, kind):
    """As each driver reads and sends them."""
    column, key = KEYS[kind]
    if driven.url.drivername.startswith("sqlite"):
        column = column.replace("TIMESTAMP(6)", "TEXT")
    driven.run(f"CREATE TABLE t (id {column} NOT NULL PRIMARY KEY, n INTEGER NOT NULL)")
    quote = "{!r}" if kind in ("integers", "decimals") else "'{}'"
    values = ", ".join(f"({quote.format(key(n))}, 0)" for n in range(90))
    driven.run("INSERT INTO t VALUES " + values.replace("ä'", "ä''").replace(":", r"\:"))
    if kind == "decimals" and driven.url.drivername.startswith("sqlite"):
        with pytest.raises(BackfillError, match="A key of type float can't be kept exactly"):
            driven.call(count)
        return
    with pytest.raises(StoppedError):
        driven.call(lambda c: count(c, on_progress=stops_after(2), max_batch_size=20))
    driven.call(lambda c: count(c, max_batch_size=20))
    assert driven.counts() == {1: 90}


def test_native_uuids_and_bytes(driven):
    if driven.url.drivername.startswith("postgresql"):
        kind, sql = "UUID", "gen_random_uuid()"
    elif driven.url.drivername.startswith("mysql"):
        if "aiomysql" in driven.url.drivername:
            pytest.skip("this version of aiomysql can't send bytes with this one of PyMySQL")
        kind, sql = "BINARY(16)", "UNHEX(REPLACE(UUID(), '-', ''))"
    else:
        kind, sql = "BLOB", "randomblob(16)"
    driven.run(f"CREATE TABLE t (id {kind} NOT NULL PRIMARY KEY, n INTEGER NOT NULL)")
    driven.run(*[f"INSERT INTO t VALUES ({sql}, 0)"] * 60)
    with pytest.raises(StoppedError):
        driven.call(lambda c: count(c, on_progress=stops_after(2), max_batch_size=20))
    driven.call(count)
    assert driven.counts() == {1: 60}


def test_the_servers_own_order_decides_where_a_driver_knows_no_type(postgresql_url):
    """citext compares without case: a value that is sent as VARCHAR would be compared with it."""
    shop = Shop(sa.make_url(postgresql_url).set(drivername="postgresql+psycopg"))
    shop.run("CREATE TYPE mood AS ENUM ('zzz', 'mmm', 'aaa')")
    shop.run("CREATE TABLE t (id mood NOT NULL PRIMARY KEY, n INTEGER NOT NULL)")
    shop.run("INSERT INTO t VALUES ('aaa', 0), ('zzz', 0), ('mmm', 0)")
    for driver in ("psycopg", "psycopg2", "asyncpg"):
        shop.url = shop.url.set(drivername="postgresql+" + driver)
        shop.call(lambda c, driver=driver: count(c, driver, batch_size=1, max_batch_size=1))
    assert shop.counts() == {3: 3}


def test_composite_keys(driven):
    driven.run(
        "CREATE TABLE t (a INTEGER NOT NULL, b VARCHAR(9) NOT NULL, c INTEGER NOT NULL, n INTEGER NOT NULL,"
        " PRIMARY KEY (a, b, c))"
    )
    rows = [(a, b, c) for a in range(5) for b in ("p", "q", "r") for c in range(6)]
    driven.run("INSERT INTO t VALUES " + ", ".join(f"({a}, '{b}', {c}, 0)" for a, b, c in rows))
    for size in (1, 2, 4, 13, 200):
        driven.call(lambda c, size=size: count(c, f"by {size}", batch_size=size, max_batch_size=size))
    assert driven.counts() == {5: 90}


def test_another_key_than_the_primary_one(shop):
    shop.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, code VARCHAR(9) NOT NULL, n INTEGER NOT NULL)")
    shop.run("INSERT INTO t VALUES (1, 'b', 0), (2, 'a', 0), (3, 'c', 0)")
    with pytest.raises(BackfillError, match="not known to be unique"):
        shop.call(lambda c: count(c, key="code"))
    shop.run("CREATE UNIQUE INDEX codes ON t (code)")
    shop.call(lambda c: count(c, key="code", batch_size=1, max_batch_size=1))
    assert shop.counts() == {1: 3}
    with pytest.raises(BackfillError, match="no column nosuch"):
        shop.call(lambda c: count(c, "other", key="nosuch"))
    with pytest.raises(BackfillError, match="no table nosuch"):
        shop.call(lambda c: count(c, "other", table="nosuch"))


def test_a_key_that_may_be_null_is_refused(shop):
    shop.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, code VARCHAR(9), n INTEGER NOT NULL)")
    shop.run("CREATE UNIQUE INDEX codes ON t (code)")
    with pytest.raises(BackfillError, match="not known to be unique and NOT NULL"):
        shop.call(lambda c: count(c, key="code"))


def test_names_that_need_quotes(shop):
    q = "`" if shop.url.drivername.startswith("mysql") else '"'
    shop.run(f"CREATE TABLE {q}Order{q} ({q}Group Id{q} INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL)")
    shop.run(f"INSERT INTO {q}Order{q} VALUES (1, 0), (2, 0), (3, 0)")
    shop.call(
        lambda c: count(c, statement=f"UPDATE {q}Order{q} SET n = n + 1 WHERE {{batch}}", table="Order")
    )
    assert shop.run(f"SELECT sum(n) FROM {q}Order{q}") == [(3,)]


def test_an_empty_table_has_one_batch_so_that_a_wrong_statement_shows(driven):
    driven.fill(0)
    with pytest.raises(DBAPIError):
        driven.call(lambda c: count(c, "wrong", statement="UPDATE t SET nosuch = 1 WHERE {batch}"))
    done = driven.call(count)
    assert (done.rows, done.changed, done.batches) == (0, 0, 1)
    driven.call(lambda c: requires_backfill(c, "count"))


def test_core_statements_and_functions(driven):
    driven.fill(50)
    t = sa.table("t", sa.column("id"), sa.column("n"))
    driven.call(lambda c: count(c, "core", sa.update(t).values(n=t.c.n + 1)))

    def fill(connection, batch):
        rows = connection.execute(sa.select(t.c.id, t.c.n).where(batch)).all()
        for row in rows:
            connection.execute(sa.update(t).where(t.c.id == row.id).values(n=row.n + 1))
        return len(rows)

    done = driven.call(lambda c: count(c, "function", fill))
    assert (done.rows, done.changed) == (50, 50)
    driven.call(lambda c: count(c, "deletes", sa.delete(t).where(t.c.n != 2)))
    assert driven.counts() == {2: 50}


def test_rows_that_come_and_go_meanwhile(shop):
    """Those that are there all the time are met once; others once at most."""
    shop.fill(60)
    seen = []

    def told(progress):
        if not seen:
            seen.append(progress)
            shop.run(
                "INSERT INTO t VALUES (1, 0)",
                "INSERT INTO t VALUES (100, 0)",
                "INSERT INTO t VALUES (999, 0)",
            )
            shop.run("DELETE FROM t WHERE id = 120", "DELETE FROM t WHERE id = 177")

    shop.call(lambda c: count(c, on_progress=told, max_batch_size=7))
    found = dict(shop.run("SELECT id, n FROM t"))
    assert (found.pop(1), found.pop(100), found.pop(999)) == (0, 1, 0)  # behind it, before it, after the end
    assert set(found.values()) == {1}
    assert len(found) == 58


def test_remaining_rows_make_another_pass(shop):
    shop.fill(40)
    seen = []

    def told(progress):
        if not seen:
            seen.append(progress)
            shop.run("INSERT INTO t VALUES (1, 0)")

    fill = "UPDATE t SET n = 1 WHERE {batch} AND n = 0"
    shop.call(lambda c: count(c, statement=fill, remaining="n = 0", on_progress=told))
    assert shop.counts() == {1: 41}
    with pytest.raises(BackfillError, match="after 5 passes there are still rows with n = 1"):
        shop.call(lambda c: count(c, "never", statement=fill, remaining="n = 1"))
    with pytest.raises(BackfillError, match="stopped after"):
        shop.call(lambda c: requires_backfill(c, "never"))


def test_two_processes_at_once_do_no_row_twice(shop):
    """The second one goes on where the first one is, which then finds that it is not alone."""
    shop.fill(60)
    seen = []

    def told(progress):
        if not seen:
            seen.append(progress)
            shop.call(lambda c: count(c, max_batch_size=7))

    with pytest.raises(BackfillError, match="Another process runs backfill 'count'"):
        shop.call(lambda c: count(c, on_progress=told, max_batch_size=7))
    assert shop.counts() == {1: 60}


def test_another_statement_under_the_same_name_is_refused(shop):
    shop.fill(20)
    shop.call(count)
    with pytest.raises(BackfillError, match="was begun with another statement") as refused:
        shop.call(lambda c: count(c, statement="UPDATE t SET n = n + 2 WHERE {batch}"))
    assert "forget_backfill(op.get_bind(), 'count')" in str(refused.value)
    shop.call(lambda c: forget_backfill(c, "count"))
    shop.call(lambda c: count(c, statement="UPDATE t SET n = n + 2 WHERE {batch}"))
    assert shop.counts() == {3: 20}


def test_what_has_no_place_for_the_batch_is_refused(shop):
    with pytest.raises(BackfillError, match=r"has no \{batch\}"):
        shop.call(lambda c: count(c, statement="UPDATE t SET n = 1"))


def test_an_engine_without_transactions_is_refused(mysql_url):
    shop = Shop(sa.make_url(mysql_url))
    shop.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER) ENGINE=MyISAM")
    with pytest.raises(BackfillError, match="has no transactions"):
        shop.call(count)


def test_the_size_follows_the_time(shop):
    """Batches that take too long get smaller, quick ones larger."""
    shop.fill(300)
    sizes = []

    def slow(connection, batch):
        rows = connection.scalar(sa.select(sa.func.count()).select_from(sa.table("t")).where(batch))
        sizes.append(rows)
        time.sleep(0.001 * rows)

    shop.call(lambda c: count(c, statement=slow, seconds_per_batch=0.02, batch_size=150))
    assert sizes[0] == 150
    assert sizes[1] == 75
    assert min(sizes[2:]) < 40
    shop.call(lambda c: count(c, "quick", batch_size=1, seconds_per_batch=60))
    batches = shop.run("SELECT batch_count FROM ci_migrate_backfills WHERE name = 'quick'")
    assert batches == [(9,)]  # 1, 2, 4 ...
