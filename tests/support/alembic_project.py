"""Small Alembic projects on the disk, and the command that is run in them as a user runs it."""

import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import forked_command
from sqlalchemy import make_url
from warm_worker import READ_AT_START

from ci_migrate.cli import run as run_command
from ci_migrate.gate import run
from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.ledger.place import ledger_url
from ci_migrate.model import Report
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS

COMMAND = (sys.executable, "-m", "ci_migrate")

INI = """\
[alembic]
script_location = %(here)s/migrations
sqlalchemy.url = sqlite:///app.db
path_separator = os

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(levelname)s %(message)s
"""

ENV = """\
import os
from logging.config import fileConfig
from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config
fileConfig(config.config_file_name)
if os.environ.get("DATABASE_URL"):
    config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"].replace("%", "%%"))


def run_migrations_online():
    connectable = engine_from_config(
        config.get_section(config.config_ini_section), prefix="sqlalchemy.", poolclass=pool.NullPool
    )
    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=None)
        with context.begin_transaction():
            context.run_migrations()


run_migrations_online()
"""

REVISION = '''\
"""{message}"""
import sqlalchemy as sa
from alembic import op

revision = "{id}"
down_revision = {down!r}
branch_labels = None
depends_on = None
{extra}

def upgrade():
{upgrade}


def downgrade():
{downgrade}
'''


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def words(self) -> str:
        """The text, whatever the width of its lines."""
        return " ".join(self.text.split())

    @property
    def report(self) -> dict[str, Any]:
        """The report file that it wrote."""
        found: dict[str, Any] = json.loads(
            (self.folder / ".ci-migrate" / "reports" / "report.json").read_text()
        )
        assert found["exitCode"] == self.code
        return found["report"]

    def stage(self, name: str) -> dict[str, Any]:
        return next(s for s in self.report["results"] if s["stage"] == name)

    @property
    def outcomes(self) -> dict[str, str]:
        """Stage by stage; skipped ones left out."""
        return {s["stage"]: s["outcome"] for s in self.report["results"] if s["outcome"] != "skipped"}

    def codes(self) -> set[str]:
        """The codes of all findings."""
        return {f["code"] for s in self.report["results"] for f in s["findings"]}


def ended(done: Done, code: int, *words: str) -> str:
    """It ended with this code and said these words, without a traceback. Returns what it printed."""
    assert done.code == code, done.text
    assert "Traceback (most" not in done.text
    for word in words:
        assert word in done.words, (word, done.text)
    return done.out


