"""Real servers of MySQL and MariaDB for tests."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from in_memory import IN_MEMORY
from sqlalchemy import URL, make_url

ROOT = Path(__file__).parents[2]
PASSWORD = "p@ss:w/rd%#'\\"
"""Hostile to URLs, connection strings and password files."""


@dataclass(frozen=True)
class Started:
    """What only the one who started a server knows."""

    data: Path
    socket: Path
    pid: int


def skip_unless_started(started: Started | None) -> Started:
    """A server that was given by its URL can't be killed, filled or reached by its socket."""
    if started is None:
        pytest.skip("the test needs a server that it starts itself, not one that is given by a URL")
    return started


@dataclass(frozen=True)
class MySQLServer:
    """A running server, MySQL's or MariaDB's: its address, a URL that may do anything, its folder if it is ours."""

    port: int
    started: Started | None = None

    @property
    def data(self) -> Path:
        return skip_unless_started(self.started).data

    @property
    def socket(self) -> Path:
        return skip_unless_started(self.started).socket

    @property
    def pid(self) -> int:
        return skip_unless_started(self.started).pid

    def url(self, database: str = "mysql", user: str = "admin", password: str = PASSWORD) -> URL:
        return URL.create("mysql+pymysql", user, password, "127.0.0.1", self.port, database)

    @property
    def admin_url(self) -> URL:
        return self.url()


@contextmanager
def serve(
    command: list[str], template: Path, port: int, options: Sequence[str], place: str | None = IN_MEMORY
) -> Iterator[MySQLServer]:
    """A server of its own on loopback and a socket, on a copy of an installed data folder.

    Args:
        command: the program, and the option that must come first.
        template: the installed data folder.
        port: one that is free.
        options: more of them.
        place: the folder that its own one is made in.
    """
    # short: the path of a socket has 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="cim-my-", dir=place))
    process = None
    try:
        shutil.copytree(template, folder / "data")
        argv = [*command, f"--datadir={folder / 'data'}", f"--socket={folder / 's'}", f"--port={port}",
                "--bind-address=127.0.0.1", f"--pid-file={folder / 'pid'}", f"--tmpdir={folder}",
                "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve", "--max-connections=80",
                *options]  # fmt: skip
        argv += ["--user=root"] if os.getuid() == 0 else []
        pdeathsig = ["setpriv", "--pdeathsig=TERM"] if shutil.which("setpriv") else []
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*pdeathsig, *argv], stdout=log, stderr=log, start_new_session=True)
        found = MySQLServer(port, Started(folder / "data", folder / "s", process.pid))
        _wait_until_up(found, process, folder / "log")
        yield found
    finally:
        if process is not None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require(name: str, reason: str) -> NoReturn:
    """Skip a test whose engine is missing; fail it where CI_MIGRATE_REQUIRE (comma separated) asks for the engine."""
    if name in os.environ["TEST_REQUIRE"].split(","):
        pytest.fail(f"{name} is required here: {reason}")
    pytest.skip(reason)


def given_mysql(url: str) -> MySQLServer:
    """A server that runs already, at a port of 127.0.0.1, for tests alone: it gets the account `admin`.

    Args:
        url: of an account that may do anything (TEST_MYSQL_URL, TEST_MARIADB_URL).
    """
    import pymysql

    given = make_url(url)
    account = {"user": given.username, "password": given.password or ""}
    with pymysql.connect(host="127.0.0.1", port=given.port or 3306, **account) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE USER IF NOT EXISTS admin@'%%' IDENTIFIED BY %s", (PASSWORD,))
        cursor.execute("GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION")
    return MySQLServer(given.port or 3306)


