"""A restored copy beside its manifest: what is equal, what is wrong, what may differ and what was not looked at."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import URL

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.comparison import compare_restored, describe_wrong
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.model import Backup, Comparison, VersionTable

TABLES = [VersionTable()]


class OwnWords(SQLite):
    """An engine that may write a restored definition in its own words."""

    capabilities = replace(SQLite.capabilities, stable_definitions=False)


@pytest.fixture
def copy(tmp_path: Path) -> SQLite:
    database = SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))
    run(
        database,
        "CREATE TABLE alembic_version (version_num)",
        "INSERT INTO alembic_version VALUES ('3f2a')",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email)",
        "INSERT INTO users (email) VALUES ('a'), ('b')",
        "CREATE INDEX by_email ON users (email)",
    )
    return database


@pytest.fixture
def backup(copy: SQLite, tmp_path: Path) -> Backup:
    return Catalog(LocalStorage(tmp_path / "backups")).create(
        copy, target="dev", version_tables=TABLES, migration_version="x"
    )


def run(database: SQLite, *statements: str) -> None:
    with closing(sqlite3.connect(database.file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def compare(copy: SQLite, backup: Backup) -> Comparison:
    return compare_restored(copy, backup, version_tables=TABLES)


def test_equal(copy: SQLite, backup: Backup) -> None:
    found = compare(copy, backup)
    assert found.equal
    assert (found.exceptions, found.not_compared) == ((), ())
    assert found.compared == ("schema (7 objects)", "heads", "rows of 2 tables by digest")


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("DROP INDEX by_email", "index users.by_email is missing"),
        ("CREATE INDEX other ON users (id)", "index users.other is new"),
        ("UPDATE alembic_version SET version_num = '77c1'", "it is at 77c1 instead of 3f2a"),
        ("DELETE FROM users WHERE id = 2", "table users has 1 rows, 2 were backed up"),
        ("UPDATE users SET email = 'c' WHERE id = 2", "table users has other values in email"),
        (
            "UPDATE users SET email = CASE email WHEN 'a' THEN 'b' ELSE 'a' END",
            "the same values in other rows",
        ),
    ],
)
def test_wrong(copy: SQLite, backup: Backup, statement: str, wrong: str) -> None:
    run(copy, statement)
    found = compare(copy, backup)
    assert not found.equal
    assert wrong in describe_wrong(found)


def test_what_may_differ_is_told_with_its_reason(copy: SQLite, backup: Backup) -> None:
    run(copy, "DROP INDEX by_email")
    excused = replace(backup, exceptions={"index users.by_email": "it was broken when it was backed up"})
    found = compare(copy, excused)
    assert found.equal
    assert found.exceptions == ("index users.by_email is missing: it was broken when it was backed up",)
    assert found.compared[0] == "schema (6 objects)", "what may differ is not counted as equal"


def test_definitions_that_the_engine_writes_anew_are_told_as_not_compared(
    copy: SQLite, backup: Backup
) -> None:
    run(copy, "DROP INDEX by_email", "CREATE INDEX by_email ON users (email DESC)")
    assert describe_wrong(compare(copy, backup)) == "index users.by_email reads differently"
    found = compare(OwnWords(copy.url), backup)
    assert found.equal
    assert found.not_compared == (
        "definitions that the engine writes differently after a restore: index users.by_email",
    )


def test_a_backup_without_fingerprint_compares_no_schema(copy: SQLite, backup: Backup) -> None:
    found = compare(copy, replace(backup, fingerprint=None))
    assert found.not_compared == ("schema: the backup has no fingerprint",)
    assert not any("schema" in words for words in found.compared)


def test_a_backup_without_digests_says_that_rows_were_only_counted(copy: SQLite, backup: Backup) -> None:
    found = compare(copy, replace(backup, contents={}))
    assert found.equal
    assert found.compared[-1] == "row counts of 2 tables"
    assert found.not_compared == ("rows by their digests: the backup has none, they were only counted",)


def test_many_differences_are_counted(copy: SQLite, backup: Backup) -> None:
    run(copy, *(f"CREATE TABLE t{n} (id)" for n in range(9)))
    assert describe_wrong(compare(copy, backup)).endswith("; and 13 more")
