"""The contract of a database: what the gate asks of SQLite, PostgreSQL, MySQL/MariaDB or a plugin's engine.

A `Database` is one database behind one URL: the target, or a scratch copy of it. It opens sessions of its own
for each call (through `engine()`), so that it can be used before, while and after a child process migrates.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec
from sqlalchemy import URL, Engine

from ci_migrate.errors import RefusedError, UsageError
from ci_migrate.model import Frozen, Identity, RowCount, Sample, Schema, TableContent, VersionTable

Progress = Callable[[int, int], None]
"""Called with (done, total) in bytes or tables; total 0 where it is not known."""


def no_progress(_done: int, _total: int) -> None:
    """A Progress that shows nothing."""


class Capabilities(Frozen, frozen=True, kw_only=True):
    """What an engine can do. The gate asks these, never for an engine's name."""

    transactional_ddl: bool  # a revision that fails leaves nothing behind
    lock_is_file: bool  # the child process inherits the run lock's descriptor
    scratch_on_server: bool  # a scratch copy lives on the target's server (else in a local folder)
    remote: bool  # a host is involved: only loopback and sockets run without settings
    tables: bool = False  # it is a `TakesTables`: single tables can be backed up and restored
    dump_copies: bool = False  # a dump writes the whole database beside what it is compressed to
    stable_definitions: bool = False  # a restored copy has the same definitions, to the letter


@dataclass(frozen=True)
class Wall:
    """How the child process recognises a database and connects to another one in its place.

    Sent to the worker as JSON by a pipe, never by argv. `match` is what identifies the database in the arguments
    of a driver's connect; `connect` is what replaces those; both hold only the keys that the dialect knows:
    SQLite `file`; PostgreSQL `host`, `port`, `database`, `user`, `password`.
    """

    dialect: str
    match: Mapping[str, str] = field(repr=False)
    connect: Mapping[str, str] = field(repr=False)
    identity: Mapping[str, str] = field(default_factory=dict)
    """What a session on it answers, now: SQLite `file`, `inode`; PostgreSQL `database`, `oid`, `system_identifier`,
    `started`; MySQL `database`, `server`, `started`, and `marks`, the names of locks that its sessions take so that
    others see them."""


@runtime_checkable
class TellsItsPlace(Protocol):
    """What a Database may do besides: say how a connection to it is recognised, without a session."""

    def match(self) -> Mapping[str, str]:
        """As `Wall.match`."""


class Lock(Protocol):
    """The run lock: held by a session (or file descriptor) of its own."""

    @property
    def fd(self) -> int | None:
        """The file descriptor that a child inherits, where the lock is a file."""

    def check(self) -> None:
        """Keep it alive. Raises LockedError if it was lost."""


class Dumped(Frozen, frozen=True, kw_only=True):
    """What `dump` tells about what it wrote; schema and counts are of the very moment that the dump shows.

    So are `contents` and `samples`, computed by the server; `not_digested` are tables, and what else holds data, that
    are in neither, and why. `sequences` are those that nobody took a value of meanwhile; see `KnowsSequences`.
    """

    schema: Schema
    row_counts: dict[str, RowCount]
    contents: dict[str, TableContent] = msgspec.field(default_factory=dict)
    samples: dict[str, Sample] = msgspec.field(default_factory=dict)
    sequences: dict[str, str] = msgspec.field(default_factory=dict)
    not_digested: dict[str, str] = msgspec.field(default_factory=dict)
    engine_version: str
    tool_version: str
    how_to_restore: str
    heads: tuple[tuple[str, ...], ...] = ()
    provider_id: str | None = None  # what a provider's command called it; then it keeps the data
    secrets: tuple[str, ...] = ()  # what in the dump is one, in words: "2 user mappings"
    exceptions: tuple[tuple[str, str], ...] = ()  # objects that a restore rightly makes otherwise, and why
    unpacked: int = 0  # bytes of rows that were written; 0 where the engine's own figure of its size is exact


