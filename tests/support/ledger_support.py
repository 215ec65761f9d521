"""Ledgers on each engine, small nouns to put into them, and processes that use them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, make_url, text

from ci_migrate.ledger.connect import MIGRATIONS
from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.model import (
    Direction,
    EntryKind,
    Evidence,
    Fingerprint,
    Identity,
    JournalEntry,
    Plan,
    PlannedContext,
    Revision,
    RunRecord,
    VersionTable,
    WayBack,
)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request, tmp_path) -> URL:
    """A place for a ledger, on each engine: as `state` would name it, since a second database costs a second."""
    if request.param == "sqlite":
        return URL.create("sqlite", database=f"{tmp_path}/state.db")
    if request.param == "mariadb":
        return make_url(request.getfixturevalue("mysql_url"))
    return make_url(request.getfixturevalue("postgresql_url")).set(drivername="postgresql+psycopg")


on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For what no engine decides: a ledger in a file costs milliseconds, one on a server a quarter of a second."""


def run_sql(url: URL, *statements: str) -> None:
    """Run SQL outside of transactions."""
    psycopg = url.set(drivername="postgresql+psycopg")
    engine = create_engine(psycopg, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def start_process(url: URL, code: str, *arguments: str) -> subprocess.Popen:
    """A process of its own that runs `code`, in which `url` is the ledger's and `args` the arguments."""
    preamble = "import os, sys\nfrom sqlalchemy import make_url\nurl = make_url(os.environ['LEDGER'])\nargs = sys.argv[1:]\n"
    environment = {**os.environ, "LEDGER": url.render_as_string(hide_password=False)}
    return subprocess.Popen(
        [sys.executable, "-c", preamble + code, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes: list[subprocess.Popen]) -> list[str]:
    """What each of them printed, once all have ended well."""
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [p.returncode for p in processes] == [0] * len(processes), [error for _, error in outputs]
    return [out for out, _ in outputs]


def make_tables(connection: Connection, revision: str) -> None:
    """The tables of a ledger as they were at a revision of its schema."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@pytest.fixture
def ledger(url) -> Iterator[Ledger]:
    """A fresh ledger."""
    with open_ledger(url, create=True) as ledger:
        yield ledger


@pytest.fixture
def tamper(url):
    """Run SQL in the ledger's database behind its back."""
    engine = create_engine(url)

    def run(sql: str, **values: object) -> list:
        with engine.begin() as connection:
            result = connection.execute(text(sql), values)
            return list(result) if result.returns_rows else []

    yield run
    engine.dispose()


@pytest.fixture
def plan() -> Plan:
    return a_plan()


def a_plan(**changes: object) -> Plan:
    """A plan from 1111 to 2222 on the target `production`."""
    fields: dict = {
        "target": "production",
        "identity": Identity(dialect="sqlite", place="/srv/app.db", facts={"file": "/srv/app.db"}),
        "direction": Direction.UPGRADE,
        "destination": "head",
        "contexts": (
            PlannedContext(
                version_table=VersionTable(), from_heads=("1111",), to_heads=("2222",), revisions=("2222",)
            ),
        ),
        "revisions": (Revision(id="2222", file="versions/2222_b.py", sha256="b" * 64, message="b"),),
        "env_sha256": "e" * 64,
        "script_heads": ("2222",),
    }
    return Plan(**{**fields, **changes})


def a_run(run_id: str = "run-1", **changes: object) -> RunRecord:
    fields: dict = {
        "run_id": run_id,
        "target": "production",
        "command": "ci-migrate run",
        "started": datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC),
        "pid": 42,
        "host": "runner",
        "actor": "ana",
    }
    return RunRecord(**{**fields, **changes})


def some_evidence(**changes: object) -> Evidence:
    fields: dict = {
        "proven": True,
        "before": Fingerprint(objects={"table users": "aa"}),
        "after": Fingerprint(objects={"table users": "bb"}),
        "way_back": WayBack(tried=True, ran=True, same_schema=True, lossless=True),
    }
    return Evidence(**{**fields, **changes})


def an_entry(position: int = 1, kind: str = "statement", **changes: object) -> JournalEntry:
    return JournalEntry(
        kind=EntryKind(kind),
        position=position,
        context=0,
        at=datetime(2026, 3, 4, 5, 6, 7, position % 1_000_000, tzinfo=UTC),
        **changes,
    )


def runs_of(ledger):
    """The last runs of the database that a ledger belongs to, newest first."""
    return ledger.history(ledger.database_id(None))
