"""Restores of MySQL and MariaDB into an empty database."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ci_migrate.databases.base import Progress, no_progress
from ci_migrate.databases.compression import Allowance, DecompressionError, open_decompressed
from ci_migrate.databases.mysql import objects
from ci_migrate.databases.mysql.catalog import read_flavour
from ci_migrate.databases.mysql.inserts import MARIADB, SESSION, NotRowsError, read_statements
from ci_migrate.databases.mysql.payload import FORMAT, SIDE_BY_SIDE, About, read_payload
from ci_migrate.databases.mysql.refusals import refuse_strange
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.errors import BackupError

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

SCRATCH = "ci_migrate_scratch_"
"""What the name of each scratch copy starts with; the run id follows."""


def load(
    access: Access,
    payload: Path,
    progress: Progress = no_progress,
    *,
    events: bool = True,
    most: int | None = None,
) -> None:
    """Restore a dump into a database, which must be empty.

    In a scratch copy the account of `access` becomes the definer of views, triggers, routines and events, which must
    not have anybody else's rights there; elsewhere definers are kept.

    Args:
        access: the database.
        payload: the folder that `dump` wrote into.
        progress: called with bytes.
        events: events may run; never in a scratch copy.
        most: bytes that the rows may unpack to; None for any number.

    Raises:
        BackupError: the database is not empty, the dump is damaged, of another engine or of a server with another
            `lower_case_table_names`, it holds something else than a dump of ours does, or a statement was refused.
    """
    about, stored = read_payload(payload)
    copy = access.database.startswith(SCRATCH)
    with access.session() as cursor:
        flavour = read_flavour(cursor)
        _must_be_empty(cursor, access)
        cursor.execute("SELECT @@lower_case_table_names")
        lower_case = int((cursor.fetchone() or (0,))[0])
    if (about.flavour, *about.version) > (flavour.name, *flavour.version) or about.flavour != flavour.name:
        raise BackupError(
            f"The backup is of {about.flavour} {about.version[0]}.{about.version[1]}, and {access.server} is"
            f" {flavour.name} {flavour.text}.",
            hint="Restore it on a server of the same kind that is not older.",
        )
    if about.format != FORMAT:
        raise BackupError(
            "The rows of this backup were written by a dump program, as 0.1.0 did.",
            hint="Restore it with `how_to_restore` of its manifest, or with ci-migrate 0.1.0.",
        )
    if about.lower_case_table_names not in (None, lower_case):
        raise BackupError(
            f"The backup is of a server with lower_case_table_names = {about.lower_case_table_names}, and"
            f" {access.server} has {lower_case}: tables would get other names, or programs would not find them.",
            hint="Restore it on a server that has the same. MySQL takes that setting when its data folder is made,"
            " MariaDB when it starts.",
        )
    filled = refuse_strange(about, stored, copy=copy)
    objects.create_tables(access, stored.tables, named=about.database)
    _load_rows(access, payload, about, filled, progress, Allowance(most))
    objects.create_programs(
        access,
        stored.programs,
        named=about.database,
        definers=not copy,
        events=events and not copy,
    )


def _must_be_empty(cursor: "Cursor", access: Access) -> None:
    cursor.execute(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s UNION ALL SELECT ROUTINE_NAME FROM"
        " information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s UNION ALL SELECT EVENT_NAME FROM"
        " information_schema.EVENTS WHERE EVENT_SCHEMA = %s LIMIT 1",
        [access.database] * 3,
    )
    if row := cursor.fetchone():
        raise BackupError(
            f"{access.place} is not empty ({row[0]} is there): a backup is never restored over it.",
            hint="Restore it into a fresh database.",
        )


def _load_rows(
    access: Access,
    payload: Path,
    about: About,
    filled: frozenset[str],
    progress: Progress,
    allowance: Allowance,
) -> None:
    stop = threading.Event()
    done = dict.fromkeys(about.rows, 0)

    def run(name: str) -> None:
        def took(size: int) -> None:
            done[name] += size
            if stop.is_set():
                raise _StoppedError("The restore was stopped.")

        try:
            with open_decompressed(payload / name, allowance) as file, _session(access) as connection:
                _send(access, connection, read_statements(file), filled, took)
        except (OSError, NotRowsError, *DecompressionError) as error:
            raise BackupError(
                f"{name} of the dump in {payload.name} is missing or damaged: {error}."
            ) from error

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        jobs = [pool.submit(run, name) for name in about.rows]
        try:
            while (waiting := wait(jobs, 0.25, FIRST_EXCEPTION)).not_done:
                progress(sum(done.values()), 0)
                if any(job.exception() for job in waiting.done):
                    break
        finally:
            stop.set()
    failed = [error for job in jobs if (error := job.exception()) is not None]
    if failed:
        raise next((error for error in failed if not isinstance(error, _StoppedError)), failed[0])
    progress(sum(done.values()), sum(done.values()))


@contextmanager
def _session(access: Access) -> "Iterator[Connection[Cursor]]":
    """A session that takes rows as they are, and commits when it is told to."""
    import pymysql

    with closing(access.connect()) as connection, access.translate_errors():
        cursor = connection.cursor()
        cursor.execute(read_flavour(cursor).no_statement_limit)
        for statement in SESSION:
            cursor.execute(statement)
        for statement in MARIADB:
            with suppress(pymysql.MySQLError):  # MySQL, and older ones of MariaDB, don't know it
                cursor.execute(statement)
        connection.autocommit(False)
        yield connection


def _send(
    access: Access,
    connection: "Connection[Cursor]",
    statements: Iterator[tuple[str, bytes]],
    allowed: frozenset[str],
    took: Callable[[int], None],
) -> None:
    """Run them, with one commit per table."""
    import pymysql

    filled = ""
    for table, statement in statements:
        if table and table not in allowed:
            raise NotRowsError(f"it has rows for {table}, which is no table of the dump with rows of its own")
        if table and table != filled:
            connection.commit()
            filled = table
        try:
            connection.query(statement)
        except pymysql.MySQLError as error:
            raise BackupError(
                f"{access.place} refused rows of table {table or 'after ' + filled}: {access.explain(error)}."
            ) from error
        took(len(statement))
    connection.commit()


class _StoppedError(BackupError):
    """The other session has failed."""