@runtime_checkable
class Database(Protocol):
    """One database of one engine. Implementations prove themselves with `ci_migrate.testing`."""

    dialect: str
    capabilities: Capabilities
    url: URL

    def engine(self, *, read_only: bool = False) -> Engine:
        """An engine for sessions of our own: NullPool, sync driver, timeouts set as connection options.

        Raises nothing by itself; connecting may raise SQLAlchemy's errors.
        """

    def ping(self) -> None:
        """Raise DatabaseError (with the host's name and the next step, never the password) if it is of no use.

        It can't be reached, is read-only (a replica), or is behind a pooler in transaction mode. A SQLite file that
        does not exist is an empty database.
        """

    def identity(self) -> Identity:
        """Which database this is."""

    def heads(self, tables: Sequence[VersionTable]) -> tuple[tuple[str, ...], ...]:
        """The rows of each version table, sorted; () where the table does not exist. Read-only."""

    def schema(self) -> Schema:
        """All objects with their canonical definition, read from the catalog; see `model.Schema`.

        Without: Alembic's version tables' rows, column positions, sequence values, the database's own name,
        whatever the engine or an extension owns, and ci-migrate's own objects.
        """

    def counts(self, tables: Iterable[str] | None = None, *, exact: bool = False) -> dict[str, RowCount]:
        """Rows per table (all tables if None); estimates are allowed for big tables unless `exact`."""

    def contents(self, tables: Iterable[str]) -> dict[str, TableContent]:
        """Rows, values per column and order-free digests of these tables; missing tables are left out.

        Where several are read at a time, the first ones are begun first.
        """

    def size(self) -> int:
        """Bytes on disk, as the engine tells; 0 for a database that does not exist."""

    def lock(self, run_id: str, timeout: float) -> AbstractContextManager[Lock]:
        """The run lock, by try-and-poll for at most `timeout` seconds. Raises LockedError naming the holder."""

    def sessions_of(self, application_prefix: str) -> list[str]:
        """Live sessions whose name starts so, as words for people (pid, start, query); [] where there are none."""

    def blockers(self) -> list[str]:
        """Other people's sessions inside a transaction, as words as above; [] where the engine can't tell.

        They are who may hold the locks that we wait for.
        """

    def commit_outcome(self, transaction: str) -> bool | None:
        """Whether a transaction was committed, by the id that the engine gave it; None where it can't tell."""

    def wall(self) -> Wall:
        """How the worker recognises this database and connects to it."""

    def dump(
        self, into: Path, version_tables: Sequence[VersionTable], progress: Progress = no_progress
    ) -> Dumped:
        """Write a consistent copy as files into the empty folder `into`.

        Raises BackupError, ToolError or DatabaseError; then what it wrote is worthless and the caller removes it.
        """

    def load(self, payload: Path, progress: Progress = no_progress, *, most: int | None = None) -> None:
        """Restore a dump into this database, which must be empty.

        `most` are the bytes that it may unpack to; None for a dump that was just written.

        Raises BackupError (also where it unpacks to more, once that many were unpacked) or ToolError.
        """

    def scratch(self, run_id: str, folder: Path) -> AbstractContextManager["Database"]:
        """An empty scratch copy named `ci_migrate_scratch_<run id>`, dropped when the block is left.

        `folder` is for engines whose databases are files. Raises DatabaseError naming the missing right and the GRANT.
        """

    def sweep(self, keep: Iterable[str] = ()) -> list[str]:
        """Drop scratch copies that killed runs left behind; returns their names.

        Those whose run id is in `keep`, and those that somebody uses, stay.
        """

    def replace(
        self, payload: Path, check: Callable[["Database"], None], label: str, *, most: int | None = None
    ) -> str:
        """Put a dump in the place of this live database.

        It is restored beside, `check` is called on the restored copy (and raises to stop), then it takes the
        database's place; the replaced one is kept under another name where the engine can. Returns words that say
        where the replaced database is. The original is untouched until the moment of the swap. `most` is as for `load`.
        """

    def explain(self, error: BaseException) -> str:
        """A driver's error as one line without secrets, bound values and the server's DETAIL."""


Unless = Callable[[Mapping[str, TableContent]], str]
"""Given what tables hold; returns why it must stay so, "" where it may go."""


def refuse_if(unless: Unless | None, contents: Callable[[], Mapping[str, TableContent]]) -> None:
    """Raise RefusedError where somebody objects to what tables hold; they are read only if there is somebody."""
    words = unless(contents()) if unless is not None else ""
    if words:
        raise RefusedError(f"Nothing was changed: {words}.")


