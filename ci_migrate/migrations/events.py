"""The typed events that the child sends: a mirror of each `send` and `ask` in `worker/`, held together by a test.

`requests.py` is its counterpart: what the child is asked to do.
"""

from collections.abc import Sequence

import msgspec


class WireEvent(msgspec.Struct, frozen=True, tag_field="event"):
    """Base of all events. The tag is the `event` field of the JSON line; field names are exactly as sent."""


class Hello(WireEvent, frozen=True, tag="hello"):
    """The child has started and imported Alembic."""

    pid: int
    python: str
    executable: str
    alembic: str
    sqlalchemy: str


class Wanted(WireEvent, frozen=True, tag="wanted"):
    """Where env.py wants to connect, when asked for its URL. `parts` may hold a password."""

    dialect: str
    driver: str
    parts: dict[str, str]


class RefusedConnection(WireEvent, frozen=True, tag="refused"):
    """The wall refused something: a connection, an ATTACH, a statement that leaves the scratch copy."""

    words: str


class LeftOut(WireEvent, frozen=True, tag="left-out"):
    """A statement that reaches beyond the scratch copy, as somebody means it: it was not sent in this dry run."""

    revision: str | None
    file: str | None
    line: int | None
    sql: str


class WriteAtLoad(WireEvent, frozen=True, tag="write-at-load"):
    """env.py tried to write while only the heads were read; it was not sent."""

    sql: str


class Session(WireEvent, frozen=True, tag="session"):
    """A session was opened; `pid` is the server's process."""

    pid: int
    database: str


class GraphRevision(msgspec.Struct, frozen=True):
    """One revision script as Alembic sees it.

    `own_labels` are the branch labels that it gives itself. `replaces`: the revisions that were squashed into it,
    itself included.
    """

    id: str
    file: str
    message: str
    down_revisions: tuple[str, ...]
    depends_on: tuple[str, ...]
    branch_labels: tuple[str, ...]
    has_downgrade: bool
    allow: dict[str, str]
    replaces: tuple[str, ...] = ()
    own_labels: tuple[str, ...] = ()


class Graph(WireEvent, frozen=True, tag="graph"):
    """The revision graph, newest first."""

    revisions: tuple[GraphRevision, ...]
    heads: tuple[str, ...]
    env_file: str


class Table(msgspec.Struct, frozen=True):
    """A version table as env.py configured it."""

    name: str
    schema: str | None
    database: str
    search_path: str | None


class Context(WireEvent, frozen=True, tag="context"):
    """env.py configured a version table; `revisions` is what is pending (inspect) or about to run.

    `models`: env.py gave its `target_metadata`.

    When a stamp is inspected: `to_heads` are the rows that it would leave, `purged` those that it would leave if all
    rows were taken away first. `error` is what Alembic says where it can't tell.
    """

    key: str
    number: int
    table: Table
    heads: tuple[str, ...]
    revisions: tuple[str, ...]
    to_heads: tuple[str, ...] = ()
    purged: tuple[str, ...] = ()
    error: str = ""
    models: bool = False


class Models(WireEvent, frozen=True, tag="models"):
    """What differs between env.py's models (`target_metadata`) and the database, in words.

    `error`: why nobody knows.
    """

    context: int
    differences: tuple[str, ...]
    error: str = ""


class ModelColumn(msgspec.Struct, frozen=True):
    """A column of a release's models: its type in the dialect's words, and what becomes of one that nobody sets.

    `values` are those of an Enum. `default`: the release itself puts something in. `server_default`: it leaves the
    column to the database, a number that counts up too. `generated`: it never writes it.
    """

    name: str
    type: str
    values: tuple[str, ...]
    nullable: bool
    default: bool
    server_default: bool
    generated: bool


