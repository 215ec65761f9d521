"""Copies on MariaDB for real: what goes into a dump, comes out of it, and what happens when that is disturbed."""

import re
from pathlib import Path

import pymysql
import pytest

from ci_migrate.databases import mysql_copies as copies
from ci_migrate.databases.mysql_catalog import read_schema
from ci_migrate.databases.mysql_rows import read_contents, read_counts
from ci_migrate.databases.mysql_sessions import Access, mysql_parameters
from ci_migrate.errors import BackupError
from ci_migrate.model import VersionTable, schema_changes

RICH = (Path(__file__).parent / "rich_mysql.sql").read_text(encoding="utf-8")


def statements(script):
    """Split at semicolons that end a line of their own statement; bodies of programs are kept whole."""
    found, kept = [], ""
    for line in script.splitlines(keepends=True):
        kept += line
        inside = re.search(r"\bBEGIN\b", kept) and not re.search(r"\bEND;\s*$", kept)
        if line.rstrip().endswith(";") and not inside:
            found.append(kept.strip().rstrip(";"))
            kept = ""
    return found


@pytest.fixture
def access(mysql_url):
    return Access(mysql_parameters(mysql_url), "ci-migrate/test")


def execute(access, *sql):
    with access.session() as cursor:
        for one in sql:
            cursor.execute(one)
        return cursor.fetchall()


@pytest.fixture
def rich(access):
    execute(access, *statements(RICH.replace("THISDB", access.database)))
    return access


@pytest.fixture
def payload(tmp_path):
    folder = tmp_path / "payload"
    folder.mkdir()
    return folder


@pytest.fixture
def fresh(access):
    """An empty database beside."""
    name = access.database + "_fresh"
    execute(access, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield access.elsewhere(name)
    execute(access, f"DROP DATABASE {name}")


def schema(access):
    with access.session() as cursor:
        return read_schema(cursor, access.database)


def counts(access):
    with access.session() as cursor:
        return read_counts(cursor, access.database, None, exact=True)


def contents(access):
    tables = counts(access)
    with access.session() as cursor:
        return read_contents(cursor, access.database, tables)


def test_V13_everything_comes_back(rich, fresh, payload):
    execute(
        rich,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('abc')",
    )
    dumped = copies.dump(rich, payload, [VersionTable()])
    assert dumped.heads == (("abc",),)
    assert dumped.row_counts == counts(rich)
    assert dumped.schema == schema(rich)
    copies.load(fresh, payload)
    assert schema_changes(dumped.schema, schema(fresh)) == ()
    assert contents(fresh) == contents(rich)
    assert execute(fresh, "SELECT NEXTVAL(numbers)")[0][0] >= execute(rich, "SELECT NEXTVAL(numbers)")[0][0]
    assert execute(fresh, "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_NAME = 'books'"
                   " AND TABLE_SCHEMA = DATABASE()") == ((72,),)  # fmt: skip
    body = execute(fresh, "SHOW CREATE PROCEDURE clean")[0][2]
    assert f"FROM `{fresh.database}`.log" in body
    assert f"what = '{rich.database}.log'" in body
