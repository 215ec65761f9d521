"""A real MySQL server for tests, beside MariaDB's: what the two share stands in conftest.py."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from in_memory import IN_MEMORY
from sqlalchemy import URL

ROOT = Path(__file__).parents[2]
PASSWORD = "p@ss:w/rd%#'\\"


@dataclass(frozen=True)
class MySQLServer:
    """A running server: its folder, its address, its programs, a URL that may do anything."""

    data: Path
    port: int
    socket: Path
    pid: int
    programs: Path

    def url(self, database: str = "mysql", user: str = "admin", password: str = PASSWORD) -> URL:
        return URL.create("mysql+pymysql", user, password, "127.0.0.1", self.port, database)

    @property
    def admin_url(self) -> URL:
        return self.url()


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


@contextmanager
def run_mysql(
    programs: Path, template: Path, port: int, *, settings: tuple[str, ...] = ()
) -> Iterator[MySQLServer]:
    """A server of its own on loopback and a socket, on a copy of an installed data folder."""
    folder = Path(tempfile.mkdtemp(prefix="cim-m9-", dir=IN_MEMORY))
    process = None
    try:
        shutil.copytree(template, folder / "data")
        argv = [str(programs / "mysqld"), *_defaults(programs), f"--datadir={folder / 'data'}",
                f"--socket={folder / 's'}", f"--port={port}", "--bind-address=127.0.0.1",
                f"--pid-file={folder / 'pid'}", f"--tmpdir={folder}", "--innodb-flush-log-at-trx-commit=0",
                "--innodb-buffer-pool-size=64M", "--skip-name-resolve", "--max-connections=80",
                "--innodb-doublewrite=OFF", "--skip-log-bin", *settings]  # fmt: skip
        argv += ["--user=root"] if os.getuid() == 0 else []
        pdeathsig = ["setpriv", "--pdeathsig=TERM"] if shutil.which("setpriv") else []
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*pdeathsig, *argv], stdout=log, stderr=log, start_new_session=True)
        found = MySQLServer(folder / "data", port, folder / "s", process.pid, programs)
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
                raise RuntimeError(f"mysqld did not start: {log.read_text(errors='replace')}") from None
            time.sleep(0.05)
        else:
            return