@dataclass
class AlembicProject:
    """A folder with alembic.ini, env.py and revisions; its database is app.db, unless a URL says otherwise."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    # ------------------------------------------------------------------ files

    @property
    def database(self) -> Path:
        return self.folder / "app.db"

    @property
    def reports(self) -> Path:
        return self.folder / ".ci-migrate" / "reports"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def settings(self, text: str) -> None:
        """ci-migrate.toml."""
        self.write("ci-migrate.toml", text)

    def revision(
        self,
        name: str,
        down: str | tuple[str, ...] | None,
        upgrade: str,
        downgrade: str = "pass",
        *,
        message: str = "",
        extra: str = "",
    ) -> Path:
        """A revision script. `upgrade` and `downgrade` are statements of Python, or SQL where they start so."""
        text = REVISION.format(
            id=name,
            down=down,
            message=message or f"revision {name}",
            upgrade=_body(upgrade),
            downgrade=_body(downgrade),
            extra=extra,
        )
        path = self.folder / "migrations" / "versions" / f"{name}.py"
        path.write_text(text)
        return path

    # ------------------------------------------------------------------ running

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        hidden = (
            "CI_",
            "GITHUB_",
            "GITLAB_",
            "DATABASE_URL",
            "ALEMBIC_",
            "COLUMNS",
            "FORCE_COLOR",
            "NO_COLOR",
        )
        clean = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith(hidden)}
        return {**clean, **self.environ, **(env or {})}

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 120,
    ) -> Done:
        """Run `ci-migrate ...` here to its end."""
        environ = self.environment(env)
        if any(name.startswith(READ_AT_START) for name in {**self.environ, **(env or {})}):
            done = subprocess.run(
                [*COMMAND, *arguments],
                cwd=self.folder,
                env=environ,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        else:
            done = forked_command.run(
                arguments, folder=self.folder, environ=environ, stdin=stdin, timeout=timeout
            )
        return Done(done.returncode, done.stdout, done.stderr, self.folder)

    def call(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        """As `run`, in this process: no start of Python, where the process itself is not what is looked at."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        out, err = io.StringIO(), io.StringIO()
        try:
            with (
                patch.dict(os.environ, self.environment(env), clear=True),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                code = run_command(["-C", str(self.folder), *arguments])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Done(code, out.getvalue(), err.getvalue(), self.folder)

    def gate(self, command: str, destination: str | None = None, **flags: Any) -> Report:
        """The report of a command, without a process for it: quicker, and all nouns to look at."""
        settings = load(self.folder, self.environment(), flags)
        return run(settings, GateRequest(VERBS[command], destination=destination))

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start `ci-migrate ...` here, to send it signals."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def interrupted(
        self, *arguments: str, when: Callable[[], bool], number: int = signal.SIGTERM, timeout: float = 60
    ) -> Done:
        """Run, send a signal as soon as `when` says so, wait for the end."""
        child = self.start(*arguments)
        deadline = time.monotonic() + timeout
        while not when():
            assert child.poll() is None, f"ended too early: {child.communicate()}"
            assert time.monotonic() < deadline, "never came to the point where the signal is sent"
            time.sleep(0.02)
        child.send_signal(number)
        out, err = child.communicate(timeout=timeout)
        return Done(child.returncode, out, err, self.folder)

    # ------------------------------------------------------------------ looking

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement on app.db."""
        connection = sqlite3.connect(self.database)
        try:
            with connection:
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    @property
    def heads(self) -> list[str]:
        """The version rows; [] where there is no version table."""
        if not self.database.exists() or not self.sql(
            "select 1 from sqlite_master where name = 'alembic_version'"
        ):
            return []
        return sorted(row[0] for row in self.sql("select version_num from alembic_version"))

    def ledger(self, *, create: bool = False) -> Ledger:
        """The ledger beside the database; to be closed.

        Raises:
            FileNotFoundError: there is none.
        """
        url = self.environ.get("DATABASE_URL") or f"sqlite:///{self.database}"
        ledger = open_ledger(ledger_url(make_url(url), None), create=create)
        if ledger is None:
            raise FileNotFoundError(f"no ledger beside {self.database}")
        return ledger

    def leave_unfinished(self, run_id: str) -> None:
        """As if the run had been killed after its last commit."""
        with self.ledger() as ledger:
            ledger.update_run(
                run_id, phase="migrating", finished=None, exit_code=None, state=None, needs_repair=True
            )

    def put_version_rows(self, *revisions: str, key: str = "primary key") -> None:
        """As somebody does who edits the version table by hand."""
        self.sql("drop table if exists alembic_version")
        self.sql(f"create table alembic_version (version_num varchar(32) {key})")
        for revision in revisions:
            self.sql("insert into alembic_version values (?)", revision)

    def dump(self) -> list[str]:
        """The whole database as SQL, to compare."""
        connection = sqlite3.connect(self.database)
        try:
            return list(connection.iterdump())
        finally:
            connection.close()

    def everything(self) -> bytes:
        """All bytes of all files here, ledger and backups' manifests included."""
        return b"\0".join(p.read_bytes() for p in sorted(self.folder.rglob("*")) if p.is_file())


def _body(text: str) -> str:
    text = textwrap.dedent(text).strip()
    if text.split(" ", 1)[0].lower() in ("create", "insert", "update", "delete", "drop", "alter", "pragma"):
        text = "\n".join(f"op.execute({s.strip()!r})" for s in text.split(";") if s.strip())
    return textwrap.indent(text, "    ")


def new_project(folder: Path, *, env: str = ENV, ini: str = INI, revisions: bool = True) -> AlembicProject:
    """A project with two revisions: `r1` makes the table users, `r2` adds a column."""
    project = AlembicProject(folder)
    (folder / "migrations" / "versions").mkdir(parents=True)
    project.write("alembic.ini", ini)
    project.write("migrations/env.py", env)
    if revisions:
        project.revision(
            "r1", None, "create table users (id integer primary key, name text)", "drop table users"
        )
        project.revision(
            "r2",
            "r1",
            'op.add_column("users", sa.Column("email", sa.Text))',
            'op.drop_column("users", "email")',
        )
    return project
