"""Large shapes: what a backup, its proof, a run and a restore cost in time and in memory of our process.

python benchmarks/large.py [SHAPE ...] [--engine postgresql|mariadb|mysql|sqlite] [--scale 1.0]

Shapes: 2,000 tables, one value of 300 MB; on PostgreSQL also 64 schemas (with 20 tables each) and 100,000 large
objects. `--scale` makes them smaller. Each command is a process of its own, whose peak memory (without
its children, which are PostgreSQL's) must stay below 150 MB. The server is a throw-away one of its own, without fsync
where it has that.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import URL

MEMORY = 150
"""The aim for the peak memory of our process, in MB."""

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("tests", "tests/support")]

MEASURED = """
import sys
from ci_migrate.cli import run
code = run(sys.argv[1:])
# not ru_maxrss: that counts the memory of the process that started this one too
peak = next(int(l.split()[1]) // 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(f"peak {peak} MB", file=sys.stderr)
sys.exit(code)
"""

REVISION = """
revision, down_revision = "0001", None


def upgrade():
    from alembic import op
    op.execute("CREATE TABLE added (id int PRIMARY KEY)")
    op.execute(
        "INSERT INTO added WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
        " SELECT i FROM n"
    )


def downgrade():
    from alembic import op
    op.drop_table("added")
"""


def _tables(schema: str, count: int) -> str:
    # in pieces: each CREATE TABLE holds locks until the commit
    return f"""DO $$ BEGIN FOR n IN 1..{count} LOOP
      EXECUTE format('CREATE TABLE %I.a_table_with_a_long_name_%s (id serial PRIMARY KEY,'
        ' label text UNIQUE DEFAULT ''none'', amount numeric CHECK (amount > 0), made timestamptz DEFAULT now())',
        '{schema}', n);
      EXECUTE format('INSERT INTO %I.a_table_with_a_long_name_%s (label) VALUES (''x'')', '{schema}', n);
      IF n % 50 = 0 THEN COMMIT; END IF;
    END LOOP; END $$"""


def _plain_tables(count: int) -> list[str]:
    made = (
        f"CREATE TABLE a_table_with_a_long_name_{n} (id integer PRIMARY KEY, label varchar(80) DEFAULT 'none' UNIQUE,"
        " amount numeric(12, 2) CHECK (amount > 0), made timestamp DEFAULT CURRENT_TIMESTAMP)"
        for n in range(count)
    )
    filled = (f"INSERT INTO a_table_with_a_long_name_{n} (id, label) VALUES (1, 'x')" for n in range(count))
    return [*made, *filled]


Statements = Callable[[float], list[str]]

ON_MYSQL: dict[str, Statements] = {
    "tables": lambda scale: _plain_tables(int(2000 * scale)),
    "value": lambda scale: [
        "CREATE TABLE big (id int PRIMARY KEY, content longblob)",
        f"INSERT INTO big SELECT 1, repeat(unhex('00ff5c0a'), {int(75_000_000 * scale)})",
    ],
}

SHAPES: dict[str, dict[str, Statements]] = {
    "postgresql": {
        "tables": lambda scale: [_tables("public", int(2000 * scale))],
        "schemas": lambda scale: [
            statement
            for n in range(int(64 * scale))
            for statement in (f"CREATE SCHEMA tenant_{n}", _tables(f"tenant_{n}", 20))
        ],
        "large-objects": lambda scale: [
            f"SELECT count(lo_from_bytea(0, '\\xabcd')) FROM generate_series({n}, {n + 999})"
            for n in range(0, int(100_000 * scale), 1000)
        ],
        "value": lambda scale: [
            "CREATE TABLE big (id int PRIMARY KEY, content bytea)",
            "ALTER TABLE big ALTER COLUMN content SET STORAGE EXTERNAL",
            f"INSERT INTO big SELECT 1, decode(repeat('00ff5c0a', {int(75_000_000 * scale)}), 'hex')",
        ],
    },
    "mariadb": ON_MYSQL,
    "mysql": ON_MYSQL,
    "sqlite": {
        "tables": lambda scale: _plain_tables(int(2000 * scale)),
        "value": lambda scale: [
            "CREATE TABLE big (id int PRIMARY KEY, content blob)",
            f"INSERT INTO big SELECT 1, randomblob({int(300_000_000 * scale)})",
        ],
    },
}
"""By engine and name, the statements that make one, for a scale of 1 as its description says."""

SETTINGS = {"mariadb": ("--max-allowed-packet=1G",), "mysql": ("--max-allowed-packet=1G",)}
"""What a server needs to hold one."""


COMMANDS = (
    "backup create",
    "backup verify latest --restore",
    "run",
    "backup restore latest --target dev --yes",
)
"""What is measured; `latest` stands for the id of the backup that was taken last."""


@dataclass(frozen=True)
class Cost:
    """What one command took: its exit code, seconds, peak memory of our process in MB, and what it printed."""

    command: str
    code: int
    seconds: float
    memory: int
    printed: str


def measure(engine: str, shape: str, scale: float, folder: Path, url: "URL") -> Iterator[Cost]:
    """Fill the empty database at `url` with a shape, and send it through each command; what each cost, as it ends."""
    import subprocess

    from alembic_project import new_project
    from sqlalchemy import create_engine

    target = create_engine(url)
    with target.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        cursor = connection.connection.cursor()  # the driver's own: a % is a % there
        for statement in SHAPES[engine][shape](scale):
            cursor.execute(statement)
    target.dispose()
    project = new_project(folder, revisions=False)
    project.write("migrations/versions/0001.py", REVISION)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    project.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    for command in COMMANDS:
        arguments = command.replace("latest", _latest(folder)).split()
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments],
            cwd=folder, env=project.environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        peak = next((int(w.split()[1]) for w in done.stderr.splitlines() if w.startswith("peak ")), 0)
        yield Cost(command, done.returncode, time.monotonic() - started, peak, done.stdout + done.stderr)


def _latest(folder: Path) -> str:
    found = sorted(
        (folder / ".ci-migrate" / "backups").glob("backup_base_*"), key=lambda path: path.stat().st_mtime
    )
    return found[-1].name if found else ""


@contextmanager
def empty_database(engine: str, server: Any, shape: str, folder: Path) -> "Iterator[URL]":
    """One for a shape, gone at the end."""
    from sqlalchemy import URL, create_engine

    if engine == "sqlite":
        yield URL.create("sqlite", database=str(folder / f"{shape}.db"))
        return
    name = shape.replace("-", "_")
    driver = "postgresql+psycopg" if engine == "postgresql" else "mysql+pymysql"
    admin = create_engine(server.admin_url.set(drivername=driver))
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield server.url(name).set(drivername=driver)
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    admin.dispose()


def main() -> int:
    """Print a line per command; 1 where one fails or takes too much memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help="all of the engine's by default")
    parser.add_argument("--engine", choices=SHAPES, default="postgresql")
    parser.add_argument("--scale", type=float, default=1.0)
    chosen = parser.parse_args()

    from conftest import run_server

    bad = 0
    server_of = (
        nullcontext()
        if chosen.engine == "sqlite"
        else run_server(chosen.engine, SETTINGS.get(chosen.engine, ()))
    )
    with server_of as server, tempfile.TemporaryDirectory() as place:
        for shape in chosen.shapes or SHAPES[chosen.engine]:
            with empty_database(chosen.engine, server, shape, Path(place)) as url:
                for cost in measure(chosen.engine, shape, chosen.scale, Path(place) / shape, url):
                    bad += cost.code != 0 or cost.memory > MEMORY
                    print(
                        f"{shape:14} {cost.command.split(' --')[0][:30]:32} exit {cost.code} {cost.seconds:7.1f} s"
                        f" {cost.memory:5} MB{'  <- too much' if cost.memory > MEMORY else ''}",
                        flush=True,
                    )
                    if cost.code:
                        print(cost.printed[-1500:], flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
