"""What the tests of databases start from: two empty databases, sample tables with rows, and another process."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import date, datetime
from fnmatch import fnmatchcase
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from sqlalchemy import (
    URL,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from ci_migrate.databases.base import Database, DatabaseFactory, Dumped, SessionOptions, session
from ci_migrate.model import Schema, VersionTable, schema_changes

SECRET = "c@n:a/r%y"  # noqa: S105 - nobody's
"""A password, and a value in a row: it may stand in no message and no repr."""

VERSION_TABLES = (VersionTable(),)

BIG = Random(7).randbytes(2_000_000)  # noqa: S311 - no secret
"""A value that no compression makes small, so that the largest file of a dump is the one with the rows."""

SAMPLES = MetaData()
TEAM = Table(
    "team",
    SAMPLES,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), unique=True),
)
ITEM = Table(
    "item",
    SAMPLES,
    Column("id", Integer, primary_key=True),
    Column("label", String(200), nullable=False, server_default="none"),
    Column("price", Integer),
    Column("weight", Float(53)),
    Column("made", Date),
    Column("seen", DateTime),
    Column("note", Text),
    Column("data", LargeBinary(len(BIG))),
    Column("team_id", ForeignKey("team.id")),
    CheckConstraint("price >= 0", name="ck_price"),
    Index("ix_label", "label"),
)
VERSIONS = Table("alembic_version", SAMPLES, Column("version_num", String(32), primary_key=True))

NOTES = (
    "",
    " ",
    "NULL",
    "\\N",
    "\\",
    'it\'s "quoted" `thrice`; -- no comment /* nor */ this',
    "one\ntwo\r\nthree\ttabs",
    "100 % %s %(x)s {x} $1 :x ?",
    "\N{ELEPHANT} é \N{ZERO WIDTH JOINER} \u0645\u0631\u062d\u0628\u0627",
    "x" * 20_000,
    None,
)
"""Texts that copies get wrong."""

NUMBERS = (0.1, -123456789.123456789, 1e-300, 1e300, 0.0, None)


def _items() -> Iterator[dict[str, Any]]:
    for number, note in enumerate(NOTES):
        yield {
            "id": number + 1,
            "label": f"item {number}",
            "price": None if number % 3 == 0 else number,
            "weight": NUMBERS[number % len(NUMBERS)],
            "made": [date(1000, 1, 1), date(9999, 12, 31), date(2024, 2, 29), None][number % 4],
            "seen": datetime(2026, 1, 31, 23, 59, number) if number % 2 else None,  # noqa: DTZ001 - a column without zone
            "note": note,
            "data": [BIG if number == 0 else bytes(range(256)), b"", b"\x00", None][number % 4],
            "team_id": 1 if number % 2 else None,
        }


ITEMS = tuple(_items())


def execute(database: Database, *statements: str) -> None:
    """Send statements as they are, each in a transaction of its own."""
    with session(database) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            connection.commit()


def query(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with session(database, read_only=True) as connection:
        found = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        return [tuple(row) for row in found]


def quoted(database: Database, name: str) -> str:
    """A name as the engine's SQL wants it."""
    preparer = database.engine().dialect.identifier_preparer
    inner = name.replace(preparer.escape_quote, preparer.escape_to_quote)
    return f"{preparer.initial_quote}{inner}{preparer.final_quote}"


def fill(database: Database) -> None:
    """Make the sample tables with their rows."""
    with session(database) as connection:
        SAMPLES.create_all(connection)
        connection.execute(TEAM.insert(), [{"id": 1, "name": "red"}, {"id": 2, "name": None}])
        connection.execute(ITEM.insert(), list(ITEMS))
        connection.execute(VERSIONS.insert(), [{"version_num": "3f2a"}])
        connection.commit()


def changed(before: Schema, after: Schema) -> set[str]:
    """The names of the objects that differ."""
    return {change.name for change in schema_changes(before, after)}


def matches(names: AbstractSet[str], patterns: AbstractSet[str]) -> bool:
    """Whether each name fits a pattern (or is one), and each pattern a name."""

    def fits(name: str, pattern: str) -> bool:
        return name == pattern or fnmatchcase(name, pattern)

    return all(any(fits(n, p) for p in patterns) for n in names) and all(
        any(fits(n, p) for n in names) for p in patterns
    )


# ------------------------------------------------------------------ another process


def holds_the_lock(factory: DatabaseFactory, url: URL, run_id: str, _folder: Path, told: Connection) -> None:
    """In a child: hold the run lock for as long as it lives."""
    with factory.make(url, SessionOptions()).lock(run_id, 10):
        told.send("ready")
        time.sleep(120)


def holds_a_scratch_copy(
    factory: DatabaseFactory, url: URL, run_id: str, folder: Path, told: Connection
) -> None:
    """In a child: hold a scratch copy with a table in it, and a session on that, for as long as it lives."""
    with factory.make(url, SessionOptions()).scratch(run_id, folder) as copy:
        execute(copy, "CREATE TABLE left_behind (id INTEGER)")
        with session(copy) as connection:
            connection.exec_driver_sql("SELECT 1")
            told.send("ready")
            time.sleep(120)


