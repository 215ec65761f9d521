"""Real histories through `ci-migrate run` as a user runs it. The tests judge, the benchmark writes a table of it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pymysql
from mysql_server import client
from sqlalchemy import URL, make_url

from ci_migrate.databases.base import Database
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.model import RowCount, Schema, TableContent, VersionTable

TOOL = Path(__file__).parents[1] / "corpora" / "corpora.py"
SEED = TOOL.with_name("seed.py")

EMPTY = "empty"
MIGRATED, REFUSED = "migrated", "refused"


@dataclass(frozen=True)
class Case:
    """A corpus, a database, where it starts, and how the run must end.

    `revision`: brought there by plain Alembic first; EMPTY for none. `rows` per table are put in then; `tidy` leaves
    no NULL where a value can be had. `by_alembic`: plain `alembic upgrade` fails on the same data, which is what
    the refusal is for. `says` stands in the reason of a refusal. `allow`: findings that are acknowledged.
    """

    corpus: str
    backend: str
    revision: str = EMPTY
    rows: int = 0
    tidy: bool = False
    outcome: str = MIGRATED
    says: str = ""
    by_alembic: bool = True
    allow: tuple[str, ...] = ()
    quick: bool = False

    @property
    def id(self) -> str:
        return f"{self.corpus}-{self.backend}-{self.start.replace(', ', '-').replace(' ', '-')}"

    @property
    def start(self) -> str:
        """For people: `empty`, `v1.3.0.a, 200 rows a table`."""
        if not self.rows:
            return self.revision
        how = f"{', no NULL' if self.tidy else ''}{', losses acknowledged' if self.allow else ''}"
        return f"{self.revision}, {self.rows} rows a table{how}"


PREFECT_MEANS_IT = (
    "CM201=notification policies are no longer a feature",
    "CM202=schedules have a table of their own",
    "CM601=concurrency limits are rewritten into another table",
)
"""What a maintainer of prefect would say of the tables, columns and rows that its second half leaves behind."""

CASES = (
    Case("optuna", "sqlite", quick=True),
    Case("optuna", "sqlite", "v1.3.0.a", 200, outcome=REFUSED, says="NOT NULL constraint failed", quick=True),
    Case("optuna", "sqlite", "v1.3.0.a", 200, tidy=True),
    Case("optuna", "postgresql"),
    Case("optuna", "postgresql", "v1.3.0.a", 200, tidy=True, outcome=REFUSED, says="studydirection"),
    Case("ihatemoney", "sqlite", quick=True),
    Case("ihatemoney", "sqlite", "f629c8ef4ab0", 1, tidy=True),
    Case("ihatemoney", "postgresql"),
    Case(
        "ihatemoney", "postgresql", "f629c8ef4ab0", 1, tidy=True, outcome=REFUSED, says="too long", quick=True
    ),
    Case("glance", "sqlite"),
    Case("glance", "sqlite", "mitaka02", 100, tidy=True, outcome=REFUSED, says="visibility"),
    Case("glance", "postgresql"),
    Case("glance", "postgresql", "mitaka02", 100, tidy=True, outcome=REFUSED, says="visibility"),
    Case("mlflow", "sqlite"),
    Case("mlflow", "sqlite", "baseline", 300, tidy=True),
    Case("mlflow", "postgresql"),
    Case("mlflow", "postgresql", "baseline", 300, tidy=True),
    Case("optuna", "mariadb", outcome=REFUSED, says="Key column 'step' doesn't exist"),
    Case("optuna", "mysql"),
    # its FLOAT reaches the revision with six digits, so that what is copied is not what goes away
    Case("optuna", "mysql", "v1.3.0.a", 200, tidy=True, outcome=REFUSED, says="CM202", by_alembic=False),
    Case("optuna", "mysql", "v1.3.0.a", 200, tidy=True, allow=("CM202=six digits are enough",)),
    *(
        case
        for backend in ("mariadb", "mysql")
        for case in (
            Case("ihatemoney", backend),
            Case("ihatemoney", backend, "f629c8ef4ab0", 1, tidy=True, outcome=REFUSED, says="too long"),
            Case("glance", backend),
            Case("glance", backend, "mitaka02", 100, tidy=True, outcome=REFUSED, says="visibility"),
            Case("mlflow", backend),
            Case("mlflow", backend, "baseline", 300, tidy=True),
        )
    ),
    Case("ironic", "sqlite", outcome=REFUSED, says="No support for ALTER of constraints"),
    Case("ironic", "postgresql"),
    Case("ironic", "mariadb"),
    Case("ironic", "mysql"),
    Case("prefect", "sqlite"),
    Case("prefect", "sqlite", "middle", 50, outcome=REFUSED, says="CM201 table-dropped", by_alembic=False),
    Case("prefect", "sqlite", "middle", 50, allow=PREFECT_MEANS_IT),
    Case("prefect", "postgresql"),
    Case(
        "prefect", "postgresql", "middle", 50, outcome=REFUSED, says="CM201 table-dropped", by_alembic=False
    ),
    Case("prefect", "postgresql", "middle", 50, allow=PREFECT_MEANS_IT),
)


@dataclass(frozen=True)
class Project:
    """A prepared project folder on a database."""

    folder: Path
    facts: dict
    database: Database

    def tool(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(TOOL), argv[0], str(self.folder), *argv[1:]],
            capture_output=True,
            text=True,
            check=False,
        )

    def must(self, *argv: str) -> str:
        done = self.tool(*argv)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
        return done.stdout

    def snapshot(self) -> "Snapshot":
        """All of the database, for comparing."""
        database = self.database
        counts = database.counts(exact=True)
        heads = database.heads([VersionTable()])
        file = getattr(database, "file", None)
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file is not None and file.exists() else ""
        return Snapshot(database.schema(), heads, counts, database.contents(counts), digest)


@dataclass(frozen=True)
class Snapshot:
    schema: Schema
    heads: tuple[tuple[str, ...], ...]
    counts: dict[str, RowCount]
    contents: dict[str, TableContent]
    file: str = field(repr=False)


@dataclass(frozen=True)
class Ended:
    """What `ci-migrate run` came to."""

    exit_code: int
    seconds: float
    report: dict
    output: str

    @property
    def stage(self) -> dict:
        """The stage that decided: the first that did not pass, else the last that did something."""
        results = self.report["report"]["results"]
        bad = [r for r in results if r["outcome"] in ("failed", "error")]
        return bad[0] if bad else [r for r in results if r["outcome"] == "passed"][-1]

    @property
    def reason(self) -> str:
        return " ".join(self.stage["message"].split())


def install(corpus: str) -> None:
    """Make the corpus' environment where it is missing."""
    subprocess.run([sys.executable, str(TOOL), "install", corpus], check=True)


