"""Physical backups beside dumps: what a backup, its proof and a run cost, and the peak memory of our process.

python benchmarks/physical.py [--engine postgresql|pgbackrest|mariadb] [--size 10240] [--dumps]

The scripts are those of examples/physical-backups, with pg_basebackup, pgBackRest (its first backup, a full one) or
mariadb-backup; with `--dumps` the same commands run on the same database with the built-in dump. Needs three times the
size on the disk of TMPDIR. Servers are throw-away ones of its own, without fsync; the file system's cache is as it is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "tests/support", "benchmarks")]

FILL = {
    "postgresql": "INSERT INTO big SELECT n, md5(n::text) || repeat(md5((n * 7)::text), 30)"
    " FROM generate_series({first}, {last}) n",
    "mariadb": "INSERT INTO big SELECT seq, concat(md5(seq), repeat(md5(seq * 7), 30)) FROM seq_{first}_to_{last}",
}
FILL["pgbackrest"] = FILL["postgresql"]
"""About a kilobyte a row."""


@contextmanager
def server(engine: str, folder: Path) -> Iterator[Any]:
    """One whose data lie below the folder."""
    from conftest import run_mariadb
    from mysql_server import installed_mariadb
    from pgbackrest import archived_server
    from postgresql_server import postgresql_binaries, run_postgresql

    with ExitStack() as stack:
        if engine != "mariadb":
            binaries = postgresql_binaries()
            assert binaries is not None, "no PostgreSQL server is installed"
            os.environ["PATH"] = f"{binaries}:{os.environ['PATH']}"
            settings = ("max_wal_size=4GB", "autovacuum=off")
            if engine == "postgresql":
                yield stack.enter_context(run_postgresql(binaries, place=str(folder), settings=settings))
                return
            archived = archived_server(binaries, place=str(folder), settings=settings)
            found, environ = stack.enter_context(archived)
            os.environ.update(environ)
            yield found
        else:
            template = stack.enter_context(installed_mariadb())
            yield stack.enter_context(run_mariadb(template, place=str(folder)))


SIZE = {
    "postgresql": "SELECT pg_database_size(current_database())",
    "mariadb": "SELECT SUM(FILE_SIZE) FROM information_schema.INNODB_SYS_TABLESPACES WHERE NAME LIKE 'big/%%'",
}
SIZE["pgbackrest"] = SIZE["postgresql"]


def fill(url: URL, engine: str, megabytes: int) -> int:
    """A table of this size, in pieces. Returns the bytes that it takes on the disk."""
    target = create_engine(url)
    with target.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CREATE TABLE big (id bigint PRIMARY KEY, content text)")
        if engine != "mariadb":  # else it would store next to nothing of what repeats
            connection.exec_driver_sql("ALTER TABLE big ALTER content SET STORAGE EXTERNAL")
        for first in range(1, megabytes * 1000, 100_000):
            last = min(first + 99_999, megabytes * 1000)
            connection.exec_driver_sql(FILL[engine].format(first=first, last=last))
        taken = int(connection.exec_driver_sql(SIZE[engine]).scalar_one())
    target.dispose()
    return taken


def main() -> int:
    """Print a line per command; 1 where one fails or takes too much memory."""
    from alembic_project import new_project
    from large import COMMANDS, MEASURED, MEMORY, REVISION

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=tuple(FILL), default="postgresql")
    parser.add_argument("--size", type=int, default=10_240, help="MB of the database")
    parser.add_argument("--dumps", action="store_true", help="with built-in dumps, too")
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="cim-physical-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        with server(options.engine, folder) as running:
            driver = "mysql+pymysql" if options.engine == "mariadb" else "postgresql+psycopg"
            admin = create_engine(running.admin_url.set(drivername=driver))
            with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("CREATE DATABASE big")
            admin.dispose()
            url = running.url("big").set(drivername=driver)
            started = time.monotonic()
            taken = fill(url, options.engine, options.size) / 1e6
            print(f"{options.engine}: {taken:,.0f} MB in {time.monotonic() - started:.0f} s", flush=True)
            for kind in ("physical", *(["dumps"] if options.dumps else [])):
                project = new_project(folder / kind, revisions=False)
                project.write("migrations/versions/0001.py", REVISION)
                project.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
                project.settings(
                    _settings(options.engine, folder / kind / "store", physical=kind == "physical")
                )
                for command in COMMANDS[:2]:
                    arguments = command.replace("latest", _latest(folder / kind)).split()
                    started = time.monotonic()
                    done = subprocess.run(
                        [sys.executable, "-c", MEASURED, *arguments],
                        cwd=folder / kind,
                        env={**project.environment(), "PATH": os.environ["PATH"]},
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                    seconds = time.monotonic() - started
                    peak = next(
                        (int(w.split()[1]) for w in done.stderr.splitlines() if w.startswith("peak ")), 0
                    )
                    bad += done.returncode != 0 or peak > MEMORY
                    print(
                        f"{kind:9} {command:32} {seconds:7.1f} s  {peak:4} MB  exit {done.returncode}",
                        flush=True,
                    )
                    if done.returncode:
                        print(done.stdout + done.stderr)
    return int(bad > 0)


def _settings(engine: str, store: Path, *, physical: bool) -> str:
    if not physical:
        return '[targets.dev]\nurl = "env:DATABASE_URL"\n'
    store.mkdir(parents=True, exist_ok=True)
    script = [sys.executable, str(ROOT / "examples" / "physical-backups" / f"{engine}.py")]
    place = "shop" if engine == "pgbackrest" else str(store)
    commands = {
        "create": ["create", place, "{id}"],
        "clone": ["clone", place, "{id}", "{folder}"],
        "delete": ["delete", place, "{id}"],
    }
    lines = [f"provider-{verb} = {json.dumps([*script, *words])}" for verb, words in commands.items()]
    return "\n".join(['[targets.dev]\nurl = "env:DATABASE_URL"\nprovider = "command"', *lines, ""])


def _latest(folder: Path) -> str:
    found = sorted(
        (folder / ".ci-migrate" / "backups").glob("backup_*"), key=lambda path: path.stat().st_mtime
    )
    return found[-1].name if found else ""


if __name__ == "__main__":
    sys.exit(main())
