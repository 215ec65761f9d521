"""Digests of what a dump of MySQL or MariaDB shows, read in the dump's own transaction."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ci_migrate.databases.digests import IN_RANGE, NO_KEY, RANGES, choose_starts, seconds_for
from ci_migrate.databases.mysql.catalog import quote_name
from ci_migrate.databases.mysql.flavours import Flavour
from ci_migrate.databases.mysql.rows import Table, read_content
from ci_migrate.model import Sample, TableContent

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

TOO_LONG = (1969, 3024)
"""The servers' numbers for a statement that took longer than it might: MariaDB's, MySQL's."""

TOO_LARGE = "a value is too large for the server to put it into a text (max_allowed_packet)"

_KEY = """
SELECT s.COLUMN_NAME FROM information_schema.STATISTICS s
JOIN information_schema.COLUMNS c USING (TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME)
WHERE s.TABLE_SCHEMA = %s AND s.TABLE_NAME = %s AND s.NON_UNIQUE = 0 AND s.SEQ_IN_INDEX = 1 AND c.IS_NULLABLE = 'NO'
  AND c.DATA_TYPE IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint') AND s.SUB_PART IS NULL
  AND NOT EXISTS (SELECT 1 FROM information_schema.STATISTICS o WHERE o.TABLE_SCHEMA = s.TABLE_SCHEMA
    AND o.TABLE_NAME = s.TABLE_NAME AND o.INDEX_NAME = s.INDEX_NAME AND o.SEQ_IN_INDEX = 2)
ORDER BY s.INDEX_NAME <> 'PRIMARY', s.COLUMN_NAME LIMIT 1"""

_SEES_ALL = """
SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'SELECT' AND GRANTEE = {0}
UNION SELECT PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES
WHERE PRIVILEGE_TYPE = 'SELECT' AND GRANTEE = {0} AND %s LIKE TABLE_SCHEMA""".format(
    "CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))"
)


def read_unseen(cursor: "Cursor", database: str) -> dict[str, str]:
    """What this account may not see, and why that can be: the catalog hides tables and columns without a right.

    Nothing is told of an account that has its rights by a role: those are not listed.
    """
    cursor.execute("SELECT CURRENT_ROLE(), CURRENT_USER()")
    role, user = cursor.fetchone() or ("", "")
    if role and str(role).upper() != "NONE":
        return {}
    cursor.execute(_SEES_ALL, [database])
    if cursor.fetchone():
        return {}
    return {"tables and columns that are hidden": f"{user} has no SELECT on all of {database}"}


class Digests:
    """What tables hold: `contents`, of those that would take too long `samples`, and `reasons` for the rest.

    Args:
        cursor: in the transaction that the dump shows.
        flavour: the server's.
        database: its database.
        budget: the setting `compare-budget`.
        dump: seconds that the rows took.
    """

    def __init__(
        self, cursor: "Cursor", flavour: Flavour, database: str, budget: float | None, dump: float
    ) -> None:
        self.contents: dict[str, TableContent] = {}
        self.samples: dict[str, Sample] = {}
        self.reasons: dict[str, str] = {}
        self._cursor = cursor
        self._flavour = flavour
        self._database = database
        self._deadline = time.monotonic() + seconds_for(budget, dump)

    def read(self, table: Table) -> None:
        """Digest one more; the small ones should come first. Raises the driver's errors."""
        content = self._read_in_time(table)
        if content is not None:
            self.contents[table.key] = content
        elif sample := self._take_sample(table):
            content = sample.content
            self.samples[table.key] = sample
        else:
            self.reasons[table.key] = NO_KEY
        if content is not None and content.digest is None:
            self.reasons[table.key] = TOO_LARGE
            self.samples.pop(table.key, None)

    def _read_in_time(self, table: Table) -> TableContent | None:
        import pymysql

        left = self._deadline - time.monotonic()
        if left < 0.001:
            # a small one takes no longer than a sample of it
            return self._read_whole(table) if self._is_small(table) else None
        self._cursor.execute(self._flavour.statement_limit(left))
        try:
            return self._read_whole(table)
        except pymysql.MySQLError as error:
            if error.args[0] not in TOO_LONG:
                raise
            return None
        finally:
            self._cursor.execute(self._flavour.no_statement_limit)

    def _read_whole(self, table: Table) -> TableContent:
        return read_content(self._cursor, self._database, table)

    def _is_small(self, table: Table) -> bool:
        limit = RANGES * IN_RANGE
        name = quote_name(self._database, table.name)
        (rows,) = self._ask(f"SELECT COUNT(*) FROM (SELECT 1 FROM {name} LIMIT {limit + 1}) some")
        return int(rows) <= limit

    def _take_sample(self, table: Table) -> Sample | None:
        found = self._ask(_KEY, [self._database, table.name])
        if not found:
            return None
        key = quote_name(str(found[0]))
        lowest, highest = self._ask(
            f"SELECT MIN({key}), MAX({key}) FROM {quote_name(self._database, table.name)}"
        )
        starts = tuple(map(str, choose_starts(int(lowest), int(highest))))
        sample = Sample(key=str(found[0]), starts=starts, rows=IN_RANGE, content=TableContent(rows=0))
        content = read_content(self._cursor, self._database, table, sample)
        return msgspec.structs.replace(sample, content=content)

    def _ask(self, query: str, values: Sequence[str] = ()) -> tuple[Any, ...]:
        self._cursor.execute(query, values or None)
        return self._cursor.fetchone() or ()
