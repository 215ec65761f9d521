"""A column filled under load: by a batched backfill, by one UPDATE, and by a loop as it is written by hand.

python benchmarks/backfill.py [--engine PostgreSQL] [--rows 5000000] [--requests 2]

Meanwhile sessions do what an application does: each updates a random row every few milliseconds. Printed are the
seconds that the rows took, and how long requests waited: the 99th percentile and the longest. The loop goes over ranges
of 10,000 ids with a commit after each. Servers are throw-away ones of its own, without fsync.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from measuring import ENGINES

from ci_migrate.backfill import backfill

SET = "UPDATE t SET filled = lower(name)"
STEP = 10_000


def fill(engine: sa.Engine, rows: int) -> None:
    """A table whose column `filled` is empty."""
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS t")
        connection.exec_driver_sql("DROP TABLE IF EXISTS ci_migrate_backfills")
        kind = "INTEGER" if engine.dialect.name == "sqlite" else "BIGINT"
        connection.exec_driver_sql(
            f"CREATE TABLE t (id {kind} PRIMARY KEY, name varchar(80), w integer NOT NULL, filled varchar(80))"
        )
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(
                f"INSERT INTO t SELECT i, 'Name of ' || i, 0, NULL FROM generate_series(1, {rows}) i"
            )
        else:
            for start in range(1, rows + 1, 20_000):
                some = range(start, min(start + 20_000, rows + 1))
                values = ", ".join(f"({i}, 'Name of {i}', 0)" for i in some)
                connection.exec_driver_sql(f"INSERT INTO t (id, name, w) VALUES {values}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE t")
        elif engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")


class Requests:
    """Sessions that update one random row at a time, and how long each took."""

    def __init__(self, url: sa.URL, sessions: int, rows: int) -> None:
        self.url, self.rows = url, rows
        self.stopping = threading.Event()
        self.waits: list[float] = []
        self.failed = 0
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(sessions)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        time.sleep(0.5)
        self.waits.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def work(self, seed: int) -> None:
        chance, engine = random.Random(seed), sa.create_engine(self.url)
        with engine.connect() as connection:
            while not self.stopping.is_set():
                begun = time.monotonic()
                try:
                    connection.exec_driver_sql(
                        f"UPDATE t SET w = w + 1 WHERE id = {chance.randint(1, self.rows)}"
                    )
                    connection.commit()
                except sa.exc.DBAPIError:
                    connection.rollback()
                    self.failed += 1
                self.waits.append(time.monotonic() - begun)
                time.sleep(0.005)
        engine.dispose()


def by_one_update(engine: sa.Engine, _rows: int) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(SET)


def by_a_loop(engine: sa.Engine, rows: int) -> None:
    for start in range(0, rows, STEP):
        with engine.begin() as connection:
            connection.exec_driver_sql(f"{SET} WHERE id > {start} AND id <= {start + STEP}")


def by_batches(engine: sa.Engine, _rows: int) -> None:
    with engine.connect() as connection:
        done = backfill(connection, "filled", SET + " WHERE {batch}", table="t")
    print(f"    {done.batches} batches")


WAYS: dict[str, Callable[[sa.Engine, int], None]] = {
    "one UPDATE": by_one_update,
    "a loop of 10,000 ids": by_a_loop,
    "backfill()": by_batches,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--requests", type=int, default=2)
    parser.add_argument("--engine", choices=list(ENGINES))
    arguments = parser.parse_args()
    for name in [arguments.engine] if arguments.engine else ENGINES:
        with ENGINES[name]() as url:
            engine = sa.create_engine(url, poolclass=sa.NullPool)
            for way, run in WAYS.items():
                fill(engine, arguments.rows)
                with Requests(url, arguments.requests, arguments.rows) as requests:
                    begun = time.monotonic()
                    run(engine, arguments.rows)
                    seconds = time.monotonic() - begun
                with engine.connect() as connection:
                    left = connection.exec_driver_sql("SELECT count(*) FROM t WHERE filled IS NULL").scalar()
                    assert left == 0, left
                waits = sorted(requests.waits)
                print(
                    f"{name:11} {way:21} {seconds:7.1f} s, {len(waits)} requests: "
                    f"99 % below {waits[int(len(waits) * 0.99)]:.3f} s, longest {waits[-1]:.2f} s, "
                    f"{requests.failed} failed",
                    flush=True,
                )
            engine.dispose()
    return 0


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("tests", "tests/support")]
    raise SystemExit(main())