def mariadb_binary(name: str) -> str | None:
    """A program of MariaDB: of the folder TEST_MARIADB, or the system's.

    Debian keeps the server in a folder that is not on everybody's PATH.
    """
    if chosen := os.environ.get("TEST_MARIADB"):
        return shutil.which(name, path=f"{chosen}/bin")
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def mysql_programs() -> Path | None:
    """The folder of mysqld, mysqldump and mysql: of TEST_MYSQL, of `.mysql` in the checkout, or the system's."""
    for folder in filter(None, (os.environ.get("TEST_MYSQL"), str(ROOT / ".mysql"))):
        if (Path(folder) / "bin" / "mysqld").exists():
            return Path(folder) / "bin"
    found = shutil.which("mysqld", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return None if "MariaDB" in said else Path(found).parent


def client(engine: str, url: URL, program: str, *arguments: str, data: bytes = b"") -> bytes:
    """What the engine's own program prints: `dump`, or its client (``) that is fed `data`."""
    if engine == "mysql":
        folder = mysql_programs()
        assert folder is not None
        argv = [str(folder / f"mysql{program}")]
    else:
        argv = [str(mariadb_binary("mariadb-dump" if program else "mariadb"))]
    argv += [
        "--no-defaults",
        f"--host={url.host}",
        f"--port={url.port}",
        f"--user={url.username}",
        *arguments,
    ]
    variables = {**os.environ, "MYSQL_PWD": str(url.password)}
    done = subprocess.run(argv, input=data, capture_output=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def defaults(programs: Path) -> list[str]:
    """The option that must come first."""
    own = programs.parent / "my.cnf"
    return [f"--defaults-file={own}"] if own.exists() else ["--no-defaults"]


@contextmanager
def installed_mysql(programs: Path, *, settings: tuple[str, ...] = ()) -> Iterator[Path]:
    """A data folder with an account `admin` that may do anything; `settings` are for good."""
    folder = Path(
        tempfile.mkdtemp(prefix="cim-m9-", dir=IN_MEMORY)
    )  # short: the path of a socket has 107 bytes
    try:
        secret = PASSWORD.replace("\\", "\\\\").replace("'", "''")
        (folder / "init.sql").write_text(
            f"CREATE USER admin@'%' IDENTIFIED BY '{secret}';\nGRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n"
        )
        argv = [str(programs / "mysqld"), *defaults(programs), "--initialize-insecure",
                f"--datadir={folder / 'data'}", f"--init-file={folder / 'init.sql'}", *settings]  # fmt: skip
        argv += ["--user=root"] if os.getuid() == 0 else []
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{argv[0]}: {done.stdout}{done.stderr}")
        (folder / "data" / "auto.cnf").unlink(
            missing_ok=True
        )  # it holds the server's UUID: each copy gets its own
        yield folder / "data"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_mysql(
    programs: Path, template: Path, port: int, *, settings: tuple[str, ...] = ()
) -> AbstractContextManager[MySQLServer]:
    """A MySQL server of its own."""
    own = ("--innodb-buffer-pool-size=64M", "--innodb-doublewrite=OFF", "--skip-log-bin")
    return serve([str(programs / "mysqld"), *defaults(programs)], template, port, (*own, *settings))


def _wait_until_up(server: MySQLServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    import pymysql

    deadline = time.monotonic() + 60
    while True:
        try:
            pymysql.connect(
                host="127.0.0.1", port=server.port, user="admin", password=PASSWORD, database="mysql"
            ).close()
        except pymysql.MySQLError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')}") from None
            time.sleep(0.05)
        else:
            return


def run_mariadb(
    template: Path, *, settings: tuple[str, ...] = (), place: str | None = IN_MEMORY
) -> AbstractContextManager[MySQLServer]:
    """A MariaDB server of its own."""
    server = mariadb_binary("mariadbd") or mariadb_binary("mysqld")
    assert server is not None
    own = ("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=32M")
    return serve([server, *defaults(Path(server).parent)], template, free_port(), (*own, *settings), place)


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
            [install, *defaults(Path(install).parent), f"--datadir={folder / 'data'}", f"--user={user}", "--skip-test-db",
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
            *defaults(Path(server).parent),
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
