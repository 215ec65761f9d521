"""Batches wait: for locks, for replicas, for who waits for locks, and for whoever says so."""

import threading
import time
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from backfill_shop import Shop

from ci_migrate.backfill import BackfillError, backfill

COUNT = "UPDATE t SET n = n + 1 WHERE {batch}"


@pytest.fixture
def postgresql(postgresql_url):
    shop = Shop(sa.make_url(postgresql_url).set(drivername="postgresql+psycopg"))
    shop.fill(100)
    return shop


@contextmanager
def held(shop, sql="UPDATE t SET n = n WHERE id = 30"):
    """Somebody else's transaction, open meanwhile."""
    engine = sa.create_engine(shop.plain, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(sql))
        try:
            yield connection
        finally:
            connection.rollback()


def test_a_batch_that_meets_a_lock_is_tried_again(shop):
    """Its rows are given free meanwhile, and none of them is done twice."""
    sqlite = shop.url.drivername == "sqlite"
    shop.fill(100)
    if sqlite:
        shop.url = shop.url.update_query_dict({"timeout": "0.2"})
    locked = threading.Event()

    def hold():  # in one thread: SQLite's connections stay in theirs
        with held(shop):
            locked.set()
            time.sleep(2)

    other = threading.Thread(target=hold)
    other.start()
    locked.wait(10)
    begun = time.monotonic()
    done = shop.call(lambda c: backfill(c, "count", COUNT, table="t", batch_size=20, lock_timeout=1, rest=0))
    assert time.monotonic() - begun > 1
    other.join()
    assert done.rows == 100
    assert shop.counts() == {1: 100}


def test_a_lock_that_stays_ends_it_and_what_was_committed_stays(postgresql):
    with held(postgresql), pytest.raises(sa.exc.DBAPIError, match="lock timeout"):
        postgresql.call(
            lambda c: backfill(
                c, "count", COUNT, table="t", batch_size=5, max_batch_size=5, lock_timeout=0.1, tries=2
            )
        )
    assert postgresql.counts() == {0: 90, 1: 10}


def test_it_waits_while_it_is_told_to(shop):
    shop.fill(20)
    answers = [True, True, False, True, False]
    asked = []

    def throttle(connection):
        asked.append(connection.execute(sa.text("SELECT count(*) FROM t WHERE n = 1")).scalar())
        return answers.pop(0) if answers else False

    shop.call(
        lambda c: backfill(c, "count", COUNT, table="t", batch_size=10, max_batch_size=10, throttle=throttle)
    )
    assert asked[:5] == [0, 0, 0, 10, 10]
    assert shop.counts() == {1: 20}


def test_it_waits_while_others_wait_for_locks(postgresql):
    """Until the sessions that wait have what they wait for."""

    def wait():
        postgresql.run("UPDATE t SET n = n WHERE id = 30")

    waiter = threading.Thread(target=wait)
    with held(postgresql) as other:
        waiter.start()
        while not postgresql.run("SELECT 1 FROM pg_locks WHERE NOT granted"):
            time.sleep(0.05)
        threading.Timer(1.5, other.rollback).start()
        begun = time.monotonic()
        postgresql.call(lambda c: backfill(c, "count", COUNT, table="t", max_lock_waits=0))
        assert time.monotonic() - begun > 1
    waiter.join()
    assert postgresql.counts() == {1: 100}


def test_replicas_are_asked_where_the_server_knows_them(postgresql):
    """There is none here, so that none is late; a role that may not see them is told so."""
    postgresql.call(lambda c: backfill(c, "count", COUNT, table="t", max_replica_lag=5))
    assert postgresql.counts() == {1: 100}


def test_what_an_engine_does_not_tell_is_refused(tmp_path):
    shop = Shop(sa.URL.create("sqlite", database=str(tmp_path / "app.db")))
    shop.fill(3)
    with pytest.raises(BackfillError, match="does not tell on the primary how late its replicas are"):
        shop.call(lambda c: backfill(c, "count", COUNT, table="t", max_replica_lag=5))
    with pytest.raises(BackfillError, match="does not tell who waits for a lock"):
        shop.call(lambda c: backfill(c, "count", COUNT, table="t", max_lock_waits=5))
    assert shop.counts() == {0: 3}


def test_a_dry_run_waits_for_nobody(tmp_path, monkeypatch):
    """What it measures is the rate."""
    shop = Shop(sa.URL.create("sqlite", database=str(tmp_path / "app.db")))
    shop.fill(20)
    monkeypatch.setenv("CI_MIGRATE_STAGE", "dry-run")
    shop.call(lambda c: backfill(c, "count", COUNT, table="t", rest=1e9, throttle=lambda _: True))
    assert shop.counts() == {1: 20}
