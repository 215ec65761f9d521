"""Real servers of MySQL and MariaDB for tests."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from in_memory import IN_MEMORY
from sqlalchemy import URL

ROOT = Path(__file__).parents[2]
PASSWORD = "p@ss:w/rd%#'\\"
"""Hostile to URLs, connection strings and password files."""


@dataclass(frozen=True)
class MySQLServer:
    """A running server, MySQL's or MariaDB's: its folder, its address, a URL that may do anything."""

    data: Path
    port: int
    socket: Path
    pid: int

    def url(self, database: str = "mysql", user: str = "admin", password: str = PASSWORD) -> URL:
        return URL.create("mysql+pymysql", user, password, "127.0.0.1", self.port, database)

    @property
    def admin_url(self) -> URL:
        return self.url()


@contextmanager
def serve(command: list[str], template: Path, port: int, options: Sequence[str]) -> Iterator[MySQLServer]:
    """A server of its own on loopback and a socket, on a copy of an installed data folder.

    Args:
        command: the program, and the option that must come first.
        template: the installed data folder.
        port: one that is free.
        options: more of them.
    """
    # short: the path of a socket has 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="cim-my-", dir=IN_MEMORY))
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
        found = MySQLServer(folder / "data", port, folder / "s", process.pid)
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
        argv = ["mariadb-dump" if program else "mariadb"]
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


def _defaults(programs: Path) -> list[str]:
    own = programs.parent / "my.cnf"
    return [f"--defaults-file={own}"] if own.exists() else ["--no-defaults"]


@contextmanager
def installed_mysql(programs: Path) -> Iterator[Path]:
    """A data folder with an account `admin` that may do anything."""
    folder = Path(
        tempfile.mkdtemp(prefix="cim-m9-", dir=IN_MEMORY)
    )  # short: the path of a socket has 107 bytes
    try:
        secret = PASSWORD.replace("\\", "\\\\").replace("'", "''")
        (folder / "init.sql").write_text(
            f"CREATE USER admin@'%' IDENTIFIED BY '{secret}';\nGRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n"
        )
        argv = [str(programs / "mysqld"), *_defaults(programs), "--initialize-insecure",
                f"--datadir={folder / 'data'}", f"--init-file={folder / 'init.sql'}"]  # fmt: skip
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
    return serve([str(programs / "mysqld"), *_defaults(programs)], template, port, (*own, *settings))


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
