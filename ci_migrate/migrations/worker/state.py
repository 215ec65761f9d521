"""What the child knows of its one run, and of each connection. `main` makes one `State`."""

from __future__ import annotations

import os
import time
from typing import Any

from .blame import Blame
from .channel import Channel
from .constants import Constants
from .destinations import text_of
from .inputs import Inputs
from .tokens import MYSQL, POSTGRESQL, SQLITE, Dialect
from .wall import DRY_RUN, Wall

WAITS_FOR_ITSELF = (
    " (session{waiting} waited with: {last}; another session of this process, session{other}, is in a transaction, or"
    " has locked tables, and can't end before: its last statement was {held}. Send both by op.get_bind(), or commit"
    " that one first)"
)


class Session:
    """What is known of one driver's connection."""

    def __init__(
        self, entry: str | None, connection: Any, autocommit: bool, sql: Dialect, others: str
    ) -> None:
        self.sql = sql  # how its server reads texts
        self.others = (
            others  # PostgreSQL, in a dry run: a digest of the server's other databases at its start
        )
        self.entry = entry  # which of the request's databases; None: none of them
        self.connection = connection  # kept: its id must not be used again
        self.autocommit = autocommit
        self.last = ""  # the statement that was sent last, short
        self.pending = False  # since then neither a commit nor a rollback
        self.dirty = False  # a statement that may change the database ran since the last commit
        self.backfill = ""  # whose statement was sent last
        self.first = True  # what is sent now is the first such statement of its transaction
        self.violations: set[tuple[Any, ...]] | None = None  # foreign keys are off; the rows that break them
        self.contexts: list[int] = []  # the version tables that env.py configured on it; the last is its own
        self.revision: str | None = None  # the last one that ran there
        self.stamped = True
        self.probed: set[tuple[str, ...]] = set()  # what the probe gave since the last commit
        # SQLite
        self.migrates = (
            False  # env.py configured a migration context on it: each revision is a transaction there
        )
        self.begun = False  # the open transaction is ours; plain Alembic would have committed what is in it
        self.version: int | None = (
            None  # SQLite's schema_version before the first statement since the last commit
        )
        self.changes: int | None = 0  # rows that it had changed at its last commit
        self.sets_file = False  # a PRAGMA since the last commit changed what the file says of itself


class State:
    """The one run of this process.

    `template`: that of the process that this one was forked off. What listens to drivers, engines and files is there
    already, and is turned to this run.
    """

    def __init__(self, channel: Channel, request: dict[str, Any], template: State | None = None) -> None:
        self.channel = channel
        self.request = request
        self.recorder: Any = None
        if template is None:
            self.wall = Wall(channel, request)
            self.inputs = Inputs(channel, request["setup"])
        else:
            self.wall, self.inputs, self.recorder = template.wall, template.inputs, template.recorder
            self.wall.turn_to(channel, request)
            self.inputs.turn_to(channel, request["setup"])
        self.blame = Blame()
        self.constants = Constants(self.inputs.codes)
        self.sessions: dict[int, Session] = {}  # by the id of the driver's connection
        self.levels: dict[int, str] = {}  # isolation levels of connections that are not known yet
        self.of_context: dict[int, Session] = {}
        self.position = 0  # of the last statement that was announced
        self.context = 0
        self.revision: str | None = None
        self.stamped = True
        self.before_revision = 0  # the position before its first statement
        self.measuring = 0.0  # seconds that went into probes: they are nobody's hold time
        self.locked_by_us = False  # SQLite: a statement met the lock of another connection of this process
        self.waits_for = (
            ""  # in words: a statement waited in vain, and another session of this process has what it wants
        )
        self.internal = False  # what is sent now is ours
        self.shows_values: bool = request["setup"].get("show_values", False)  # in errors, those of rows too
        self.loading = False  # the revision scripts
        self.graph_told = False
        self.env_ran = False  # up to its call of Alembic: what it makes is there
        self.reached = False  # env.py's first connection, in a process that shall stay
        # asked after each new statement inside a transaction, and before each commit
        rehearses = request["mode"] == DRY_RUN
        self.probe: str = request.get("probe", "") if rehearses else ""
        self.commit_probe: str = request.get("commit_probe", "") if rehearses else ""
        # MySQL: where a commit leaves its mark
        self.marker: dict[str, str] = dict(request["setup"]["marker"] or {})
        if self.marker:
            self.marker["run"] += "-" + os.urandom(4).hex()  # positions begin anew in each try
        # what an earlier run has committed of a revision: digests of statements, in their order
        skip = request.get("skip")
        self.skip = {(skip["context"], skip["revision"]): list(skip["digests"])} if skip else {}

    def session_of(self, connection: Any) -> Session | None:
        """What is known of a connection; None where nobody looked at it."""
        return self.sessions.get(id(raw_connection(connection)))

    def place_of(self, session: Session) -> tuple[int, str | None, bool]:
        """Version table, revision and whether that ran to its end: of this session, where env.py migrates by it.

        Several sessions that are open side by side are committed one by one, after all of them have run.
        """
        if session.contexts:
            return session.contexts[-1], session.revision, session.stamped
        return self.context, self.revision, self.stamped

    def names_of(self, session: Session) -> list[str]:
        """What the session's database is called: a copy is called otherwise than the target."""
        entry = next((e for e in self.wall.entries if e["name"] == session.entry), None)
        found = (
            [entry[side].get("database", "") for side in ("match", "connect")] if entry is not None else []
        )
        return [name for name in found if name]

    def find_own_lock(self, waiting: Session | None) -> str:
        """In words, another session of this process that may hold what this one waited for; "" for none."""
        if waiting is None or waiting.entry is None:
            return ""
        for other in self.sessions.values():
            same = other is not waiting and other.entry == waiting.entry
            # PyMySQL does not tell of a transaction that a SELECT began
            if same and (other.pending or other.last.upper().startswith("LOCK")):
                return WAITS_FOR_ITSELF.format(
                    waiting=server_pid(waiting.connection),
                    last=waiting.last,
                    other=server_pid(other.connection),
                    held=other.last,
                )
        return ""

    def clock(self) -> float:
        """Seconds on a clock that stands still while we measure."""
        return time.monotonic() - self.measuring


