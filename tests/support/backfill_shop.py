"""A database for backfills, by any driver, sync or async."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

ASYNC = ("aiosqlite", "asyncpg", "aiomysql", "asyncmy")


@dataclass
class Shop:
    """A database, and how to reach it."""

    url: sa.URL

    @property
    def plain(self) -> sa.URL:
        """By a driver that is not async."""
        drivers = {"aiosqlite": "sqlite", "asyncpg": "postgresql+psycopg", "aiomysql": "mysql+pymysql"}
        drivers["asyncmy"] = "mysql+pymysql"
        return self.url.set(
            drivername=drivers.get(self.url.drivername.partition("+")[2], self.url.drivername)
        )

    def call(self, function, *, autocommit=True):
        """What env.py's connection is given to: as in `autocommit_block()`, or as SQLAlchemy opens one."""
        options = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
        if self.url.drivername.partition("+")[2] not in ASYNC:
            engine = sa.create_engine(self.url, poolclass=sa.NullPool)
            with engine.connect() as connection:
                return function(connection.execution_options(**options))

        async def main():
            engine = create_async_engine(self.url, poolclass=sa.NullPool)
            async with engine.connect() as connection:
                await connection.execution_options(**options)
                return await connection.run_sync(function)

        return asyncio.run(main())

    def run(self, *statements, rows=None):
        """Send statements, commit; the rows of the last one."""
        engine = sa.create_engine(self.plain, poolclass=sa.NullPool)
        found = []
        with engine.begin() as connection:
            for statement in statements:
                result = connection.execute(sa.text(statement), *([rows] if rows else []))
                if result.returns_rows:
                    found = [tuple(row) for row in result.all()]
        return found

    def fill(self, count, kind="INTEGER", key=lambda n: n * 3):
        """A table `t` with rows that no batch has met."""
        self.run(f"CREATE TABLE t (id {kind} NOT NULL PRIMARY KEY, n INTEGER NOT NULL)")
        rows = [{"id": key(n)} for n in range(count)]
        if rows:
            self.run("INSERT INTO t VALUES (:id, 0)", rows=rows)

    def counts(self):
        """How often rows were met: {times: rows}."""
        return dict(self.run("SELECT n, count(*) FROM t GROUP BY n"))


ENGINES = {
    "sqlite": ("sqlite", None),
    "postgresql": ("postgresql+psycopg", "postgresql_url"),
    "mariadb": ("mysql+pymysql", "mysql_url"),
    "mysql97": ("mysql+pymysql", "mysql97_url"),
}
DRIVERS = {
    "aiosqlite": ("sqlite+aiosqlite", None),
    "psycopg2": ("postgresql+psycopg2", "postgresql_url"),
    "asyncpg": ("postgresql+asyncpg", "postgresql_url"),
    "aiomysql": ("mysql+aiomysql", "mysql_url"),
    "asyncmy": ("mysql+asyncmy", "mysql_url"),
}


def url_of(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> sa.URL:
    """A fresh database, by one of these."""
    driver, fixture = (ENGINES | DRIVERS)[name]
    if fixture is None:
        return sa.URL.create(driver, database=str(tmp_path / "app.db"))
    return sa.make_url(request.getfixturevalue(fixture)).set(drivername=driver)
