"""One case through the gate, in an Alembic project on the disk, on a database of its own."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import run
from typing import Any
from uuid import uuid4

from sqlalchemy import URL, create_engine, inspect, text

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from alembic_project import INI, AlembicProject  # noqa: E402

from benchmarks.bad_migrations.case import Case, statements  # noqa: E402
from ci_migrate.model import Report, TargetState  # noqa: E402

ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine, event, pool

url = os.environ["DATABASE_URL"]


def run_offline():
    context.configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_online():
    engine = create_engine(url, poolclass=pool.NullPool)
    if engine.dialect.name == "sqlite":  # as the application has it

        @event.listens_for(engine, "connect")
        def enforce(connection, _):
            connection.execute("PRAGMA foreign_keys = ON")

    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


run_offline() if context.is_offline_mode() else run_online()
"""

FIRST = '''\
"""The schema that is there."""
from alembic import op

revision = "r0"
down_revision = None


def upgrade():
    for statement in {statements!r}:
        op.execute(statement)


def downgrade():
    for statement in {drops!r}:
        op.execute(statement)
'''


@dataclass
class Played:
    """What came of a case. `before` and `after` are the whole target, `plain` is "fails" or "goes through".

    `others` has what each other tool says; "" where it has nothing to say.
    """

    case: Case
    report: Report
    before: dict[str, Any]
    after: dict[str, Any]
    plain: str = ""
    others: dict[str, str] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """The gate said no before the target was touched: nothing of it is otherwise than before."""
        return (
            self.report.exit_code != 0
            and self.report.state is TargetState.UNTOUCHED
            and self.after == self.before
        )

    @property
    def by(self) -> str:
        """What said no: codes, or the stage with the first line of its message."""
        codes = sorted({f.code for f in self.report.findings if f.refuses})
        bad = self.report.first_bad
        if codes or bad is None:
            return ", ".join(codes)
        return f"{bad.stage}: {bad.message.splitlines()[0]}"

    @property
    def as_expected(self) -> bool:
        if not self.case.bad:
            return self.report.exit_code == 0
        said = " ".join((self.by, self.report.first_bad.message if self.report.first_bad else ""))
        return self.refused and self.case.expected in said


Databases = Callable[[str, Path], URL]
"""From an engine and a folder to the URL of a fresh, empty database."""


@contextmanager
def servers(engines: set[str]) -> Iterator[Databases]:
    """The servers that these engines need, as the tests start them."""
    from conftest import installed_mariadb, postgresql_binaries, run_mariadb, run_postgresql, run_server

    with ExitStack() as stack:
        admins: dict[str, URL] = {}
        urls: dict[str, Callable[[str], URL]] = {}
        if "postgresql" in engines:
            binaries = postgresql_binaries()
            if binaries is None:
                raise SystemExit("No PostgreSQL server is installed.")
            postgresql = stack.enter_context(run_postgresql(binaries))
            admins["postgresql"], urls["postgresql"] = postgresql.admin_url, postgresql.url
        if "mariadb" in engines:
            mariadb = stack.enter_context(run_mariadb(stack.enter_context(installed_mariadb())))
            admins["mariadb"], urls["mariadb"] = mariadb.admin_url, mariadb.url
        if "mysql" in engines:
            mysql = stack.enter_context(run_server("mysql"))
            admins["mysql"], urls["mysql"] = mysql.admin_url, mysql.url

        def fresh(engine: str, folder: Path) -> URL:
            if engine == "sqlite":
                return URL.create("sqlite", database=str(folder / "app.db"))
            name = f"case_{uuid4().hex[:8]}"
            charset = " TEMPLATE template0" if engine == "postgresql" else " CHARACTER SET utf8mb4"
            send(admins[engine], [f"CREATE DATABASE {name}{charset}"], autocommit=True)
            return urls[engine](name)

        yield fresh


def send(url: URL, commands: list[str], *, autocommit: bool = False) -> None:
    """Run statements on a database, in one transaction."""
    engine = create_engine(url, **({"isolation_level": "AUTOCOMMIT"} if autocommit else {}))
    with engine.begin() as connection:
        for command in commands:
            connection.execute(text(_bare(command)))
    engine.dispose()


def _bare(statement: str) -> str:
    """Without what SQLAlchemy takes for parameters."""
    return statement.replace(":", "\\:")


def whole(url: URL) -> dict[str, Any]:
    """All tables of a database with columns, constraints, indexes and rows, to compare."""
    engine = create_engine(url)
    look = inspect(engine)
    found: dict[str, Any] = {}
    with engine.connect() as connection:
        for table in look.get_table_names():
            quoted = engine.dialect.identifier_preparer.quote(table)
            rows = connection.exec_driver_sql(f"SELECT * FROM {quoted}").all()
            columns = [{**c, "type": str(c["type"])} for c in look.get_columns(table)]
            # without the key's name: MySQL's reflection has none
            parts = (
                columns,
                look.get_pk_constraint(table),
                look.get_indexes(table),
                look.get_foreign_keys(table),
            )
            found[table] = (*(repr(part) for part in parts), sorted(repr(row) for row in rows))
        if engine.dialect.name == "sqlite":
            found["sqlite_master"] = connection.exec_driver_sql(
                "SELECT sql FROM sqlite_master ORDER BY 1"
            ).all()
    engine.dispose()
    return found


def make(case: Case, folder: Path, url: URL) -> AlembicProject:
    """The project, its database at r0 with rows."""
    address = url.render_as_string(hide_password=False)
    project = AlembicProject(folder, environ={"DATABASE_URL": address})
    (folder / "migrations" / "versions").mkdir(parents=True)
    project.write("alembic.ini", INI)
    project.write("migrations/env.py", ENV)
    project.settings(
        f'{case.settings.replace("{python}", sys.executable)}\n[targets.dev]\nurl = "env:DATABASE_URL"\n'
    )
    first = [_bare(statement) for statement in statements(case.schema)]
    project.write("migrations/versions/r0.py", FIRST.format(statements=first, drops=case.drops))
    project.revision("r1", "r0", case.upgrade, case.downgrade, message=case.title)
    for name, content in case.files.items():
        project.write(name, content)
    version = ["CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
               "INSERT INTO alembic_version VALUES ('r0')"]  # fmt: skip
    send(url, [*statements(case.schema), *version, *statements(case.rows)])
    return project


def play(case: Case, folder: Path, url: URL) -> tuple[Played, AlembicProject]:
    """Through `ci-migrate run`, in this process."""
    project = make(case, folder, url)
    if case.then:
        first = project.gate("run")
        assert first.exit_code == 0, first.first_bad
        for name, content in case.then.items():
            project.write(name, content)
    before = whole(url)
    report = project.gate("run")
    return Played(case, report, before, whole(url)), project


def plain_alembic(project: AlembicProject) -> str:
    """What `alembic upgrade head` alone does on the same database, which the gate left as it was."""
    done = run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return "fails" if done.returncode else "goes through"
