"""Digests of what a dump of SQLite shows, made of the copied file: nobody else waits for it."""

import math
import sqlite3
import time
from collections.abc import Mapping

import msgspec

from ci_migrate.databases.digests import IN_RANGE, NO_KEY, RANGES, choose_starts, seconds_for
from ci_migrate.databases.sqlite.catalog import is_virtual, user_rows
from ci_migrate.databases.sqlite.rows import ROW_IDS, bytes_of_text, read_content
from ci_migrate.databases.sqlite.stand_ins import add_stand_ins
from ci_migrate.databases.sqlite.tokens import quote
from ci_migrate.model import RowCount, Sample, TableContent

VIRTUAL = "a virtual table's module decides what it holds"


class Digests:
    """What tables hold: `contents`, of those that would take too long `samples`, and `reasons` for the rest.

    Args:
        connection: on a finished copy.
        counts: the tables, with their rows.
        budget: the setting `compare-budget`.
        dump: seconds that the copy took.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        counts: Mapping[str, RowCount],
        budget: float | None,
        dump: float,
    ) -> None:
        self.contents: dict[str, TableContent] = {}
        self.samples: dict[str, Sample] = {}
        self.reasons: dict[str, str] = {}
        self._connection = connection
        self._deadline = time.monotonic() + seconds_for(budget, dump)
        add_stand_ins(connection, collations=True)
        virtual = [name for _, name, _, sql in user_rows(connection) if is_virtual(sql)]
        self.reasons.update({name: VIRTUAL for name in virtual if name in counts})
        with bytes_of_text(connection):
            for table, count in sorted(counts.items(), key=lambda item: item[1].rows):
                if table not in self.reasons:
                    self._read(table, count.rows)

    def _read(self, table: str, rows: int) -> None:
        small = rows <= RANGES * IN_RANGE  # takes no longer than a sample of it
        deadline = math.inf if small else self._deadline
        try:
            late = time.monotonic() > deadline
            content = None if late else read_content(self._connection, table, deadline=deadline)
        except sqlite3.OperationalError as error:  # a generated column may call the application's functions
            self.reasons[table] = str(error)
            return
        if content is not None:
            self.contents[table] = content
            return
        sample = self._take_sample(table)
        if sample is None:
            self.reasons[table] = NO_KEY
        else:
            self.samples[table] = sample

    def _take_sample(self, table: str) -> Sample | None:
        name = f"main.{quote(table)}"
        for key in ROW_IDS:
            if table_has(self._connection, table, key):
                continue
            try:
                lowest, highest = self._connection.execute(
                    f"SELECT min({key}), max({key}) FROM {name}"
                ).fetchone()
            except sqlite3.OperationalError:  # WITHOUT ROWID
                return None
            starts = tuple(map(str, choose_starts(lowest, highest)))
            sample = Sample(key=key, starts=starts, rows=IN_RANGE, content=TableContent(rows=0))
            content = read_content(self._connection, table, sample)
            return msgspec.structs.replace(sample, content=content) if content else None
        return None


def table_has(connection: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether a table has a column of this name."""
    found = connection.execute(
        "SELECT 1 FROM pragma_table_xinfo(?, 'main') WHERE lower(name) = ?", (table, column)
    )
    return found.fetchone() is not None