def prepare(case: Case, folder: Path, url: URL, client_tools: Path | None = None) -> Project:
    """The project folder on an empty database."""
    plain = url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, str(TOOL), "prepare", case.corpus, "--url", plain, "--into", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(done.stdout)
    if case.backend == "postgresql":
        for statement in facts["pg_sql"]:
            execute(url, statement)
        tools = str(client_tools) if client_tools else None
        return Project(folder, facts, PostgreSQL(url, client_tools=tools))
    if case.backend != "sqlite":
        return Project(folder, facts, MySQL(url))
    return Project(folder, facts, SQLite(url))


def bring_to_start(case: Case, project: Project) -> None:
    """Tables that are there before the first revision, the old revision, its rows."""
    project.must("baseline")
    if case.revision == "middle":
        project.must("alembic", "upgrade", middle_of(project))
    elif case.revision not in (EMPTY, "baseline"):
        project.must("alembic", "upgrade", case.revision)
    if case.rows:
        flags = ("--tidy",) if case.tidy else ()
        put = json.loads(project.must("python", str(SEED), "--rows", str(case.rows), *flags).splitlines()[-1])
        if not put["rows"]:
            raise RuntimeError(f"no rows were put in: {put}")


def middle_of(project: Project) -> str:
    """The revision half-way down a history without branches."""
    script = (
        "from alembic.config import Config; from alembic.script import ScriptDirectory\n"
        "revisions = list(ScriptDirectory.from_config(Config('alembic.ini')).walk_revisions())\n"
        "print(revisions[len(revisions) // 2].revision)"
    )
    return project.must("python", "-c", script).strip()


def gate(
    project: Project,
    *arguments: str,
    client_tools: Path | None = None,
    program: Sequence[str] = ("-m", "ci_migrate"),
    **more: str,
) -> "subprocess.CompletedProcess[str]":
    """`ci-migrate ...` in the project folder, with the corpus' own interpreter for env.py, and `more` variables."""
    environ = {
        k: v for k, v in os.environ.items() if not k.startswith(("PG", "CI_MIGRATE_")) and k != "VIRTUAL_ENV"
    }
    environ |= project.facts["env"] | {"CI_MIGRATE_PYTHON": str(Path(project.facts["bin"]) / "python")}
    if client_tools:
        environ["CI_MIGRATE_CLIENT_TOOLS"] = str(client_tools)
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=project.folder,
        env=environ | more,
        capture_output=True,
        text=True,
        check=False,
    )


