"""Every version that we claim, on a real server of it: conformance, the zoo, a failure, kills and what mends them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic_project import new_project
from mysql_server import MySQLServer, installed_mariadb, require, run_mariadb
from mysql_support import execute_at
from postgresql_server import run_postgresql
from postgresql_support import execute, one
from servers import SUITE, TOO_OLD, TRIED, installed, missing

from ci_migrate.databases.mysql import database as mysql_database
from ci_migrate.databases.mysql.flavours import flavour_of

ROOT = Path(__file__).parents[2]

GLANCE = {
    ("PostgreSQL", "18"): [
        f"{SUITE['PostgreSQL'][0]}::test_{name}"
        for name in ("V9_a_restore_takes_the_place_of_the_database", "a_scratch_copy", "additions_are_undone")
    ],
    ("MariaDB", "11.8"): [SUITE["MariaDB"][1]],
}
"""One version more than the default one, for each change."""


def server_of(engine, version):
    server = installed(engine, version)
    if server is None:
        require(f"{engine.lower()}-{version}", missing(engine, version))
    return server


def run_tests(engine, version, *tests):
    """Tests whose fixtures start this server."""
    printed = in_a_process_of_its_own(server_of(engine, version).environment, *tests)
    assert re.search(r"\b\d+ passed", printed), printed


def in_a_process_of_its_own(environment, *tests):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_") and k != "TEST_REQUIRE"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests],
        cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    ("engine", "version"), [(engine, v) for engine, found in TRIED.items() for v in found]
)
def test_a_version_that_we_claim(engine, version):
    run_tests(engine, version, *SUITE[engine])


@pytest.mark.parametrize(("engine", "version"), GLANCE)
def test_one_version_more(engine, version):
    run_tests(engine, version, *GLANCE[engine, version])


@pytest.mark.parametrize("engine", ["PostgreSQL", "MariaDB", pytest.param("MySQL", marks=pytest.mark.long)])
def test_a_server_that_is_given_by_its_url(engine, request):
    """As CI's containers are: the fixtures start none, and what needs one of its own is skipped."""
    server = request.getfixturevalue(f"{engine.lower()}_server")
    one_that_fits = f"{SUITE[engine][0]}::test_ping"
    needs_its_own = "tests/migrations/test_servers.py::test_F9_a_socket_in_alembic_ini_is_kept"
    given = {f"TEST_{engine.upper()}_URL": server.admin_url.render_as_string(hide_password=False)}
    # a server that is started here would be found by neither
    done = in_a_process_of_its_own({**given, "TEST_MARIADB": "/nonexistent"}, one_that_fits, needs_its_own)
    assert "1 passed, 1 skipped" in done, done


def project_on(tmp_path, url):
    project = new_project(tmp_path / "project")
    project.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    return project


def refused(project, *words):
    ran = project.call("run")
    assert ran.code not in (0, 70), ran.text
    text = " ".join(ran.text.split())
    assert [word for word in (*words, "is the oldest that is supported") if word not in text] == [], ran.text


def test_a_postgresql_that_is_too_old_is_refused(tmp_path):
    server = server_of("PostgreSQL", TOO_OLD["PostgreSQL"])
    with run_postgresql(server.binaries) as old:
        execute(old.admin_url, "CREATE DATABASE app")
        refused(
            project_on(tmp_path, old.url("app").set(drivername="postgresql+psycopg")), "PostgreSQL 12.", "13"
        )
        assert one(old.admin_url, "SELECT count(*) FROM pg_database WHERE NOT datistemplate") == 2
        assert (
            one(old.url("app"), "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
            == 0
        )


def test_a_mariadb_that_is_too_old_is_refused(tmp_path, monkeypatch):
    server = server_of("MariaDB", TOO_OLD["MariaDB"])
    monkeypatch.setenv("TEST_MARIADB", str(server.binaries.parent))
    with installed_mariadb() as template, run_mariadb(template) as old:
        nothing_is_written(project_on(tmp_path, make_app(old)), old, "MariaDB 10.5.", "10.6")


@pytest.mark.parametrize("version", ["5.7.44-log", "5.6.51"])
def test_a_mysql_that_is_too_old_is_refused(mysql_server, tmp_path, monkeypatch, version):
    """There is none to be had: the one place that reads its version is told of one."""
    monkeypatch.setattr(mysql_database, "read_flavour", lambda _cursor: flavour_of(version))
    url = make_app(mysql_server)
    try:
        nothing_is_written(project_on(tmp_path, url), mysql_server, f"MySQL {version}", "8.0")
    finally:
        execute_at(url, "DROP DATABASE app")


def make_app(server: MySQLServer):
    execute_at(server.admin_url, "CREATE DATABASE app")
    return server.url("app")


def nothing_is_written(project, server, *words):
    def databases():
        return set(execute_at(server.admin_url, "SHOW DATABASES"))

    before = databases()
    refused(project, *words)
    assert databases() == before
    assert execute_at(server.url("app"), "SHOW TABLES") == ()