def raw_connection(connection: Any) -> Any:
    """The driver's connection inside SQLAlchemy's pool proxies (the adapted one for async drivers)."""
    for name in ("dbapi_connection", "connection"):  # the second one: SQLAlchemy before 1.4.24
        inner = getattr(connection, name, None)
        if inner is not None:
            return inner
    return connection


def driver_connection(connection: Any) -> Any:
    """The driver's connection itself, for async drivers too."""
    return getattr(connection, "driver_connection", None) or getattr(connection, "_connection", connection)


def in_transaction(connection: Any) -> bool | None:
    """Whether the driver is inside a transaction; None where it does not say."""
    driver = driver_connection(raw_connection(connection))
    try:
        if hasattr(driver, "in_transaction"):
            return bool(driver.in_transaction)
        if hasattr(driver, "is_in_transaction"):
            return bool(driver.is_in_transaction())
        if hasattr(driver, "get_transaction_status"):
            return bool(driver.get_transaction_status() != 0)
        if hasattr(driver, "server_status"):
            return bool(driver.server_status & 1)  # SERVER_STATUS_IN_TRANS
        if hasattr(driver, "info"):
            return int(driver.info.transaction_status) != 0
    except Exception:
        return None
    return None


def server_pid(connection: Any) -> str:
    """The number by which the server knows a session; "" where the driver does not tell."""
    driver = driver_connection(raw_connection(connection))
    try:
        for name in ("thread_id", "get_backend_pid", "get_server_pid"):
            if hasattr(driver, name):
                return f" {getattr(driver, name)()}"
        info = getattr(driver, "info", None)
    except Exception:
        return ""
    return f" {info.backend_pid}" if info is not None else ""


def read_dialect(engine: str, cursor: Any) -> Dialect:
    """How the server reads this session's texts, as it is set now."""
    if engine == "sqlite":
        return SQLITE
    if engine == "postgresql":
        cursor.execute("SELECT pg_catalog.current_setting('standard_conforming_strings')")
        return POSTGRESQL._replace(backslashes=cursor.fetchone()[0] == "off")
    cursor.execute("SELECT @@SESSION.sql_mode")
    modes = text_of(cursor.fetchone()[0]).upper().split(",")
    return MYSQL._replace(
        backslashes="NO_BACKSLASH_ESCAPES" not in modes, double_quotes="ANSI_QUOTES" not in modes
    )


def tell_transaction(driver: Any) -> None:
    """PyMySQL and its relatives keep the status of before a statement that gives rows, as INSERT ... RETURNING does."""
    status = getattr(driver, "server_status", None)
    if isinstance(status, int) and not status & 2:  # SERVER_STATUS_AUTOCOMMIT
        driver.server_status = status | 1  # SERVER_STATUS_IN_TRANS