def works(factory: DatabaseFactory, url: URL, name: str, statement: str, told: Connection) -> None:
    """In a child: run a statement in a session of this name, in a transaction that stays open."""
    with session(factory.make(url, SessionOptions(application_name=name))) as connection:
        told.send("ready")
        connection.exec_driver_sql(statement)
        time.sleep(120)


Job = Callable[[DatabaseFactory, URL, str, Any, Connection], None]


@contextmanager
def another_process(
    job: Job, factory: DatabaseFactory, url: URL, name: str, argument: Any
) -> Iterator[BaseProcess]:
    """Run one of the above in a process of its own, and kill it at the end."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=job, args=(factory, url, name, argument, theirs))
    child.start()
    try:
        assert ours.poll(60), "the other process does not begin"
        assert ours.recv() == "ready"
        yield child
    finally:
        child.kill()
        child.join()


def eventually(look: Callable[[], Any], seconds: float = 10) -> Any:
    """What `look` gives as soon as it is true, or at last: a server takes a moment to see that a client is gone."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


# ------------------------------------------------------------------ what an author gives


class DatabaseUnderTest:
    """What an author of a database overrides: `factory`, `url`, `other_url`, `unreachable_url`, `lose_lock`.

    The rest has defaults that fit an engine with a server and standard SQL.
    """

    factory: ClassVar[DatabaseFactory]
    """The one that the plugin returns from `ci_migrate_databases`; other processes import its `make`."""

    kinds: ClassVar[AbstractSet[str]] = frozenset({"table", "column", "index"})
    """The kinds of objects that `prepare` makes: the words that names in a schema begin with."""

    changes: ClassVar[Mapping[str, AbstractSet[str]]] = {
        "ALTER TABLE item ADD COLUMN more INTEGER": {"column *item.more"},
        "ALTER TABLE item RENAME COLUMN weight TO mass": {"column *item.weight", "column *item.mass"},
        "ALTER TABLE item DROP COLUMN made": {"column *item.made"},
        "CREATE INDEX ix_seen ON item (seen)": {"index *ix_seen"},
        "CREATE UNIQUE INDEX ux_seen ON item (seen, id)": {"index *ux_seen"},
        "CREATE VIEW shown AS SELECT id, label FROM item": {"view *shown", "*shown"},
        "DROP VIEW shown": {"view *shown", "*shown"},
        "CREATE TABLE added (id INTEGER NOT NULL PRIMARY KEY)": {
            "table *added",
            "column *added.id",
            "*added*",
        },
        "DROP TABLE added": {"table *added", "column *added.id", "*added*"},
        "INSERT INTO team (id, name) VALUES (3, 'blue')": set(),
        "DELETE FROM item": set(),
    }
    """Statements, and the objects that each changes in what `prepare` made: names, or patterns with `*`.

    They run one after the other. Give those of the engine's own kinds of objects besides.
    """

    names: ClassVar[Sequence[str]] = (
        'a"b', "a'b", "a`b", "a]b", "a b", "a.b", "a\nb", "a;b--", "a\\b", "%s", "%(x)s", "select", "Case", "é" * 31,
        "\N{ELEPHANT}",
    )  # fmt: skip
    """Names of tables that are hard, and allowed."""

    slow_statement: ClassVar[str | None] = None
    """A statement that takes a minute, such as `SELECT pg_sleep(60)`; None where sessions can't be seen.

    `NAME` in it becomes the name of the session, for engines that know it from the statement alone.
    """

    @pytest.fixture
    def url(self) -> URL:
        """An empty database of this test's own, with a password in its URL where it has one; drop it afterwards."""
        raise NotImplementedError

    @pytest.fixture
    def other_url(self) -> URL:
        """A second one, on the same server."""
        raise NotImplementedError

    @pytest.fixture
    def unreachable_url(self) -> URL:
        """A URL with the password `SECRET` that leads nowhere."""
        raise NotImplementedError

    def prepare(self, database: Database) -> None:
        """Make objects of each kind, with rows."""
        fill(database)

    def lose_lock(self, database: Database, run_id: str) -> None:
        """Let the run lock be lost that this process holds: end its session, or remove its file."""
        raise NotImplementedError

    def replaced(self, database: Database, words: str) -> Database | None:
        """The replaced database, of which `replace` told in these words; None where it was not kept."""
        raise NotImplementedError

    def open(self, url: URL) -> Database:
        """A database, as another process would open it."""
        return self.factory.make(url, SessionOptions())

    @pytest.fixture
    def database(self, url: URL) -> Database:
        """The database under test."""
        return self.open(url)

    @pytest.fixture
    def other(self, other_url: URL) -> Database:
        """The second one."""
        return self.open(other_url)

    @pytest.fixture
    def payload(self, tmp_path: Path) -> Path:
        """An empty folder for a dump."""
        folder = tmp_path / "payload"
        folder.mkdir()
        return folder

    @pytest.fixture
    def dumped(self, database: Database, payload: Path) -> Dumped:
        """The dump of the filled database, which lies in `payload`."""
        self.prepare(database)
        return database.dump(payload, VERSION_TABLES)
