"""How long a statement of a migration waits for a lock, by its kind, and when it may be sent once more by itself.

While a statement waits for a strong lock, all that comes after it queues behind it: it waits shortly (`lock-timeout`)
and is tried again, so that the traffic flows in between. One that lets others work meanwhile may wait long
(`lock-timeout-concurrently`).

What is sent again here by itself: PostgreSQL's statements outside of a transaction, and DDL on MySQL and MariaDB, which
has committed what was before it. Within a transaction of PostgreSQL it takes a new transaction, and so a new child: to
roll back to a savepoint would keep the locks of the statements before it, and traffic would queue behind those during
all pauses.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .failure import error_words, sqlstate
from .state import Session, State, in_transaction
from .statements import COMMENTS, IMPLICIT_COMMIT, MYSQL
from .wall import MIGRATE

QUEUED, CONCURRENT, DETACH = "queued", "concurrent", "detach"

NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
PLACE = rf"{NAME}(?:\s*\.\s*{NAME})?"
_BUILD = re.compile(
    COMMENTS + rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<index>{NAME})\s+"
    rf"ON\s+(?:ONLY\s+)?(?P<table>{PLACE})",
    re.IGNORECASE | re.DOTALL,
)
_CONCURRENT = re.compile(
    COMMENTS
    + rf"(?:(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REFRESH\s+MATERIALIZED\s+VIEW)\s+CONCURRENTLY\b"
    rf"|REINDEX\b[^;]*\bCONCURRENTLY\b|VACUUM\b(?![^;]*\bFULL\b)|ANALY[SZ]E\b"
    rf"|ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{PLACE}\s+VALIDATE\s+CONSTRAINT\s+{NAME}\s*;?\s*$)",
    re.IGNORECASE | re.DOTALL,
)
_DETACH = re.compile(
    COMMENTS + rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?{PLACE}\s+DETACH\s+PARTITION\s+{PLACE}\s+CONCURRENTLY\b",
    re.IGNORECASE | re.DOTALL,
)


def kind_of(sql: str, dialect: str) -> str:
    """What waits for the locks of a statement: others queue behind it (QUEUED), or they work meanwhile.

    DETACH is as CONCURRENT, but what a first try has done must not be tried again: it is brought to its end by
    `DETACH PARTITION ... FINALIZE`.
    """
    if dialect != "postgresql":
        return QUEUED
    if _DETACH.match(sql):
        return DETACH
    return CONCURRENT if _CONCURRENT.match(sql) else QUEUED


_SEVERAL = re.compile(COMMENTS + r"(?:CALL|DO)\b|.*;\s*\S", re.IGNORECASE | re.DOTALL)
"""What may have committed a part of itself before it failed."""

LOCK_TIMEOUT = ("55P03", "40P01", "1205", "1213")
"""A lock timeout or a deadlock: PostgreSQL, MySQL and MariaDB. `events.LOCK_TIMEOUT_STATES` are these and SQLite's."""


