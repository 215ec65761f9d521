"""On a scratch copy: what the child's own session answers after a statement, and before a commit."""

from __future__ import annotations

import time
from typing import Any

from .forms import form
from .state import Session, State, in_transaction, raw_connection


class Probes:
    """Asks the request's queries. What they take is nobody's hold time."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.asked: set[tuple[Any, ...]] = set()  # kinds of statements that were looked at

    def after_statement(self, conn: Any, session: Session, statement: str) -> list[list[str]] | None:
        """What the session itself answers after a statement, without what it answered before in this transaction.

        Not asked again for further rounds of a loop, nor outside of transactions, where everything is over: then None.
        """
        raw = raw_connection(conn.connection)
        kind = (self.state.context, self.state.revision, form(statement, session.sql))
        if not self.state.probe or session.autocommit or kind in self.asked or not in_transaction(raw):
            return None
        self.asked.add(kind)
        found = self.answers(raw, self.state.probe) - session.probed
        session.probed |= found
        return sorted(list(row) for row in found)

    def before_commit(self, raw: Any) -> list[list[str]] | None:
        """What it answers at the end of a transaction; None where nobody asks."""
        if not self.state.commit_probe:
            return None
        return sorted(list(row) for row in self.answers(raw, self.state.commit_probe))

    def answers(self, raw: Any, query: str) -> set[tuple[str, ...]]:
        """The rows, as texts."""
        begun = time.monotonic()
        cursor = raw.cursor()
        try:
            cursor.execute(query)
            return {tuple(str(value) for value in row) for row in cursor.fetchall()}
        finally:
            cursor.close()
            self.state.measuring += time.monotonic() - begun
