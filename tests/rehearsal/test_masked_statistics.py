"""What a server keeps of the values of rows for its planner: of a masked copy it is of the masked values."""

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from sqlalchemy import URL, create_engine, make_url

from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.rehearsal.mask import mask_copy
from ci_migrate.settings.settings import Settings, load


@pytest.fixture
def settings(alembic_project) -> Settings:
    alembic_project.write("mask.sql", "UPDATE users SET name = 'masked'")
    alembic_project.settings('[targets.dev]\nmask = "mask.sql"\n')
    return load(alembic_project.folder, {}, {"target": "dev"})


def run(url: URL, *statements: str) -> str:
    """All that the last statement gives, in one text."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        text = repr([tuple(row) for row in result]) if result.returns_rows else ""
    engine.dispose()
    return text


def test_those_of_postgresql(settings, postgresql_url) -> None:
    look = "SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'users' AND attname = 'name'"
    more = "SELECT most_common_vals FROM pg_stats_ext WHERE tablename = 'users'"
    url = postgresql_url.set(drivername="postgresql+psycopg")
    made = run(
        url,
        "CREATE TABLE users (id int, name text)",
        "INSERT INTO users SELECT n, 'ana' FROM generate_series(1, 200) n",
        "CREATE STATISTICS both_of_them (mcv) ON id, name FROM users",
        "ANALYZE",
        look,
    )
    assert "ana" in made
    assert "ana" in run(url, "UPDATE users SET id = mod(id, 3)", "ANALYZE", more)
    mask_copy(settings, PostgreSQL(postgresql_url), {})
    assert run(url, look) == "[('{masked}', None)]"
    assert "ana" not in run(url, more)


@pytest.mark.parametrize(
    ("server", "gather", "look"),
    [
        (
            "mysql97_url",
            "ANALYZE TABLE users UPDATE HISTOGRAM ON name WITH 7 BUCKETS",
            """SELECT CAST(FROM_BASE64(SUBSTRING_INDEX(HISTOGRAM->>'$.buckets[0][0]', ':', -1)) AS CHAR)
            FROM information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = DATABASE()""",
        ),
        (
            "mysql_url",
            "ANALYZE TABLE users PERSISTENT FOR ALL",
            "SELECT CAST(min_value AS CHAR) FROM mysql.column_stats WHERE db_name = DATABASE() AND column_name = 'name'",
        ),
    ],
)
def test_those_of_mysql_and_mariadb(request, settings, server: str, gather: str, look: str) -> None:
    url = request.getfixturevalue(server).set(drivername="mysql+pymysql")
    made = run(
        url,
        "CREATE TABLE users (id int, name varchar(20))",
        "INSERT INTO users VALUES (1, 'ana'), (2, 'ana')",
        gather,
        look,
    )
    assert made == "[('ana',)]"
    mask_copy(settings, MySQL(url), {})
    assert run(url, look) == "[('masked',)]"


@pytest.fixture
def with_samples(tmp_path) -> Callable[[], list[tuple[str]]]:
    """A file that a SQLite with samples has analyzed; few are built so."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE users (id integer, name text); INSERT INTO users VALUES (1, 'ana');"
            "CREATE TABLE samples (tbl, idx, neq, nlt, ndlt, sample);"
            "INSERT INTO samples VALUES ('users', 'i', '1', '0', '0', 'ana');"
            "PRAGMA writable_schema = ON;"
            "UPDATE sqlite_master SET name = 'sqlite_stat4', tbl_name = 'sqlite_stat4',"
            " sql = 'CREATE TABLE sqlite_stat4(tbl, idx, neq, nlt, ndlt, sample)' WHERE name = 'samples';"
        )

    def look() -> list[tuple[str]]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT sample FROM sqlite_stat4").fetchall()

    return look


def test_samples_of_sqlite(settings, with_samples, tmp_path) -> None:
    assert with_samples() == [("ana",)]
    mask_copy(settings, SQLite(make_url(f"sqlite:///{tmp_path / 'shop.db'}")), {})
    assert with_samples() == []
