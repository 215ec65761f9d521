"""The rows of the copy's tables while a migration runs there, without reading again what nobody wrote to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_migrate.databases.base import Database
from ci_migrate.errors import LockWaitError
from ci_migrate.model import RowCount, TableContent


@dataclass
class RowsFollowed:
    """What the watched tables hold, and those that came since.

    Args:
        scratch: the copy.
        start: the contents of the watched tables before.
        counts: all tables before.
        apart: the version tables.
    """

    scratch: Database
    start: Mapping[str, TableContent]
    counts: Mapping[str, RowCount]
    apart: frozenset[str]
    _known: dict[str, TableContent] = field(init=False)
    # None: any table may have been written to
    _written: frozenset[str] | None = frozenset()

    def __post_init__(self) -> None:
        self._known = dict(self.start)

    def note(self, written: frozenset[str] | None) -> None:
        """These tables were written to; None: any may have been."""
        self._written = None if written is None or self._written is None else self._written | written

    def look(self) -> dict[str, TableContent] | None:
        """Their contents now; None where the migration has locked one of them against us."""
        try:
            if self._written is None:
                since = self.scratch.counts().keys() - self.counts.keys() - self.apart
                self._known = self.scratch.contents({*self.start, *since})
            else:
                again = {t for t in self._written if t in self.start or t not in self.counts} - self.apart
                kept = {table: content for table, content in self._known.items() if table not in again}
                self._known = {**kept, **(self.scratch.contents(again) if again else {})}
        except LockWaitError:
            return None
        self._written = frozenset()
        return dict(sorted(self._known.items()))

    def missed(self, now: Mapping[str, TableContent]) -> bool:
        """Whether a table holds something else by now, although nobody is known to have written to it."""
        if self._written is None:
            return False
        return any(now.get(t) != content for t, content in self._known.items() if t not in self._written)