class LockWaits:
    """Sends statements; those of a migration with the patience that their kind asks for."""

    def __init__(self, state: State) -> None:
        self.state = state
        policy = state.wall.session.get("locks") or {}
        self.queued = float(policy.get("queued", 0))
        self.concurrent = float(policy.get("concurrent", 0))
        self.tries = int(policy.get("tries", 1))

    def send(self, send: Callable[[], Any], dialect: str, session: Session, statement: str) -> Any:
        """Call `send`, which sends the statement; again after a lock timeout, where that is safe and has a chance.

        Raises what `send` raises.
        """
        if self.state.wall.mode != MIGRATE:
            return send()
        alone = is_alone(session, statement, dialect)
        kind = kind_of(statement, dialect)
        long = kind != QUEUED and (alone or session.first)
        if not (alone or long):
            return send()
        builds = Builds(self.state, session, statement) if kind == CONCURRENT and alone else None
        begun, attempt = time.monotonic(), 0
        with self.patience(session, long):
            if builds is not None:
                builds.drop_earlier()
            while True:
                attempt += 1
                tried = time.monotonic()
                try:
                    return send()
                except Exception as error:
                    late = long and time.monotonic() - begun >= self.concurrent
                    if late and alone:  # who was waited for is still there: the next wait is a short one
                        self.wait_at_most(session, self.queued)
                    clean = builds is None or builds.drop_left()
                    hopeful = sqlstate(error) in LOCK_TIMEOUT and not late and kind != DETACH
                    if not (alone and clean and hopeful) or attempt >= self.tries:
                        raise
                    self.state.channel.ask(
                        "lock-timeout",
                        position=self.state.position,
                        attempt=attempt,
                        seconds=time.monotonic() - tried,
                        error=error_words(error),
                    )

    @contextmanager
    def patience(self, session: Session, long: bool) -> Iterator[None]:
        """Wait long for the locks of what is sent meanwhile, unless the revision has set a time of its own."""
        setting = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'"
        if not long or query(session, setting) != [(str(round(self.queued * 1000)),)]:
            yield
            return
        self.wait_at_most(session, self.concurrent)
        try:
            yield
        except BaseException:
            # in a transaction it failed with it, and what was set there is taken back with it
            if session.autocommit:
                with suppress(Exception):  # the session may be what broke
                    self.wait_at_most(session, self.queued)
            raise
        self.wait_at_most(session, self.queued)

    @staticmethod
    def wait_at_most(session: Session, seconds: float) -> None:
        """From now on."""
        query(session, f"SET lock_timeout = {round(seconds * 1000)}")


def is_alone(session: Session, statement: str, dialect: str) -> bool:
    """Whether a statement that failed has done nothing, and nothing before it is undone or holds locks."""
    if _SEVERAL.match(statement):
        return False
    if dialect in MYSQL:
        return IMPLICIT_COMMIT.match(statement) is not None
    return dialect == "postgresql" and session.autocommit and not in_transaction(session.connection)


INVALID = """
SELECT x.indexrelid::text, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT x.indisvalid AND c.relkind = 'i' AND n.nspname <> 'pg_toast'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p
    WHERE p.datname = pg_catalog.current_database() AND coalesce(p.index_relid, x.indexrelid) = x.indexrelid)"""
"""Indexes that a failed build has left, without those that somebody builds now. Of another role's build the server does
not tell which index it is (NULL): while there is one, none is taken for left."""


class Builds:
    """PostgreSQL: the INVALID indexes that failed builds leave, which writes keep up and no query uses."""

    def __init__(self, state: State, session: Session, statement: str) -> None:
        self.state = state
        self.session = session
        self.built = _BUILD.match(statement)
        self.before = {oid for oid, _ in query(session, INVALID)}

    def drop_earlier(self) -> None:
        """An INVALID index of the name that is built next: it would fail, or with IF NOT EXISTS do nothing."""
        if self.built is None:
            return
        table = self.built["table"].replace("'", "''")
        name = self.built["index"].replace("'", "''")
        # an index is in the schema of its table; parse_ident folds a name as the server does
        same = f" AND x.indrelid = to_regclass('{table}') AND c.relname = (parse_ident('{name}'))[1]"
        for oid, name in query(self.session, INVALID + same):
            self._drop(name, earlier=True)
            self.before.discard(oid)

    def drop_left(self) -> bool:
        """What the failed build left. Returns False where it stays."""
        try:
            for oid, name in query(self.session, INVALID):
                if oid not in self.before:
                    self._drop(name, earlier=False)
        except Exception:
            return False  # of the session, or of a lock once more: the failure itself is what is told
        return True

    def _drop(self, name: str, *, earlier: bool) -> None:
        query(self.session, f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        self.state.channel.send("invalid-index", name=name, earlier=earlier)


def query(session: Session, sql: str) -> list[tuple[Any, ...]]:
    """Send something of our own, which nobody is told of; its rows."""
    cursor = session.connection.cursor()
    try:
        cursor.execute(sql)
        rows = cursor.fetchall() if cursor.description else []
        # a project may have its driver give dictionaries
        return [tuple(row.values() if isinstance(row, dict) else row) for row in rows]
    finally:
        cursor.close()
