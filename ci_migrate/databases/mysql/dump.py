"""Dumps of MySQL and MariaDB: rows by the dump program, everything else by the server's own statements."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING

from ci_migrate.databases.base import Dumped, Progress, no_progress
from ci_migrate.databases.compression import compressing
from ci_migrate.databases.mysql import objects, tools
from ci_migrate.databases.mysql.catalog import part, read_flavour, read_schema
from ci_migrate.databases.mysql.payload import SIDE_BY_SIDE, About, Objects, write_payload
from ci_migrate.databases.mysql.rows import read_counts, read_heads
from ci_migrate.databases.mysql.rows_stream import RowStream
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.model import RowCount, Schema, VersionTable

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

SAFE_ENGINES = ("InnoDB", "SEQUENCE", "ROCKSDB")
"""Whose rows a transaction shows as they were at its start."""

ROW_ARGUMENTS = (
    "--single-transaction",
    "--skip-lock-tables",
    "--skip-add-locks",  # under LOCK TABLES a default can't ask its sequence
    "--no-create-info",
    "--skip-triggers",
    "--hex-blob",
    "--no-tablespaces",
    "--quick",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
)
HISTORY = ("--dump-history",)
"""Older rows of system-versioned tables, which servers from MariaDB 10.11 on take back."""

MYSQL_ARGUMENTS = ("--set-gtid-purged=OFF", "--column-statistics=0")


def dump(
    access: Access,
    into: Path,
    version_tables: Sequence[VersionTable],
    progress: Progress = no_progress,
    *,
    client_tools: str | None = None,
    lock_timeout: float = 5.0,
    only: Sequence[str] = (),
) -> Dumped:
    """Write a consistent copy as files into the empty folder `into`. See `base.Database.dump`.

    Args:
        access: the database.
        into: an empty folder.
        version_tables: whose heads are told.
        progress: called with bytes.
        client_tools: the folder of the programs, if configured.
        lock_timeout: seconds to wait for another session's lock.
        only: the tables whose rows are kept, beside the version tables'; () for all.

    Raises:
        BackupError: the schema changed meanwhile, a table's engine has no snapshots, or the disk is full.
        ToolError: there is no program that can dump this server.
        DatabaseError: the server said no, or cut the connection.
    """
    with hold_off_ddl(access, lock_timeout) as held:
        with reading(access) as cursor:
            flavour = read_flavour(cursor)
            tool = tools.find_tool(tools.DUMP, flavour, client_tools)
            if not held:
                _refuse_without_snapshot(cursor, access)
            sizes = _sizes(cursor, access.database)
            versions = {table.name for table in version_tables if table.schema in (None, access.database)}
            named = [name for name in sizes if part(name) in only or name in versions] if only else []
            versioned = _versioned_tables(cursor, access.database)
            before = _state(cursor, access, version_tables)
        history = HISTORY if versioned and tool.mariadb and tool.version >= (10, 11) else ()
        arguments = [*ROW_ARGUMENTS, *history, *(() if tool.mariadb else MYSQL_ARGUMENTS)]
        arguments += ["--", access.database, *named]
        sizes = {name: sizes[name] for name in named or sizes}
        rows = _dump_rows(access, into, tool, arguments, sizes, progress, lock_timeout)
        with reading(access) as cursor:
            # after the rows: sequences may be ahead of them, never behind
            stored = Objects(
                tables=objects.read_tables(cursor, access.database),
                programs=objects.read_programs(cursor, access.database),
            )
            after = _state(cursor, access, version_tables)
            if before != after:
                raise _change_error(access, before[0], after[0])
            cursor.execute("SELECT @@character_set_database, @@collation_database")
            charset, collation = cursor.fetchone() or ("", "")
            counted = read_counts(cursor, access.database, versioned, exact=True) if versioned else {}
    about = About(
        flavour=flavour.name,
        version=flavour.version,
        database=access.database,
        charset=str(charset),
        collation=str(collation),
        rows=tuple(f"rows-{n}.sql.zst" for n in range(SIDE_BY_SIDE)),
        objects=len(stored.tables) + len(stored.programs),
    )
    with _room(into):
        write_payload(into, about, stored)
    client = "mariadb" if flavour.mariadb else "mysql"
    zero = dict.fromkeys((s.name for s in stored.tables if s.kind == "TABLE"), 0)
    found = {**{part(n): RowCount(rows=r) for n, r in {**zero, **rows}.items()}, **counted}
    return Dumped(
        schema=after[0],
        heads=after[1],
        row_counts={name: count for name, count in sorted(found.items()) if not only or name in only},
        engine_version=f"{flavour.name} {flavour.text}",
        tool_version=tool.words,
        how_to_restore=(
            f"{client} -e 'CREATE DATABASE NEW_DATABASE CHARACTER SET {charset} COLLATE {collation}' &&"
            f" zstd -dc tables.sql.zst rows-*.sql.zst programs.sql.zst | {client} NEW_DATABASE"
        ),
    )


def _state(
    cursor: "Cursor", access: Access, version_tables: Sequence[VersionTable]
) -> tuple[Schema, tuple[tuple[str, ...], ...]]:
    """What must be the same before the rows are read and after it."""
    heads = read_heads(cursor, access.database, version_tables)
    return read_schema(cursor, access.database), heads


@contextmanager
def reading(access: Access) -> "Iterator[Cursor]":
    """A session without a limit on statements, in the settings of `objects.SETTINGS`."""
    with access.session() as cursor:
        cursor.execute(read_flavour(cursor).no_statement_limit)
        cursor.execute(f"SET SESSION {objects.SETTINGS}")
        yield cursor


@contextmanager
def hold_off_ddl(access: Access, lock_timeout: float) -> Iterator[bool]:
    """DDL of others waits meanwhile, on the whole server; yields whether it does.

    It does not where this account lacks the right (RELOAD on MariaDB, BACKUP_ADMIN on MySQL), or another backup holds
    it off already: then whoever asked compares the schema before with the one after. On MariaDB writes to tables
    without transactions wait too.
    """
    with closing(access.connect()) as connection:
        cursor = connection.cursor()
        with access.translate_errors():
            mariadb = read_flavour(cursor).mariadb
            cursor.execute(
                f"SET SESSION lock_wait_timeout = {max(1, round(lock_timeout))}, wait_timeout = 31536000"
            )
        steps = ("START", "FLUSH", "BLOCK_DDL") if mariadb else ()
        statements = [f"BACKUP STAGE {step}" for step in steps] or ["LOCK INSTANCE FOR BACKUP"]
        held = True
        import pymysql

        try:
            for statement in statements:
                cursor.execute(statement)
        except pymysql.MySQLError as error:
            held = False
            if error.args[0] not in (1205, 1227, 1064):  # busy, not allowed, not known
                raise DatabaseError(f"{access.place}: {access.explain(error)}.") from error
            connection.close()  # whatever stage it reached
            connection.connect()
        yield held


def _refuse_without_snapshot(cursor: "Cursor", access: Access) -> None:
    cursor.execute(
        "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
        " AND TABLE_TYPE <> 'VIEW' AND ENGINE NOT IN %s ORDER BY 1",
        [access.database, SAFE_ENGINES],
    )
    if found := cursor.fetchall():
        named = ", ".join(f"{name} ({engine})" for name, engine in found[:10])
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise BackupError(
            f"These tables have no transactions, so a dump can't show them as of one moment: {named}{more}.",
            hint=f"ALTER TABLE ... ENGINE=InnoDB, or on MariaDB: GRANT RELOAD ON *.* TO {access.user};",
        )


def _versioned_tables(cursor: "Cursor", database: str) -> list[str]:
    """System-versioned tables: a dump holds the rows of now, and older ones."""
    cursor.execute(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'SYSTEM VERSIONED'",
        [database],
    )
    return [part(str(name)) for (name,) in cursor.fetchall()]


def _sizes(cursor: "Cursor", database: str) -> dict[str, int]:
    cursor.execute(
        "SELECT TABLE_NAME, COALESCE(DATA_LENGTH, 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
        " AND TABLE_TYPE <> 'VIEW' ORDER BY 2 DESC",
        [database],
    )
    return {str(name): int(size) for name, size in cursor.fetchall()}


def _change_error(access: Access, before: Schema, after: Schema) -> BackupError:
    names = sorted({name for name, _ in before.items() ^ after.items()}) or ["the version table"]
    return BackupError(
        f"{access.place} was changed while it was dumped: {', '.join(names[:5])}.",
        hint=f"Try again, or let changes wait meanwhile: GRANT RELOAD ON *.* TO {access.user};  (MySQL: BACKUP_ADMIN)",
    )


@contextmanager
def _room(into: Path) -> Iterator[None]:
    """A full disk leaves the block as BackupError."""
    try:
        yield
    except OSError as error:
        free = disk_usage(into).free
        raise BackupError(
            f"The backup could not be written: {error.strerror}.", hint=f"{free:,} bytes are free in {into}."
        ) from error


def _dump_rows(
    access: Access,
    into: Path,
    tool: tools.Tool,
    arguments: Sequence[str],
    sizes: dict[str, int],
    progress: Progress,
    lock_timeout: float,
) -> dict[str, int]:
    """Write the rows, and return how many there are in each table."""
    filled = [0] * SIDE_BY_SIDE
    places = {}
    for table, size in sizes.items():  # biggest first
        places[table] = filled.index(min(filled))
        filled[places[table]] += size
    total = sum(filled)
    with _room(into), ExitStack() as stack:
        files = [stack.enter_context(compressing(into / f"rows-{n}.sql.zst")) for n in range(SIDE_BY_SIDE)]
        stream = RowStream([file.write for file in files], places)

        def sink(data: bytes) -> None:
            stream.feed(data)
            progress(stream.bytes, total)

        tools.read_from(tool, arguments, access, sink, _StuckWatch(access, stream, lock_timeout))
        if not stream.finish():
            raise BackupError(f"{tool.path.name} ended well, but its dump of {access.place} has no end.")
    return stream.rows


class _StuckWatch:
    """Raises if the dump waits longer than the lock timeout for a table that somebody has locked."""

    def __init__(self, access: Access, stream: RowStream, lock_timeout: float) -> None:
        self._access = access
        self._stream = stream
        self._seen = -1
        self._calls = 0
        self._limit = lock_timeout

    def __call__(self) -> None:
        if self._seen != self._stream.bytes:
            self._seen, self._calls = self._stream.bytes, 0
        self._calls += 1
        if self._calls * tools.WATCH_SECONDS < self._limit:
            return
        self._calls = 0
        with self._access.session() as cursor:
            cursor.execute(
                "SELECT INFO FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for table metadata lock'"
                " AND TIME >= %s AND DB = %s AND INFO LIKE 'SELECT /*!40001 SQL_NO_CACHE */%%'",
                [int(self._limit), self._access.database],
            )
            row = cursor.fetchone()
            cursor.execute(
                "SELECT ID, USER, TIME FROM information_schema.PROCESSLIST WHERE DB = %s AND ID <> CONNECTION_ID()"
                " AND (STATE IS NULL OR STATE <> 'Waiting for table metadata lock') ORDER BY TIME DESC LIMIT 3",
                [self._access.database],
            )
            others = [f"{pid} of {user} ({seconds} s)" for pid, user, seconds in cursor.fetchall()]
        if row:
            table = str(row[0]).rpartition(" FROM ")[2].strip()
            raise BackupError(
                f"Table {table} of {self._access.place} is locked by another session, for longer than"
                f" {self._limit:g} s. Sessions there: {', '.join(others) or 'none that this account sees'}.",
                hint="Wait for it or end it, or set a longer `lock-timeout`.",
            )
