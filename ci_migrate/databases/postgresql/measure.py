"""PostgreSQL: locks of the child's session, tables that got a new file, WAL."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ci_migrate.databases.effects import names_table
from ci_migrate.databases.measuring import READS_AND_WRITES, WRITES, Ran, Taken
from ci_migrate.databases.postgresql.catalog import RELATIONS
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.statements import Verb, actions_in, first_word
from ci_migrate.errors import DatabaseError
from ci_migrate.migrations.worker.tokens import POSTGRESQL
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

OWN = (
    "pg_catalog.pg_locks l{} WHERE l.locktype = 'relation' AND l.relation >= 16384 "
    "AND l.pid = pg_catalog.pg_backend_pid()"
)
"""Objects of the system have lower numbers."""

ROWS = "RowExclusiveLock"
_CHANGED = (
    "SELECT l.relation::text AS relation, pg_catalog.pg_stat_get_xact_tuples_updated(l.relation) + "
    f"pg_catalog.pg_stat_get_xact_tuples_deleted(l.relation) AS rows FROM {OWN} AND l.mode = '{ROWS}'"
)
CHANGES = "changed"
PROBE = (
    "SELECT l.relation::text, l.mode, coalesce(c.relfilenode, 0)::text "
    f"FROM {OWN.format(' LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation')} AND l.granted "
    f"UNION ALL SELECT relation, '{CHANGES}', '' FROM ({_CHANGED.format('')}) x WHERE rows > 0"
)
"""Relation, mode, file; and each relation of which rows were updated or deleted. Only the session itself sees the file
that its own transaction has written (relfilenode), and what that has counted."""

COMMIT_PROBE = f"SELECT relation, rows::text FROM ({_CHANGED}) x WHERE rows > 0"
"""Relation, rows of it that the open transaction has updated or deleted, by whatever statement, function or trigger."""

FLUSH = " CROSS JOIN (SELECT pg_catalog.pg_stat_force_next_flush()) f"
"""PostgreSQL 15 and later: the next transaction counts from zero. Before, what one changed less than a second earlier
may be counted again."""
FLUSH_SINCE = 150000

TABLES = (
    f"WITH {RELATIONS} SELECT oid::text, key, relkind::text FROM rel WHERE relkind IN ('r', 'p', 'v') "
    "OR relkind = 'm' AND relispopulated AND pg_catalog.pg_relation_size(oid) > 0"
)
"""Nobody can read a materialized view that holds nothing yet, or finds something there."""
FILES = "SELECT oid::text, relfilenode::text FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'm')"
ENGINE = "postgresql"
OUTSIDE = ("VACUUM", "CLUSTER", "REFRESH", "ALTER", "DO", "SELECT", "CALL")
"""What may write a table anew outside of a transaction, where no probe can look."""


class PostgreSQLMeter:
    """See `measuring.Meter`."""

    def __init__(self, connection: "psycopg.Connection[Any]", probe: str, commit_probe: str) -> None:
        self.probe, self.commit_probe = probe, commit_probe
        self._connection = connection
        self._changers: dict[str, set[str]] = {}  # by relation: statements that were seen to change its rows
        found = connection.execute(TABLES).fetchall()
        self._names: dict[str, str] = {oid: key for oid, key, _ in found}
        self._views = {oid: kind for oid, _, kind in found if kind in ("v", "m")}
        self._files: dict[str, set[str]] = {oid: {file} for oid, file in self._files_now()}
        self._begun = self._log_position()

    def _files_now(self) -> list[tuple[str, str]]:
        found = self._connection.execute(FILES).fetchall()
        return [(oid, file) for oid, file in found if oid in self._names]

    def taken(
        self, ran: Sequence[Ran], *, committed: bool, changed: Sequence[Sequence[str]] | None = None
    ) -> Sequence[Taken]:
        held: dict[str, int] = {}
        files = {oid: set(known) for oid, known in self._files.items()}
        found = [self._one(statement, held, files) for statement in ran]
        if committed:
            self._files = files
            if ran and ran[-1].probed is None and first_word(ran[-1].sql, ENGINE) in OUTSIDE:
                found[-1] = self._outside()
        if changed is None and committed and ran:
            changed = self._changed_outside(ran[-1])
        for oid, rows in changed or ():
            # who keeps others from the whole table does so more than by its rows
            if oid in self._names and held.get(oid, -1) < STRENGTH["ShareLock"]:
                number = self._changer(oid, ran)
                found[number] = self._with_rows(found[number], oid, int(rows))
        return found

    def _changer(self, oid: str, ran: Sequence[Ran]) -> int:
        """Which statement of a transaction was the first to change rows: in a loop only its first round was probed."""
        known = self._changers.setdefault(oid, set())
        known |= {one.sql for one in ran if any(tuple(row[:2]) == (oid, CHANGES) for row in one.probed or ())}
        return next((number for number, one in enumerate(ran) if one.sql in known), 0)

    def _with_rows(self, taken: Taken, oid: str, rows: int) -> Taken:
        lock = replace(self._lock(oid, ROWS), rows=rows)
        others = tuple(one for one in taken.locks if (one.table, one.mode) != (lock.table, lock.mode))
        return Taken((*others, lock), taken.rewrites)

    def _changed_outside(self, ran: Ran) -> list[tuple[str, str]]:
        """What a statement outside of a transaction changed: its text names the table, its driver counted the rows."""
        # what nobody could ask about before its commit: a statement outside of a transaction
        actions = actions_in(ran.sql, POSTGRESQL) if ran.probed is None and ran.rows else []
        if len(actions) != 1 or actions[0].verb not in (Verb.UPDATE, Verb.DELETE):
            return []
        fits = [oid for oid, key in self._names.items() if names_table(actions[0], key)]
        return [(oid, str(ran.rows)) for oid in fits] if len(fits) == 1 else []

    def _one(self, ran: Ran, held: dict[str, int], files: dict[str, set[str]]) -> Taken:
        locks: dict[str, str] = {}
        rewrites: dict[str, None] = {}
        for oid, mode, file in ran.probed or ():
            table = self._names.get(oid)
            if table is None or mode not in STRENGTH:  # made by this very migration, or an index
                continue
            if (
                self._views.get(oid) == "v" and mode != EXCLUSIVE
            ):  # who reads through it locks its tables as well
                continue
            if STRENGTH[mode] > held.get(oid, -1):
                held[oid] = STRENGTH[mode]
                locks[oid] = mode
            if file != "0" and file not in files.setdefault(oid, {file}):
                files[oid].add(file)
                if first_word(ran.sql, ENGINE) != "TRUNCATE":
                    rewrites[table] = None
        return Taken(tuple(self._lock(oid, mode) for oid, mode in locks.items()), tuple(rewrites))

    def _lock(self, oid: str, mode: str) -> LockHeld:
        name, blocks = MODES[mode]
        if oid in self._views and mode != EXCLUSIVE:  # nobody else writes there
            blocks = ""
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
        flush = FLUSH if connection.info.server_version >= FLUSH_SINCE else ""
        probes = (PROBE, COMMIT_PROBE.format(flush))
        try:
            with access.translate_errors():
                for probe in probes:
                    connection.execute(probe).fetchall()
        except DatabaseError:  # not everybody may read pg_locks here: then nothing is asked
            probes = ("", "")
        yield PostgreSQLMeter(connection, *probes)
