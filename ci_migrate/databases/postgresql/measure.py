"""PostgreSQL: locks of the child's session, tables that got a new file, WAL."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.measuring import READS_AND_WRITES, START, WRITES, Ran, Taken
from ci_migrate.databases.postgresql.catalog import RELATIONS
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.errors import DatabaseError
from ci_migrate.model import LockHeld

if TYPE_CHECKING:
    import psycopg

MODES = {
    "AccessShareLock": ("ACCESS SHARE", ""),
    "RowShareLock": ("ROW SHARE", ""),
    "RowExclusiveLock": ("ROW EXCLUSIVE", ""),
    "ShareUpdateExclusiveLock": ("SHARE UPDATE EXCLUSIVE", ""),
    "ShareLock": ("SHARE", WRITES),
    "ShareRowExclusiveLock": ("SHARE ROW EXCLUSIVE", WRITES),
    "ExclusiveLock": ("EXCLUSIVE", WRITES),
    "AccessExclusiveLock": ("ACCESS EXCLUSIVE", READS_AND_WRITES),
}
"""By the name in pg_locks, the weakest first: the name in the manual, what it keeps others from."""

STRENGTH = {name: rank for rank, name in enumerate(MODES)}
EXCLUSIVE = "AccessExclusiveLock"

PROBE = (
    "SELECT l.relation::text, l.mode, coalesce(c.relfilenode, 0)::text "
    "FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation "
    "WHERE l.locktype = 'relation' AND l.granted AND l.relation >= 16384 AND l.pid = pg_catalog.pg_backend_pid()"
)
"""Relation, mode, file. Only the session itself sees the file that its own transaction has written (relfilenode);
objects of the system have lower numbers."""

TABLES = f"WITH {RELATIONS} SELECT oid::text, key FROM rel WHERE relkind IN ('r', 'p', 'm')"
FILES = "SELECT oid::text, relfilenode::text FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'm')"
EMPTIES = re.compile(START + r"TRUNCATE\b", re.IGNORECASE | re.DOTALL)
OUTSIDE = re.compile(START + r"(VACUUM|CLUSTER|REFRESH|ALTER|DO|SELECT|CALL)\b", re.IGNORECASE | re.DOTALL)
"""What may write a table anew outside of a transaction, where no probe can look."""


class PostgreSQLMeter:
    """See `measuring.Meter`."""

    def __init__(self, connection: "psycopg.Connection[Any]", probe: str) -> None:
        self.probe = probe
        self._connection = connection
        self._names: dict[str, str] = dict(connection.execute(TABLES).fetchall())
        self._files: dict[str, set[str]] = {oid: {file} for oid, file in self._files_now()}
        self._begun = self._log_position()

    def _files_now(self) -> list[tuple[str, str]]:
        found = self._connection.execute(FILES).fetchall()
        return [(oid, file) for oid, file in found if oid in self._names]

    def taken(self, ran: Sequence[Ran], *, committed: bool) -> Sequence[Taken]:
        held: dict[str, int] = {}
        files = {oid: set(known) for oid, known in self._files.items()}
        found = [self._one(statement, held, files) for statement in ran]
        if committed:
            self._files = files
            if ran and ran[-1].probed is None and OUTSIDE.match(ran[-1].sql):
                found[-1] = self._outside()
        return found

    def _one(self, ran: Ran, held: dict[str, int], files: dict[str, set[str]]) -> Taken:
        locks: dict[str, str] = {}
        rewrites: dict[str, None] = {}
        for oid, mode, file in ran.probed or ():
            table = self._names.get(oid)
            if table is None or mode not in STRENGTH:  # made by this very migration, or an index
                continue
            if STRENGTH[mode] > held.get(oid, -1):
                held[oid] = STRENGTH[mode]
                locks[oid] = mode
            if file != "0" and file not in files.setdefault(oid, {file}):
                files[oid].add(file)
                if not EMPTIES.match(ran.sql):
                    rewrites[table] = None
        return Taken(tuple(self._lock(oid, mode) for oid, mode in locks.items()), tuple(rewrites))

    def _lock(self, oid: str, mode: str) -> LockHeld:
        name, blocks = MODES[mode]
        return LockHeld(table=self._names[oid], mode=name, blocks=blocks)

    def _outside(self) -> Taken:
        """What a statement outside of a transaction wrote anew.

        Nobody sees its locks after it, but a table is never rewritten under a weaker one.
        """
        anew = []
        for oid, file in self._files_now():
            if file not in self._files[oid]:
                self._files[oid].add(file)
                anew.append(oid)
        return Taken(
            tuple(self._lock(oid, EXCLUSIVE) for oid in anew), tuple(self._names[oid] for oid in anew)
        )

    def _log_position(self) -> int:
        row = self._connection.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
        ).fetchone()
        return int(row[0]) if row else 0

    def log_bytes(self) -> int | None:
        return self._log_position() - self._begun


@contextmanager
def meter(access: Access) -> "Iterator[PostgreSQLMeter]":
    """A Meter with a session of its own, in autocommit: an open transaction would hold up a concurrent index."""
    with closing(access.connect(read_only=True)) as connection, access.translate_errors():
        probe = PROBE
        try:
            with access.translate_errors():
                connection.execute(PROBE).fetchall()
        except DatabaseError:  # not everybody may read pg_locks here: then nothing is asked
            probe = ""
        yield PostgreSQLMeter(connection, probe)
