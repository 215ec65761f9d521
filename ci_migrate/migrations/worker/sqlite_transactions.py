"""SQLite: each revision in one real transaction, which gives way where plain Alembic has none.

Python's sqlite3 begins a transaction before INSERT, UPDATE, DELETE and REPLACE alone, so that plain Alembic commits
each DDL statement by itself. A revision may rely on that: it lets another connection see the new column, or sends
VACUUM. There the transaction is committed first, which is told as any other commit in the middle of a revision.

Only the connection that env.py migrates by is treated so. Others are left as the application opens them.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from .state import Session, State, driver_connection, in_transaction, raw_connection
from .statements import (
    CHANGES_NOTHING,
    DRIVER_BEGINS,
    FOREIGN_KEYS,
    IN_NO_TRANSACTION,
    NO_BEGIN,
    SETS_FILE,
    TRANSACTION,
    only_reads,
)

OFF = ("off", "0", "false", "no")


class SQLiteTransactions:
    """Begins them, ends them early, and knows whether there is anything to commit."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.dialect: Any = None  # SQLAlchemy's, with our `do_commit`
        self.thread = threading.get_ident()

    def prepare_statement(self, raw: Any, session: Session, statement: str) -> None:
        """A statement is about to be sent: let others' transactions give way, or this one's; begin one."""
        self.give_way(session.entry, session)
        foreign_keys = FOREIGN_KEYS.match(statement)
        on = foreign_keys is not None and foreign_keys.group(1).lower() not in OFF
        switches = foreign_keys is not None and on != bool(ask_number(raw, "foreign_keys"))
        if session.begun and (switches or IN_NO_TRANSACTION.match(statement)) and in_transaction(raw):
            self.dialect.do_commit(session.connection)
        if foreign_keys and not in_transaction(raw):
            if on or session.violations is None:
                session.violations = None if on else foreign_key_violations(raw)
        elif switches and not (
            on and session.violations is not None
        ):  # an ON that closes an OFF loses nothing
            self.tell_ignored(statement)
        # before INSERT and the like, unless the application says no
        driver_begins = raw.isolation_level is not None
        if in_transaction(raw):
            if driver_begins and DRIVER_BEGINS.match(statement):
                session.begun = False
            return
        session.begun = False
        if only_reads(statement, "sqlite") or NO_BEGIN.match(statement):
            return
        session.version = ask_number(raw, "schema_version")
        if not session.migrates or session.autocommit:
            return
        self.look_for_lock(session)
        cursor = raw.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        cursor.close()
        session.begun = not (driver_begins and DRIVER_BEGINS.match(statement))

    def give_way(self, entry: str | None, other: Session | None = None) -> None:
        """Another connection to a database looks at it: commit what plain Alembic would have committed by now."""
        for session in list(self.state.sessions.values()):
            if session is other or not session.begun or session.entry != entry:
                continue
            # a connection may insist on its own thread; then it stays, and the other one meets its lock
            with suppress(*(() if threading.get_ident() == self.thread else (Exception,))):
                if in_transaction(session.connection):
                    self.dialect.do_commit(session.connection)

    def look_for_lock(self, session: Session | None) -> None:
        """Does another connection of this process hold the lock that this one needs?"""
        others = (s for s in self.state.sessions.values() if s is not session and s.entry is not None)
        self.state.locked_by_us = any(in_transaction(s.connection) for s in others)

    def tell_ignored(self, statement: str) -> None:
        """Foreign keys can't be switched inside of a transaction: SQLite ignores it."""
        file, line = self.state.blame.find_site(outside=False)
        self.state.channel.send(
            "pragma-in-transaction",
            revision=self.state.revision,
            sql=statement[:200],
            first=self.state.position == self.state.before_revision,
            file=file,
            line=line,
        )

    def note(self, session: Session, statement: str) -> None:
        """A statement is sent: may it change the database?"""
        if TRANSACTION.match(statement) or CHANGES_NOTHING.match(statement):
            return
        session.dirty = True
        session.sets_file = session.sets_file or SETS_FILE.match(statement) is not None

    def has_changed(self, raw: Any, session: Session) -> bool:
        """Whether anything changed since the last commit, by SQLite's own counters where they tell."""
        changes = total_changes(raw)
        if session.sets_file or changes is None:
            return session.dirty
        if changes != session.changes:
            return True
        return session.dirty and session.version != ask_number(raw, "schema_version")

    def forget(self, session: Session) -> None:
        """A transaction has ended, of SQLite's or another engine's."""
        session.begun = session.sets_file = False
        session.changes = total_changes(session.connection)
        session.version = None


def total_changes(connection: Any) -> int | None:
    """Rows that a connection has changed since it was opened; None where its driver does not say."""
    found = getattr(driver_connection(raw_connection(connection)), "total_changes", None)
    return found if isinstance(found, int) else None


def ask_number(raw: Any, pragma: str) -> int | None:
    """What a PRAGMA answers."""
    cursor = raw.cursor()
    try:
        cursor.execute("PRAGMA " + pragma)
        row = cursor.fetchone()
    finally:
        cursor.close()
    return int(row[0]) if row else None


def foreign_key_violations(raw: Any) -> set[tuple[Any, ...]]:
    """The rows whose foreign keys lead nowhere; none where SQLite can't tell (a parent table is missing)."""
    cursor = raw.cursor()
    try:
        cursor.execute("PRAGMA foreign_key_check")
        return {tuple(row) for row in cursor.fetchall()}
    except Exception:
        return set()
    finally:
        cursor.close()