def run_gate(project: Project, allow: tuple[str, ...] = (), client_tools: Path | None = None) -> Ended:
    """`ci-migrate run` to where the corpus goes."""
    acknowledged = [word for finding in allow for word in ("--allow", finding)]
    started = time.monotonic()
    done = gate(project, "run", "--to", project.facts["target"], *acknowledged, client_tools=client_tools)
    seconds = time.monotonic() - started
    file = project.folder / ".ci-migrate" / "reports" / "report.json"
    report = json.loads(file.read_text()) if file.exists() else {}
    return Ended(done.returncode, seconds, report, done.stdout + done.stderr)


@dataclass(frozen=True)
class Played:
    """A case, played: the target before and after, and a copy that plain Alembic upgraded."""

    ended: Ended
    before: Snapshot
    after: Snapshot
    plain: Snapshot | None
    plain_exit_code: int
    plain_output: str
    plain_seconds: float


def play(
    case: Case, folder: Path, url: URL, copy: Callable[[URL], URL], client_tools: Path | None = None
) -> Played:
    """Bring a fresh database to its start, copy it, send the one through the gate, the other through Alembic."""
    install(case.corpus)
    project = prepare(case, folder / "project", url, client_tools)
    bring_to_start(case, project)
    twin = prepare(case, folder / "plain", copy(url), client_tools)
    before = project.snapshot()
    ended = run_gate(project, case.allow, client_tools)
    after = project.snapshot()
    started = time.monotonic()
    by_alembic = twin.tool("alembic", "upgrade", project.facts["target"])
    seconds = time.monotonic() - started
    return Played(
        ended,
        before,
        after,
        twin.snapshot() if not by_alembic.returncode else None,
        by_alembic.returncode,
        by_alembic.stdout + by_alembic.stderr,
        seconds,
    )


def sqlite_copy(url: URL) -> URL:
    """A copy of a SQLite file that nobody has open."""
    assert url.database is not None
    twin = url.database + ".plain"
    if Path(url.database).exists():
        shutil.copyfile(url.database, twin)
    return url.set(database=twin)


def postgresql_copy(url: URL) -> URL:
    """A copy of a PostgreSQL database to which nobody is connected; the caller's server is thrown away later."""
    twin = url.set(database=f"{url.database}_plain")
    execute(url.set(database="postgres"), f"CREATE DATABASE {twin.database} TEMPLATE {url.database}")
    return twin


def mysql_copy(engine: str, url: URL) -> URL:
    """A copy of a database, made by the engine's own programs."""
    twin = url.set(database=f"{url.database}_plain")
    execute(url, f"CREATE DATABASE {twin.database} CHARACTER SET utf8mb4")
    dump = client(engine, url, "dump", str(url.database))
    client(engine, twin, "", str(twin.database), data=dump)
    return twin


def fresh_database(admin: URL) -> URL:
    """An empty database of a server that is thrown away later."""
    name = f"corpus_{uuid4().hex[:8]}"
    if admin.get_backend_name() == "mysql":
        execute(admin, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    else:
        execute(admin, f"CREATE DATABASE {name} TEMPLATE template0")
    return admin.set(database=name)


def as_plain_user(url: URL) -> URL:
    """The URL with a password without signs: the applications' own env.py files do not all bear a `%`."""
    if url.get_backend_name() == "mysql":
        name = f"{url.database}"[:25]
        execute(url, f"CREATE USER {name}@'%' IDENTIFIED BY 'plain'")
        execute(url, f"GRANT ALL ON *.* TO {name}@'%' WITH GRANT OPTION")
    else:
        name = f"{url.database}_user"
        execute(url, f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'plain'")
    return url.set(username=name, password="plain")


def execute(url: URL, statement: str) -> None:
    """One statement outside of a transaction, in a session that ends with it."""
    if url.get_backend_name() == "mysql":
        with pymysql.connect(
            host=url.host, port=url.port or 0, user=url.username, password=str(url.password), autocommit=True
        ) as session:
            session.cursor().execute(statement)
        return
    with psycopg.connect(
        url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as c:
        c.execute(statement)


COPIES: dict[str, Callable[[URL], URL]] = {
    "sqlite": sqlite_copy,
    "postgresql": postgresql_copy,
    "mariadb": partial(mysql_copy, "mariadb"),
    "mysql": partial(mysql_copy, "mysql"),
}


def sqlite_url(folder: Path) -> URL:
    return make_url(f"sqlite:///{folder / 'app.db'}")