@runtime_checkable
class TakesTables(Protocol):
    """What a Database does besides, if its capabilities say `tables`. Names are those of `counts`."""

    def dump_tables(
        self,
        into: Path,
        version_tables: Sequence[VersionTable],
        tables: Sequence[str],
        progress: Progress = no_progress,
    ) -> Dumped:
        """As `dump`, with the whole schema but the rows of these tables (and the version tables) alone; () for none."""

    def take_tables(self, source: Database, tables: Sequence[str], unless: Unless | None = None) -> None:
        """Put the rows that tables have in a scratch copy in the place of those here, in one transaction.

        `unless` is asked within it, once nobody else can write to these tables, with what they hold; words refuse.

        Raises RefusedError where a foreign key would be broken, or DatabaseError; then nothing is changed.
        """


@runtime_checkable
class KnowsRoom(Protocol):
    """What a Database may do besides: tell how much room there is for a scratch copy."""

    def scratch_room(self, folder: Path) -> tuple[str, int] | None:
        """The place where scratch copies are kept, and the bytes that are free there; None where it can't tell.

        `folder` is the one that `scratch` would get.
        """


@runtime_checkable
class KnowsLacks(Protocol):
    """What a Database may do besides: say what `load` could not make as it was."""

    def why_different(self, name: str) -> str:
        """Why an object of `schema()` is rightly missing, new or another one since `load`; "" where it is not."""


@runtime_checkable
class MakesCopiesOf(Protocol):
    """What a Database may do besides, where its server keeps the scratch copies of another one's."""

    def make_copies_of(self, target: Database) -> None:
        """From now on scratch copies are used as the role that migrates the target, if there is another one."""


class SequenceUse(NamedTuple):
    """The column that a sequence's numbers go to ("" for none that is known), and the furthest one that it holds."""

    column: str
    furthest: int | None
    following: int  # what comes next
    increment: int

    @property
    def taken(self) -> bool:
        """Whether the column holds what comes next, or a number behind that."""
        return self.furthest is not None and (self.furthest - self.following) * self.increment >= 0


@runtime_checkable
class KnowsSequences(Protocol):
    """What a Database may do besides: say how far its sequences are."""

    def sequences(self) -> dict[str, str]:
        """From sequence to how far it is, in words; without those that this session may not read."""

    def sequence_uses(self, names: Collection[str]) -> dict[str, SequenceUse]:
        """From sequence, of these, to what becomes of its numbers."""


@runtime_checkable
class KnowsLargeObjects(Protocol):
    """What a Database may do besides: hold large objects."""

    def large_objects(self) -> int:
        """How many there are."""


@runtime_checkable
class KeepsReplaced(Protocol):
    """What a Database may do besides: drop what its `replace` kept under another name."""

    def replaced(self) -> list[str]:
        """The names of what restores of this database kept, the oldest first."""

    def drop_replaced(self, name: str) -> None:
        """Drop one of them. Raises DatabaseError, also where somebody uses it."""


@runtime_checkable
class SettlesReplace(Protocol):
    """What a Database may do besides: bring a `replace` whose process was killed to one end or the other."""

    def settle_replace(self, label: str) -> bool | None:
        """Finish or take back what the `replace` with this label began, if it was killed in its swap.

        Returns whether the dump has taken the database's place; None where that is so for some of several databases
        alone. Raises DatabaseError or DirtyError; then the next call tries again.
        """


@runtime_checkable
class KnowsRights(Protocol):
    """What a Database may do besides: tell before anything starts that its role can't have a scratch copy."""

    def refuse_scratch(self) -> None:
        """Raise DatabaseError naming the missing right and the statement that gives it."""


@runtime_checkable
class UndoesAdditions(Protocol):
    """What a Database may do besides: drop what a migration that stopped half-way has made, and nothing else."""

    def undo_statements(self, added: Sequence[Collection[str]]) -> list[str]:
        """The statements that drop these objects of `schema()`, in their order; nothing is run.

        Objects that came at a time stand together, the newest first. What goes with another object that is dropped
        (the columns of a table) needs no statement of its own. No statement names the database.

        Raises RefusedError naming an object that can't be dropped alone.
        """

    def undo(
        self, statements: Sequence[str], before: Callable[[str], None], check: Callable[[Schema], None]
    ) -> None:
        """Run them: in one transaction where DDL can be rolled back, else one by one.

        `before` is called ahead of each. `check` gets the schema that they led to and raises to stop: where there is
        a transaction, before it is committed.

        Raises DatabaseError naming the statement that failed.
        """

    def beyond_default(self, table: str, column: str) -> int:
        """Rows that hold something else in a column than its default (NULL where it has none); 0 if it is computed.

        Names are those of `contents`. Raises DatabaseError where the default can't be evaluated.
        """


