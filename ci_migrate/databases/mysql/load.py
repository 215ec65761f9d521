"""Restores of MySQL and MariaDB into an empty database."""

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from ci_migrate.databases.base import Progress, no_progress
from ci_migrate.databases.compression import DecompressionError, chunks
from ci_migrate.databases.mysql import objects, tools
from ci_migrate.databases.mysql.catalog import read_flavour
from ci_migrate.databases.mysql.payload import SIDE_BY_SIDE, About, read_payload
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.errors import BackupError

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

SCRATCH = "ci_migrate_scratch_"
"""What the name of each scratch copy starts with; the run id follows."""

HISTORY = "/*M!101100 , system_versioning_insert_history = 1 */"

CLIENT_ARGUMENTS = (
    "--batch",
    "--binary-mode",
    "--no-auto-rehash",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
    # one commit per table (ENABLE KEYS makes one). Without unique_checks MariaDB fills tables in bulk: no gain measured
    # the dump program says the last for one table, and another file may have the next
    f"--init-command=SET SESSION autocommit = 0, foreign_key_checks = 0 {HISTORY}",
)


def load(
    access: Access,
    payload: Path,
    progress: Progress = no_progress,
    *,
    client_tools: str | None = None,
    programs_as: Access | None = None,
    events: bool = True,
) -> None:
    """Restore a dump into a database, which must be empty.

    Args:
        access: the database.
        payload: the folder that `dump` wrote into.
        progress: called with compressed bytes.
        client_tools: the folder of the client, if configured.
        programs_as: who makes routines, views, triggers and events, and so whose rights they run with. None keeps
            their definers; in a scratch copy, whose programs must not have anybody else's rights, it is `access`.
        events: events may run; never in a scratch copy.

    Raises:
        BackupError: the database is not empty, the dump is damaged or of another engine, or a statement was refused.
        ToolError: there is no client for this server.
    """
    about, stored = read_payload(payload)
    copy = access.database.startswith(SCRATCH)
    with access.session() as cursor:
        flavour = read_flavour(cursor)
        _must_be_empty(cursor, access)
    if (about.flavour, *about.version) > (flavour.name, *flavour.version) or about.flavour != flavour.name:
        raise BackupError(
            f"The backup is of {about.flavour} {about.version[0]}.{about.version[1]}, and {access.server} is"
            f" {flavour.name} {flavour.text}.",
            hint="Restore it on a server of the same kind that is not older.",
        )
    client = tools.find_tool(tools.CLIENT, flavour, client_tools)
    objects.create_tables(access, stored.tables, named=about.database)
    _load_rows(access, payload, about, client, progress)
    objects.create_programs(
        programs_as or access,
        stored.programs,
        named=about.database,
        definers=programs_as is None and not copy,
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


def _load_rows(access: Access, payload: Path, about: About, client: tools.Tool, progress: Progress) -> None:
    stop = threading.Event()
    done = dict.fromkeys(about.rows, 0)
    files = {name: payload / name for name in about.rows}
    total = sum(path.stat().st_size for path in files.values() if path.exists())

    def pieces(name: str) -> Iterator[bytes]:
        for piece in chunks(files[name]):
            if stop.is_set():
                raise _StoppedError("The restore was stopped.")
            done[name] += len(piece)
            yield piece

    def run(name: str) -> None:
        try:
            tools.write_to(client, [*CLIENT_ARGUMENTS, "--", access.database], access, pieces(name))
        except (OSError, *DecompressionError) as error:
            raise BackupError(
                f"{name} of the dump in {payload.name} is missing or damaged: {error}."
            ) from error

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        jobs = [pool.submit(run, name) for name in files]
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
    progress(total, total)


class _StoppedError(BackupError):
    """The other client has failed."""