class ModelTable(msgspec.Struct, frozen=True):
    """A table of a release's models. Constraints are there by their columns, sorted; checks by their names."""

    schema: str | None
    name: str
    columns: tuple[ModelColumn, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[tuple[str, ...], ...] = ()
    checks: tuple[str, ...] = ()


class ReleaseModels(WireEvent, frozen=True, tag="release-models"):
    """The models of another release, for one of the request's databases.

    `search_path` is the schema that its unqualified names mean (PostgreSQL); `error` says why there are none.
    """

    database: str
    search_path: str | None
    tables: tuple[ModelTable, ...]
    error: str = ""


class RevisionStarted(WireEvent, frozen=True, tag="revision"):
    """upgrade() or downgrade() of a revision is about to be called."""

    context: int
    revision: str | None
    file: str | None


class StatementStarted(WireEvent, frozen=True, tag="statement"):
    """A statement that may change the database is about to be sent. The child waits for the parent's word.

    `form` is a digest of it without its values. `exact` is one of its text and values, where both stand in the file
    that sends it; "" where they don't. `backfill` is the name of the batched backfill that sends it, "" for none.
    """

    position: int
    context: int
    revision: str | None
    file: str | None
    line: int | None
    sql: str
    digest: str
    form: str
    exact: str = ""
    backfill: str = ""


class StatementDone(WireEvent, frozen=True, tag="done"):
    """It ran, and ended `at` (seconds, as in `Committed`).

    `probed` is what the session answered to the request's `probe` for the first time in this transaction; None where
    it was not asked.
    """

    position: int
    seconds: float
    rows: int | None
    at: float = 0.0
    probed: tuple[tuple[str, ...], ...] | None = None


class StatementFailed(WireEvent, frozen=True, tag="statement-failed"):
    """It failed. env.py or the revision may still swallow the error."""

    position: int
    seconds: float
    error: str
    sqlstate: str | None


class LockTimedOut(WireEvent, frozen=True, tag="lock-timeout"):
    """A statement did not get its locks, and did nothing. The child waits, and sends it once more by itself.

    `attempt` counts from 1; `seconds` is how long this one took.
    """

    position: int
    attempt: int
    seconds: float
    error: str


class InvalidIndexDropped(WireEvent, frozen=True, tag="invalid-index"):
    """PostgreSQL: an INVALID index that a failed build had left was dropped; `earlier`: that of an earlier run."""

    name: str
    earlier: bool


class PragmaInTransaction(WireEvent, frozen=True, tag="pragma-in-transaction"):
    """SQLite: PRAGMA foreign_keys inside a transaction, which does nothing.

    `first`: the revision sent nothing before it, so that somebody else began the transaction.
    """

    revision: str | None
    sql: str
    first: bool
    file: str | None
    line: int | None


class AsksByName(WireEvent, frozen=True, tag="asks-by-name"):
    """A query of the catalog for the database by its own name, `name`: the copy has another one."""

    revision: str | None
    name: str
    file: str
    line: int | None


class Committing(WireEvent, frozen=True, tag="committing"):
    """About to commit; the child waits. `xid` is PostgreSQL's transaction id, with `NAME/` of one of `databases`.

    `changed` is what the session answered to the request's `commit_probe`; None where it was not asked.
    """

    statements: int
    revision: str | None
    xid: str | None = None
    changed: tuple[tuple[str, ...], ...] | None = None
    backfill: str = ""


class Committed(WireEvent, frozen=True, tag="committed"):
    """Committed; the child waits. `complete` is False in the middle of a revision.

    `context` and `revision` are the last ones of the session that committed; `contexts` all version tables that env.py
    configured on it, `database` which of the request's it is on. `at` is by a clock of the child's that stands still
    while it measures.
    """

    statements: int
    context: int
    revision: str | None
    complete: bool
    contexts: tuple[int, ...] = ()
    database: str = ""
    at: float = 0.0
    backfill: str = ""


class BackfillProgress(WireEvent, frozen=True, tag="backfill"):
    """How far a batched backfill is: see `ci_migrate.backfill.Progress`."""

    context: int
    revision: str | None
    name: str
    table: str
    rows: int
    changed: int
    batches: int
    seconds: float
    total: int | None = None


class RolledBack(WireEvent, frozen=True, tag="rolled-back"):
    """A transaction that had written was rolled back; `contexts` and `database` as in `Committed`."""

    revision: str | None
    statements: int
    contexts: tuple[int, ...] = ()
    database: str = ""
    at: float = 0.0


class Stamped(WireEvent, frozen=True, tag="stamped"):
    """The version table was updated (not committed yet)."""

    context: int
    revision: str | None
    heads: tuple[str, ...]


class InputsSeen(WireEvent, frozen=True, tag="inputs"):
    """The child comes to its end: what it executed and read, by name, with each file's sha256.

    `made` is what it made itself, as it was at the end; `distributions` are what is installed, with versions.
    """

    files: dict[str, str]
    made: dict[str, str]
    distributions: dict[str, str]


class Finished(WireEvent, frozen=True, tag="finished"):
    """env.py came to its end; `exited` says that it called sys.exit(0), `stays` that the child now forks others."""

    exited: bool
    stays: bool = False


LOCK_TIMEOUT_STATES = {"55P03", "40P01", "1205", "1213", "SQLITE_BUSY", "SQLITE_LOCKED"}
"""What a lock timeout or a deadlock is called in `Failed.sqlstate`: PostgreSQL, MySQL/MariaDB, SQLite. Only these are
tried again."""


class Failed(WireEvent, frozen=True, tag="failed"):
    """env.py ended with an exception.

    `kind`: error, script (a revision script can't be loaded), command (Alembic's own words), configure
    (the setting names what can't be imported), refused, input (a file that may not be executed or read: the message
    names it), program (one was to be started where `programs` says no), exit, stopped.
    `sql` is the statement that failed, without bound values; "" where it was none. `context` is the version table.
    `waits_for_itself`: another session of the child has the lock that it waited for.
    """

    kind: str
    message: str
    sqlstate: str | None = None
    file: str | None = None
    line: int | None = None
    revision: str | None = None
    trace: str = ""
    sql: str = ""
    context: int = 0
    waits_for_itself: bool = False


AnyEvent = (
    Hello
    | Wanted
    | RefusedConnection
    | WriteAtLoad
    | Session
    | Graph
    | Context
    | Models
    | ReleaseModels
    | RevisionStarted
    | StatementStarted
    | StatementDone
    | StatementFailed
    | LockTimedOut
    | InvalidIndexDropped
    | PragmaInTransaction
    | AsksByName
    | LeftOut
    | Committing
    | Committed
    | RolledBack
    | BackfillProgress
    | Stamped
    | InputsSeen
    | Finished
    | Failed
)

decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


WAITING = (StatementStarted, LockTimedOut, Committing, Committed)


ASKED = ("statement", "lock-timeout", "committing", "committed")
"""The tags of `WAITING`: the default of `asks` in a request."""

AHEAD = ("committed",)
"""On a scratch copy nothing is written down before a statement is sent: the child runs ahead to the next commit."""

JOURNALLED = ("statement", "lock-timeout", "committing")
"""On the target: what must be durable before it happens, and the pauses between two tries. After a commit the child
need not wait: it asks again before it can commit once more."""


def waits(event: AnyEvent, asked: Sequence[str] = ASKED) -> bool:
    """Whether the child stands still until the parent answers this event."""
    return isinstance(event, WAITING) and event.__struct_config__.tag in asked