@runtime_checkable
class Guards(Protocol):
    """What a Database may do besides: refuse DDL by whoever is not a run of ours that holds the run lock."""

    def guard(self, roles: Sequence[str]) -> None:
        """Put the guard up; DDL of these roles stays allowed. Raises DatabaseError where this role may not."""

    def lift_guard(self) -> None:
        """Take it away; fine where there is none. Raises DatabaseError where this role may not."""

    def guarded(self) -> bool:
        """Whether it is up and at work."""


@runtime_checkable
class KeepsMark(Protocol):
    """What a Database may do besides: keep a short text of ours in itself, which says that it is protected.

    `schema`, `dump` and scratch copies are without it; `replace` carries it over.
    """

    def read_mark(self) -> str:
        """The text; "" where there is none."""

    def write_mark(self, text: str) -> None:
        """Put it there, in the place of an earlier one; "" takes it away.

        Raises DatabaseError where this role may not; its hint is the statement that somebody else can run.
        """


@runtime_checkable
class KnowsReplicas(Protocol):
    """What a Database may do besides: tell whether it is a replica of another one, which is the same database."""

    def replicates(self, primary: Database) -> bool:
        """Whether the server says that this is a replica of that one; False where it can't be told.

        Raises RefusedError for one that is stopped, far behind or not whole, or where this account may not ask.
        """


@runtime_checkable
class KnowsTools(Protocol):
    """What a Database may do besides: say which client programs it would use."""

    def client_programs(self) -> str:
        """The programs for this server, in words. Raises ToolError where one is missing or too old."""


@runtime_checkable
class LimitsStatements(Protocol):
    """What a Database may do besides: end a statement of a session of ours that takes too long."""

    def limit_statements(self, connection: Any, seconds: float) -> None:
        """From now on each statement of this SQLAlchemy connection fails after so many seconds."""


Watch = Callable[[str, int], AbstractContextManager[Progress]]
"""Shows that something long is going on: what, and how many bytes it will be about (0: not known)."""


def unwatched(_what: str, _total: int) -> AbstractContextManager[Progress]:
    """A Watch that shows nothing."""
    return nullcontext(no_progress)


def takes_tables(database: Database) -> TakesTables:
    """The database, as one whose tables can be backed up and restored one by one.

    Raises:
        RefusedError: the engine can't.
    """
    if not (database.capabilities.tables and isinstance(database, TakesTables)):
        raise RefusedError(
            f"Single tables of {database.dialect} can't be backed up or restored.",
            hint="Leave --table out: the whole database can.",
        )
    return database


def undoes_additions(database: Database) -> UndoesAdditions:
    """The database, as one in which what a migration added can be dropped again. Raises RefusedError: it can't."""
    if not isinstance(database, UndoesAdditions):
        raise RefusedError(f"Additions to {database.dialect} can't be taken back one by one.")
    return database


def named_tables(database: Database, wanted: Iterable[str]) -> list[str]:
    """The tables that somebody named, as `counts` calls them; the schema may be left out where one has the name.

    Raises:
        UsageError: there is no such table, or several.
    """
    known = list(database.counts())
    found = []
    for name in dict.fromkeys(wanted):
        fitting = [t for t in known if t == name] or [t for t in known if t.endswith(f".{name}")]
        if len(fitting) != 1:
            many = f"there are several: {', '.join(fitting[:5])}" if fitting else "there is none of this name"
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            raise UsageError(
                f"--table {name}: {many}.", hint=f"Near to it: {', '.join(near)}." if near else ""
            )
        found += fitting
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class SessionOptions:
    """How our own sessions are opened. Times in seconds."""

    application_name: str = "ci-migrate"
    lock_timeout: float = 5.0
    statement_timeout: float | None = None
    client_tools: str | None = None
    jobs: int | None = None  # tables that are dumped and restored at a time; None leaves it to the engine
    compare_budget: float | None = None  # that digests may take after a dump; None: see `digests.seconds_for`


@dataclass(frozen=True)
class DatabaseFactory:
    """Makes the Database for a URL of one of these SQLAlchemy backends."""

    backends: tuple[str, ...]
    make: Callable[[URL, SessionOptions], Database]


@contextmanager
def session(database: Database, *, read_only: bool = False) -> Iterator[Any]:
    """A SQLAlchemy connection to the database, closed with its engine."""
    engine = database.engine(read_only=read_only)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
