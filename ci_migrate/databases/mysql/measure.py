"""MySQL and MariaDB: tables that were built anew, the metadata locks that follow from how, binlog."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ci_migrate.databases.effects import updates_rows_of
from ci_migrate.databases.measuring import READS_AND_WRITES, WRITES, Ran, Taken
from ci_migrate.databases.mysql.catalog import tables_of
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.databases.statements import Action, Verb, actions_in
from ci_migrate.errors import DatabaseError
from ci_migrate.migrations.worker.tokens import MYSQL
from ci_migrate.model import LockHeld

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

ALTERS = (Verb.ALTER_TABLE, Verb.CREATE_INDEX, Verb.DROP_INDEX, Verb.OPTIMIZE_TABLE)
EXCLUSIVE = (Verb.DROP_TABLE, Verb.TRUNCATE, Verb.RENAME_TABLE)
WRITES_ROWS = (Verb.UPDATE, Verb.INSERT, Verb.REPLACE, Verb.DELETE, Verb.COPY)
ROWS = "SHARED_WRITE"
COPY = "SHARED_NO_WRITE (ALGORITHM=COPY)"
INPLACE = "SHARED_UPGRADABLE (ALGORITHM=INPLACE, rebuilt)"
NO_REBUILD = "SHARED_UPGRADABLE (not rebuilt)"

TABLE_IDS = (
    "SELECT NAME, TABLE_ID FROM information_schema.{} WHERE NAME LIKE %s",
    ("INNODB_SYS_TABLES", "INNODB_TABLES"),
)
"""MariaDB and MySQL call it differently. It takes the right PROCESS."""


class MySQLMeter:
    """See `measuring.Meter`.

    What the server does not tell is derived: an ALTER that copies rows reports how many, and so does an UPDATE that
    locks them; what others may do meanwhile is documented. Each DDL statement commits by itself: between two looks
    there is at most one.
    """

    probe = commit_probe = ""

    def __init__(self, cursor: "Cursor", access: Access) -> None:
        self._cursor = cursor
        self._access = access
        self._tables = {name: key for key, name in tables_of(cursor, access.database)}
        self._view = ""
        for view in TABLE_IDS[1]:
            self._view = self._view or (view if self._ask(TABLE_IDS[0].format(view), self._pattern) else "")
        self._ids = self._ids_now()
        self._log = self._log_files()

    @property
    def _pattern(self) -> str:
        return _file_name(self._access.database).replace("_", r"\_").replace("%", r"\%") + "/%"

    def _ask(self, query: str, *arguments: str) -> Sequence[tuple[object, ...]]:
        """The rows; none where this account may not see them."""
        try:
            with self._access.translate_errors():
                self._cursor.execute(query, arguments)
                return self._cursor.fetchall()
        except DatabaseError:
            return ()

    def _ids_now(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name, number in self._ask(TABLE_IDS[0].format(self._view), self._pattern) if self._view else ():
            table = re.split("#p#", str(name).partition("/")[2], flags=re.IGNORECASE)[0]
            found.setdefault(_name_of(table), set()).add(str(number))
        return found

    def taken(
        self,
        ran: Sequence[Ran],
        *,
        committed: bool,  # noqa: ARG002
        changed: Sequence[Sequence[str]] | None = None,  # noqa: ARG002
    ) -> Sequence[Taken]:
        every = [self._one(statement, actions_in(statement.sql, MYSQL)) for statement in ran]
        rows: Counter[str] = Counter()
        for statement, (_, changes) in zip(ran, every, strict=True):
            rows.update(dict.fromkeys(changes, statement.rows or 0))
        held: set[tuple[str, str]] = set()
        found = []
        for taken, changes in every:
            new = []
            for lock in taken.locks:
                if lock.mode == ROWS and lock.table in changes & rows.keys():
                    new.append(
                        replace(lock, rows=rows.pop(lock.table))
                    )  # the first one of the table has them all
                elif (lock.table, lock.mode) not in held:
                    new.append(lock)
            held |= {(lock.table, lock.mode) for lock in new}
            found.append(Taken(tuple(new), taken.rewrites))
        return found

    def _one(self, ran: Ran, actions: Sequence[Action]) -> tuple[Taken, set[str]]:
        """What it took, and the tables of which it changed rows that were there."""
        locked = {
            (table, "EXCLUSIVE" if action.verb in EXCLUSIVE else ROWS)
            for action in actions
            if action.verb in (*EXCLUSIVE, *WRITES_ROWS)
            for *_, table in action.tables
            if table in self._tables
        }
        altered = [table for action in actions if action.verb in ALTERS for *_, table in action.tables]
        if altered or any(mode == "EXCLUSIVE" for _, mode in locked):
            before, self._ids = self._ids, self._ids_now()
        each = [self._altered(ran, table, before) for table in altered if table in self._tables]
        locks = [
            LockHeld(
                table=self._tables[table], mode=mode, blocks=READS_AND_WRITES if mode == "EXCLUSIVE" else ""
            )
            for table, mode in sorted(locked)
        ]
        taken = Taken(
            (*locks, *(lock for one in each for lock in one.locks)),
            tuple(table for one in each for table in one.rewrites),
        )
        # whose rows the driver counts as they are found (CLIENT_FOUND_ROWS); INSERT and REPLACE count new ones too
        changes = {table for action in actions for *_, table in updates_rows_of(action)}
        return taken, {self._tables[table] for table in changes & self._tables.keys()}

    def _altered(self, ran: Ran, table: str, before: Mapping[str, set[str]]) -> Taken:
        """What an ALTER TABLE took of a table that was there when the migration began."""
        key = self._tables[table]
        if ran.rows or (
            self._view and before.get(table) and not before[table] & self._ids.get(table, before[table])
        ):
            mode, blocks = (COPY, WRITES) if ran.rows else (INPLACE, "")
            return Taken((LockHeld(table=key, mode=mode, blocks=blocks),), (key,))
        return Taken((LockHeld(table=key, mode=NO_REBUILD),) if self._view else ())

    def _log_files(self) -> dict[str, int]:
        return {str(row[0]): int(str(row[1])) for row in self._ask("SHOW BINARY LOGS")}

    def log_bytes(self) -> int | None:
        now = self._log_files()
        grown = (size - self._log.get(name, 0) for name, size in now.items())
        return sum(max(0, each) for each in grown) if now and self._log else None


def _file_name(name: str) -> str:
    """As InnoDB writes names: other characters than letters and digits by their code."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else f"@{ord(c):04x}" for c in name)


def _name_of(file_name: str) -> str:
    return re.sub(r"@([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), file_name)


@contextmanager
def meter(access: Access) -> "Iterator[MySQLMeter]":
    """A Meter with a session of its own, which is not the child's: that one's ROW_COUNT() and the like are its own."""
    with closing(access.connect(read_only=True)) as connection, access.translate_errors():
        yield MySQLMeter(connection.cursor(), access)


def write_counters(cursor: "Cursor", database: str) -> dict[str, int]:
    """When each table was last written, in seconds since 1970; without those that were not since the server began."""
    cursor.execute("SHOW VARIABLES LIKE 'information_schema_stats_expiry'")
    if cursor.fetchone():  # MySQL would answer from its cache of a day
        cursor.execute("SET SESSION information_schema_stats_expiry = 0")
    cursor.execute(
        "SELECT TABLE_NAME, UNIX_TIMESTAMP(UPDATE_TIME) FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = %s AND UPDATE_TIME IS NOT NULL",
        [database],
    )
    return {str(table): int(seconds) for table, seconds in cursor.fetchall()}
