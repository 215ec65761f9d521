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

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .failure import error_words, sqlstate
from .state import Session, State, in_transaction
from .statements import MYSQL, commits_first
from .tokens import POSTGRESQL, Cursor, Token, dialect_of, readings, tokens_of, without_end
from .wall import MIGRATE

QUEUED, CONCURRENT, DETACH = "queued", "concurrent", "detach"


def kind_of(sql: str, dialect: str) -> str:
    """What waits for the locks of a statement: others queue behind it (QUEUED), or they work meanwhile.

    DETACH is as CONCURRENT, but what a first try has done must not be tried again: it is brought to its end by
    `DETACH PARTITION ... FINALIZE`.
    """
    if dialect != "postgresql":
        return QUEUED
    tokens = without_end(tokens_of(sql, POSTGRESQL))
    cursor = Cursor(tokens)
    if any(token.is_mark(";") for token in tokens):  # of several, one may be of the other kind
        return QUEUED
    if cursor.take("ALTER", "TABLE"):
        cursor.skip("IF", "EXISTS", "ONLY")
        cursor.name()
        if cursor.take("DETACH", "PARTITION") and cursor.name() and cursor.take("CONCURRENTLY"):
            return DETACH
        alone = cursor.take("VALIDATE", "CONSTRAINT") and cursor.name() and not cursor.rest
        return CONCURRENT if alone else QUEUED
    if cursor.take("ANALYZE") or cursor.take("ANALYSE"):
        return CONCURRENT
    if cursor.take("VACUUM"):
        return QUEUED if has_option(cursor.rest, "FULL") else CONCURRENT
    if cursor.take("REINDEX"):
        return CONCURRENT if has_option(cursor.rest, "CONCURRENTLY") else QUEUED
    index = (
        cursor.take("CREATE", "UNIQUE", "INDEX")
        or cursor.take("CREATE", "INDEX")
        or cursor.take("DROP", "INDEX")
    )
    concurrent = (index or cursor.take("REFRESH", "MATERIALIZED", "VIEW")) and cursor.take("CONCURRENTLY")
    return CONCURRENT if concurrent else QUEUED


def has_option(tokens: Sequence[Token], word: str) -> bool:
    """Whether `VACUUM FULL` or `VACUUM (FULL)` is said; both words are reserved, so that nothing is called so."""
    following = [*tokens[1:], None]
    return any(
        token.is_word(word) and not (after and after.text.lower().strip("'") in ("false", "off", "0"))
        for token, after in zip(tokens, following)
    )


def built_index(sql: str) -> tuple[str, str] | None:
    """The index and the table of a CREATE INDEX CONCURRENTLY as they are written; None where it gives no name."""
    cursor = Cursor(tokens_of(sql, POSTGRESQL))
    if not (cursor.take("CREATE", "UNIQUE", "INDEX") or cursor.take("CREATE", "INDEX")):
        return None
    if not cursor.take("CONCURRENTLY"):
        return None
    cursor.skip("IF", "NOT", "EXISTS")
    if cursor.sees("ON"):
        return None
    index = cursor.name_tokens()
    if not cursor.take("ON"):
        return None
    cursor.skip("ONLY")
    table = cursor.name_tokens()
    return ".".join(t.text for t in index), ".".join(t.text for t in table)


def may_be_done_in_part(sql: str, dialect: str) -> bool:
    """Whether it may have committed a part of itself before it failed: a program, or several in one text."""
    for reading in readings(dialect_of(dialect)):
        tokens = without_end(tokens_of(sql, reading))
        if not tokens or tokens[0].is_word("CALL", "DO") or any(token.is_mark(";") for token in tokens):
            return True
    return False


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
    if may_be_done_in_part(statement, dialect):
        return False
    if dialect in MYSQL:
        return commits_first(statement, session.sql)
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
        self.built = built_index(statement)
        self.before = {oid for oid, _ in query(session, INVALID)}

    def drop_earlier(self) -> None:
        """An INVALID index of the name that is built next: it would fail, or with IF NOT EXISTS do nothing."""
        if self.built is None:
            return
        name, table = (written.replace("'", "''") for written in self.built)
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
