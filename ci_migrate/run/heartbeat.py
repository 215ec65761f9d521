"""A line every few seconds while a migration runs: a CI ends silent jobs, and people ask who is in the way."""

import time
from dataclasses import dataclass, field

from ci_migrate.databases.base import Database
from ci_migrate.databases.traffic import WatchesTraffic
from ci_migrate.errors import CiMigrateError
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import relative
from ci_migrate.migrations.runner import Handle
from ci_migrate.model import plural
from ci_migrate.reports.clean import one_line
from ci_migrate.reports.story import place
from ci_migrate.run.run import Run

EVERY = 10.0
"""Seconds between two lines; after the first minute it is a line a minute."""


@dataclass
class Heartbeat:
    """What the child is at. `others` is asked who may be in the way; None for a copy, which nobody else knows."""

    run: Run
    others: Database | None = None
    held_up: dict[int, str] = field(default_factory=dict)  # by the number of a statement, as last seen
    _began: float = field(default_factory=time.monotonic)
    _next: float = field(default_factory=lambda: EVERY)
    _open: events.StatementStarted | None = None
    _opened: float = 0.0
    _revision: str | None = None
    _sent: int = 0

    def around(self, handle: Handle) -> Handle:
        """The same handler, listened to."""

        def hear(event: events.AnyEvent) -> str | None:
            self._hear(event)
            self.beat()
            return handle(event)

        return hear

    def beat(self) -> None:
        """Say a line if it is time for one; called often."""
        elapsed = time.monotonic() - self._began
        if elapsed < self._next:
            return
        self._next = elapsed + (EVERY if elapsed < 60 else 60.0)
        self.run.tell(self._words(elapsed))

    def _hear(self, event: events.AnyEvent) -> None:
        match event:
            case events.RevisionStarted():
                self._revision = event.revision
            case events.StatementStarted():
                self._open, self._opened, self._sent = event, time.monotonic(), self._sent + 1
            case events.StatementDone() | events.StatementFailed():
                self._open = None
            case _:
                pass

    @property
    def under_way(self) -> str:
        """The statement of which no end was heard, in words."""
        if self._open is None:
            return "no statement was under way"
        return f"under way was, in {self._revision or 'env.py'}: {one_line(self._open.sql, 120)}"

    def _words(self, elapsed: float) -> str:
        where = self._revision or "env.py"
        statement = self._open
        # a look at who is in the way is a query of its own: not for each of many short statements
        if statement is None or time.monotonic() - self._opened < 1:
            return f"{where}: {plural(self._sent, 'statement')} sent, {elapsed:.0f} s"
        file = relative(statement.file, self.run.settings.project_dir) if statement.file else None
        line = place(file, statement.line)
        since = time.monotonic() - self._opened
        words = f"{where}: {f'{line} ' if line else ''}runs for {since:.0f} s: {one_line(statement.sql, 120)}"
        if waits := self._waits():
            self.held_up[statement.position] = waits[0]
            return f"{words}\n      {'; '.join(waits)}"
        others = self._others()
        return f"{words}\n      in the way may be: {'; '.join(others)}" if others else words

    def _waits(self) -> list[str]:
        """How far a statement is that waits, and who holds it up, as the server tells."""
        if not isinstance(self.others, WatchesTraffic):
            return []
        try:
            return self.others.waits(f"ci-migrate/{self.run.id}")[:3]
        except CiMigrateError:
            return []

    def _others(self) -> list[str]:
        try:
            return self.others.blockers()[:3] if self.others is not None else []
        except CiMigrateError:
            return []  # a line more or less is no reason to stop
