"""Dumps of MySQL and MariaDB: rows as the server has them stored, everything else by the server's own statements."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, NamedTuple

from ci_migrate.databases.base import Dumped, Progress, no_progress
from ci_migrate.databases.compression import compressing
from ci_migrate.databases.mysql import objects
from ci_migrate.databases.mysql.catalog import (
    named,
    opening_error,
    part,
    quote_name,
    read_flavour,
    read_schema,
    tables_of,
)
from ci_migrate.databases.mysql.contents import Digests, read_unseen
from ci_migrate.databases.mysql.flavours import Flavour
from ci_migrate.databases.mysql.inserts import END, HEAD, InsertWriter
from ci_migrate.databases.mysql.payload import FORMAT, SIDE_BY_SIDE, About, Objects, write_payload
from ci_migrate.databases.mysql.rows import list_tables, read_counts, read_heads
from ci_migrate.databases.mysql.rows_dump import Source, dump_rows, read_sources, snapshot, without_rows
from ci_migrate.databases.mysql.sessions import LOCK_WAIT, Access
from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.model import RowCount, Schema, VersionTable, split_key

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor
    from pymysql.err import MySQLError

SAFE_ENGINES = ("InnoDB", "SEQUENCE", "ROCKSDB")
"""Whose rows a transaction shows as they were at its start."""

BROKEN_MERGE = 1168
"""The server's number for a MERGE table whose members are gone, or not alike."""

HISTORY = (10, 11)
"""MariaDB from which on older rows of system-versioned tables can be put back."""


def dump(
    access: Access,
    into: Path,
    version_tables: Sequence[VersionTable],
    progress: Progress = no_progress,
    *,
    lock_timeout: float = 5.0,
    compare_budget: float | None = None,
    only: Sequence[str] | None = None,
) -> Dumped:
    """Write a consistent copy as files into the empty folder `into`. See `base.Database.dump`.

    Rows, their digests and the heads are read in one transaction.

    Args:
        access: the database.
        into: an empty folder.
        version_tables: whose heads are told.
        progress: called with bytes.
        lock_timeout: seconds to wait for another session's lock.
        compare_budget: the setting.
        only: the tables whose rows are kept, beside the version tables'; None for all.

    Raises:
        BackupError: the schema changed meanwhile, a table can't be read, or the disk is full.
        DatabaseError: the server said no, or cut the connection.
    """
    with ExitStack() as holding:
        held = holding.enter_context(hold_off_ddl(access, lock_timeout))
        with reading(access) as cursor:
            flavour = read_flavour(cursor)
            tables = _read_tables(cursor, access.database)
            schema = read_schema(cursor, access.database)
        _refuse_unreadable(access, tables)
        moving = [t.name for t in tables if not t.broken and t.engine not in SAFE_ENGINES]
        if moving and not (held and flavour.mariadb):
            holding.enter_context(_hold_off_writes(access, moving, lock_timeout))
        with snapshot(access, lock_timeout) as (connection, cursor):
            heads = read_heads(cursor, access.database, version_tables)
            versions = {table.name for table in version_tables if table.schema in (None, access.database)}
            sources = _choose(
                cursor, access, flavour, tables, lambda n: only is None or part(n) in only or n in versions
            )
            sizes = {table.name: table.size for table in tables if table.name in sources}
            started = time.monotonic()
            rows, written = _dump_rows(access, connection, into, sources, sizes, progress, lock_timeout)
            digests = Digests(cursor, flavour, access.database, compare_budget, time.monotonic() - started)
            _read_contents(access, digests, cursor, sources, lock_timeout)
            contents = digests.contents
            unseen = read_unseen(cursor, access.database)
            # those whose rows are elsewhere
            others = [key for key, _ in tables_of(cursor, access.database) if key not in contents]
            counted = read_counts(cursor, access.database, others, exact=True)
            counted |= {key: RowCount(rows=content.rows) for key, content in contents.items()}
            _refuse_other_counts(access, {part(n): r for n, r in rows.items()}, counted, sources)
        with reading(access) as cursor:
            # after the rows: sequences may be ahead of them, never behind
            stored = Objects(
                tables=objects.read_tables(cursor, access.database),
                programs=objects.read_programs(cursor, access.database),
            )
            after = read_schema(cursor, access.database)
            if (schema, heads) != (after, read_heads(cursor, access.database, version_tables)):
                raise _change_error(access, schema, after)
            cursor.execute("SELECT @@character_set_database, @@collation_database, @@lower_case_table_names")
            charset, collation, lower_case = cursor.fetchone() or ("", "", 0)
    about = About(
        flavour=flavour.name,
        version=flavour.version,
        database=access.database,
        charset=str(charset),
        collation=str(collation),
        rows=tuple(f"rows-{n}.sql.zst" for n in range(SIDE_BY_SIDE)),
        objects=len(stored.tables) + len(stored.programs),
        format=FORMAT,
        lower_case_table_names=int(lower_case),
    )
    with _room(into):
        write_payload(into, about, stored)
    client = "mariadb" if flavour.mariadb else "mysql"
    return Dumped(
        schema=schema,
        heads=heads,
        row_counts={key: count for key, count in sorted(counted.items()) if only is None or key in only},
        contents={key: content for key, content in contents.items() if only is None or key in only},
        samples={key: sample for key, sample in digests.samples.items() if only is None or key in only},
        not_digested=digests.reasons | unseen | _describe_older(sources),
        engine_version=f"{flavour.name} {flavour.text}",
        tool_version=f"PyMySQL {version('pymysql')}",
        how_to_restore=(
            f"{client} -e 'CREATE DATABASE NEW_DATABASE CHARACTER SET {charset} COLLATE {collation}' &&"
            f" zstd -dc tables.sql.zst rows-*.sql.zst programs.sql.zst | {client} NEW_DATABASE"
        ),
        unpacked=written,
        exceptions=tuple(sorted(_exceptions(tables, schema, stored).items())),
    )


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


