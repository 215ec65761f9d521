"""Fixtures of the tests of copies on MariaDB: a database with a bit of everything, and what is in it."""

import re
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL

from ci_migrate.databases.mysql.catalog import read_schema
from ci_migrate.databases.mysql.flavours import flavour_of
from ci_migrate.databases.mysql.rows import read_contents, read_counts
from ci_migrate.databases.mysql.sessions import Access, mysql_parameters

RICH = (Path(__file__).parents[1] / "databases/rich_mysql.sql").read_text(encoding="utf-8")

RICH_MYSQL_9 = (Path(__file__).parents[1] / "databases/rich_mysql_9.sql").read_text(encoding="utf-8")
"""The same for MySQL: without sequences, with what MariaDB has not."""


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


def execute_at(url, *sql):
    """The same by a URL."""
    return execute(Access(mysql_parameters(url), "ci-migrate/test"), *(one for one in sql if one.strip()))


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
    execute(access, f"DROP DATABASE IF EXISTS {name}")


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


def databases(access):
    return {name for (name,) in execute(access, "SHOW DATABASES")}


@contextmanager
def another_process(access, script):
    """A process with the access as `access`; `running` is printed when the script says so."""
    head = f"""
        import os, signal, sys, pymysql
        from pathlib import Path
        from ci_migrate.databases.mysql import copies
        from ci_migrate.databases.mysql.sessions import Access
        access = Access({dict(access.parameters)!r}, "ci-migrate/child")
        """
    code = textwrap.dedent(head) + textwrap.dedent(script)
    with subprocess.Popen(
        [sys.executable, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        child.stdin.write(code.encode())
        child.stdin.close()
        try:
            yield child
        finally:
            child.kill()


@pytest.fixture(params=["mariadb", "mysql"])
def either(request):
    """A fresh, empty database on MariaDB, and one on MySQL."""
    server = request.getfixturevalue(f"{request.param}_server")
    url = server.url(f"test_{uuid4().hex[:12]}")
    access = Access(mysql_parameters(url), "ci-migrate/test")
    admin = access.elsewhere("")
    execute(admin, f"CREATE DATABASE {access.database} CHARACTER SET utf8mb4")
    yield access
    for (name,) in execute(admin, "SHOW DATABASES"):
        if str(name).startswith(access.database):
            execute(admin, f"DROP DATABASE `{name}`")


@pytest.fixture
def beside(either):
    """Another one on the same server."""
    access = either.elsewhere(either.database + "_fresh")
    execute(either, f"CREATE DATABASE {access.database} CHARACTER SET utf8mb4")
    return access


def url_of(access) -> str:
    """Its database by URL, with the password."""
    given = access.parameters
    url = URL.create(
        "mysql+pymysql",
        given["user"],
        given["password"],
        given["host"],
        int(given["port"]),
        given["database"],
    )
    return url.render_as_string(hide_password=False)


def is_mariadb(access):
    return "mariadb" in execute(access, "SELECT VERSION()")[0][0].lower()


def version_of(access):
    """Its first two numbers."""
    return flavour_of(execute(access, "SELECT VERSION()")[0][0]).version