class Table(NamedTuple):
    """A table as the catalog lists it; `broken` says why the server can't open it."""

    name: str
    kind: str
    engine: str
    size: int
    broken: tuple[int, str] | None


def _read_tables(cursor: "Cursor", database: str) -> list[Table]:
    """All tables and sequences, the biggest first."""
    cursor.execute(
        "SELECT TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, ''), COALESCE(DATA_LENGTH, 0) FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = %s AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW') ORDER BY 4 DESC, 1",
        [database],
    )
    return [
        Table(
            str(name), str(kind), str(engine), int(size), opening_error(cursor, database, str(name), engine)
        )
        for name, kind, engine, size in cursor.fetchall()
    ]


def _refuse_unreadable(access: Access, tables: Sequence[Table]) -> None:
    """A table that the server can't open holds rows that a backup would be without; a broken MERGE table has none."""
    for table in tables:
        if table.broken and table.broken[0] != BROKEN_MERGE:
            raise BackupError(
                f"Table {table.name} of {access.place} can't be opened: {table.broken[1]} ({table.broken[0]}).",
                hint=f"Repair it or drop it: CHECK TABLE {quote_name(table.name)};",
            )


@contextmanager
def _hold_off_writes(access: Access, tables: Sequence[str], lock_timeout: float) -> Iterator[None]:
    """Others can't write to these tables, whose rows no transaction holds still; they can read them."""
    import pymysql

    with closing(access.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute(
            f"SET SESSION lock_wait_timeout = {max(1, round(lock_timeout))}, wait_timeout = 31536000"
        )
        named_tables = ", ".join(tables[:10]) + (f" and {len(tables) - 10} more" if len(tables) > 10 else "")
        try:
            cursor.execute("LOCK TABLES " + ", ".join(f"{quote_name(name)} READ" for name in tables))
        except pymysql.MySQLError as error:
            raise BackupError(
                f"These tables have no transactions, and writes to them can't be held off: {named_tables}."
                f" {access.explain(error)}.",
                hint=f"GRANT LOCK TABLES ON {quote_name(access.database)}.* TO {access.user};"
                "  or ALTER TABLE ... ENGINE=InnoDB",
            ) from error
        yield


def _choose(
    cursor: "Cursor", access: Access, flavour: Flavour, tables: Sequence[Table], wanted: Callable[[str], bool]
) -> dict[str, Source]:
    """The tables whose rows are dumped, the biggest first."""
    versioned = {table.name for table in tables if table.kind == "SYSTEM VERSIONED"}
    found = read_sources(cursor, access.database, versioned, history=flavour.version >= HISTORY)
    return {
        table.name: found[table.name]
        for table in tables
        if table.kind != "SEQUENCE"
        and not table.broken
        and not without_rows(table.engine)
        and table.name in found
        and wanted(table.name)
    }


def _dump_rows(
    access: Access,
    connection: "Connection[Cursor]",
    into: Path,
    sources: Mapping[str, Source],
    sizes: Mapping[str, int],
    progress: Progress,
    lock_timeout: float,
) -> tuple[dict[str, int], int]:
    """Write the rows, and return how many there are in each table, and how many bytes they took."""
    import pymysql

    cursor = connection.cursor()
    cursor.execute("SELECT @@max_allowed_packet")
    packet = int((cursor.fetchone() or (0,))[0])
    total, done = sum(sizes.values()), 0
    filled = [0] * SIDE_BY_SIDE
    counted = {}
    with _room(into), ExitStack() as stack:
        files = [stack.enter_context(compressing(into / f"rows-{n}.sql.zst")) for n in range(SIDE_BY_SIDE)]
        for file in files:
            file.write(HEAD)

        def write(data: bytes) -> None:
            nonlocal done
            done += len(data)
            file.write(data)
            progress(done, total)

        for name, source in sources.items():
            at = filled.index(min(filled))
            filled[at] += sizes[name] or 1
            file = files[at]
            writer = InsertWriter(write, name, [column.name for column in source.columns], packet)
            try:
                # as mysqldump does: others may alter the table once it is read
                cursor.execute("SAVEPOINT ci_migrate")
                dump_rows(connection, source, writer, packet)
                cursor.execute("ROLLBACK TO SAVEPOINT ci_migrate")
            except pymysql.MySQLError as error:
                raise _reading_error(access, name, lock_timeout, error) from error
            counted[name] = writer.rows
        for file in files:
            file.write(END)
    return counted, done


def _read_contents(
    access: Access, digests: Digests, cursor: "Cursor", sources: Mapping[str, Source], lock_timeout: float
) -> None:
    """What the server says that these tables hold; the small ones first."""
    import pymysql

    cursor.execute("SET SESSION character_set_connection = utf8mb4")
    found = {table.name: table for table in list_tables(cursor, access.database)}
    for name in reversed(list(sources)):
        if name in found:
            try:
                digests.read(found[name])
            except pymysql.MySQLError as error:
                raise _reading_error(access, name, lock_timeout, error) from error


def _describe_older(sources: Mapping[str, Source]) -> dict[str, str]:
    """Older rows of system-versioned tables, and why they are not digested."""
    return {
        f"older rows of table {part(one.name)}": one.left or "they are dumped, and not compared"
        for one in sources.values()
        if one.left or one.history
    }


def _refuse_other_counts(
    access: Access, written: Mapping[str, int], found: Mapping[str, RowCount], sources: Mapping[str, Source]
) -> None:
    """What was written must be what the server counts by itself at that moment; older rows are not counted by it."""
    past = {part(name) for name, source in sources.items() if source.history}
    for name, rows in written.items():
        if name in found and name not in past and found[name].rows != rows:
            raise BackupError(
                f"{rows} rows of table {name} of {access.place} came, and the server counts {found[name].rows}."
            )


def _exceptions(tables: Sequence[Table], schema: Schema, stored: Objects) -> dict[str, str]:
    """What a restore rightly makes otherwise than it is here, and why."""
    found = {named(one.kind.lower(), one.name): one.broken for one in stored.programs if one.broken}
    for table in tables:
        if table.broken:
            key = named("table", table.name)
            members = [k for k in schema if split_key(k)[1].startswith(f"{part(table.name)}.")]
            found |= dict.fromkeys([key, *members], f"table {table.name} can't be opened ({table.broken[0]})")
    return found


def _reading_error(access: Access, table: str, lock_timeout: float, error: "MySQLError") -> BackupError:
    if error.args[0] != LOCK_WAIT:
        return BackupError(
            f"The rows of table {table} of {access.place} can't be read: {access.explain(error)}.",
            hint=_let_ddl_wait(access) if error.args[0] in (1412, 1146) else "",  # altered, dropped
        )
    with access.session() as cursor:
        cursor.execute(
            "SELECT ID, USER, TIME FROM information_schema.PROCESSLIST WHERE DB = %s AND ID <> CONNECTION_ID()"
            " AND (STATE IS NULL OR STATE <> 'Waiting for table metadata lock') ORDER BY TIME DESC LIMIT 3",
            [access.database],
        )
        others = [f"{pid} of {user} ({seconds} s)" for pid, user, seconds in cursor.fetchall()]
    return BackupError(
        f"Table `{table}` of {access.place} is locked by another session, for longer than"
        f" {lock_timeout:g} s. Sessions there: {', '.join(others) or 'none that this account sees'}.",
        hint="Wait for it or end it, or set a longer `lock-timeout`.",
    )


def _change_error(access: Access, before: Schema, after: Schema) -> BackupError:
    names = sorted({name for name, _ in before.items() ^ after.items()}) or ["the version table"]
    return BackupError(
        f"{access.place} was changed while it was dumped: {', '.join(names[:5])}.",
        hint=_let_ddl_wait(access),
    )


def _let_ddl_wait(access: Access) -> str:
    return f"Try again, or let changes wait meanwhile: GRANT RELOAD ON *.* TO {access.user};  (MySQL: BACKUP_ADMIN)"


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
