"""A dump of PostgreSQL and its restore into an empty database: pg_dump, pg_restore, and the order around them."""

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.base import Dumped, Progress
from ci_migrate.databases.postgresql import archive as archives
from ci_migrate.databases.postgresql import large_objects, tools
from ci_migrate.databases.postgresql.archive import ARCHIVE
from ci_migrate.databases.postgresql.broken_rows import WHY, find_broken
from ci_migrate.databases.postgresql.catalog import (
    LEDGER_SCHEMA,
    pin,
    read_schema,
)
from ci_migrate.databases.postgresql.contents import Digests
from ci_migrate.databases.postgresql.facts import read_about, read_exceptions
from ci_migrate.databases.postgresql.rows import Table, list_tables, read_counts, read_heads
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.snapshot import Locks, Snapshot
from ci_migrate.databases.postgresql.tables import without_rows_of_others
from ci_migrate.databases.postgresql.unseen import read_sequences, read_unseen
from ci_migrate.errors import BackupError
from ci_migrate.model import RowCount, VersionTable

if TYPE_CHECKING:
    import psycopg


_BLOCK = 4096
"""Bytes that file systems give a file at a time."""


@dataclass(frozen=True)
class Job:
    """What the programs are run with: the database, the folder of the programs, workers, seconds to wait for locks.

    `compare_budget` is the setting.
    """

    access: Access
    client_tools: str | None
    workers: int
    lock_timeout: float
    compare_budget: float | None = None


class _Growth:
    """How many bytes are in a folder that is being filled.

    Looked at more seldom the longer that takes: pg_dump writes a file for each large object.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bytes = 0
        self._next = 0.0

    def now(self) -> int:
        if (began := time.monotonic()) >= self._next:
            self._bytes = _bytes_in(self._folder)
            ended = time.monotonic()
            self._next = ended + 20 * (ended - began)
        return self._bytes


def _bytes_in(folder: Path) -> int:
    """With what the last block of each file wastes."""
    size = 0
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for entry in found:
            with suppress(FileNotFoundError):
                size += -(-entry.stat().st_size // _BLOCK) * _BLOCK
    return size


def _secrets(connection: "psycopg.Connection[Any]") -> tuple[str, ...]:
    """What of a dump by this role holds passwords: it gets only those that the role may see."""
    counted = connection.execute(
        "SELECT (SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL), (SELECT count(subname)"
        " FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    ).fetchone()
    kinds = ("user mappings", "subscriptions")
    return tuple(f"{count} {kind}" for count, kind in zip(counted or (), kinds, strict=False) if count)


def _refuse_unseen(connection: "psycopg.Connection[Any]", tables: Sequence[Table]) -> None:
    """Raise BackupError where this role does not see all rows: a dump without them would be no way back."""
    unseen = [table for table in tables if table.unseen]
    if not unseen:
        return
    first, more = unseen[0], f", and {len(unseen) - 1} more such tables" if len(unseen) > 1 else ""
    # not who logs in, if that is another
    row = connection.execute("SELECT quote_ident(current_user)").fetchone()
    user = row[0] if row else ""
    grant = f"GRANT pg_read_all_data TO {user};"
    if first.unseen.startswith("row level security"):
        grant = f"ALTER ROLE {user} BYPASSRLS;"
    elif connection.info.server_version < 140000:  # which has no such role
        grant = f"GRANT SELECT ON {first.key} TO {user};"
    raise BackupError(
        f"Role {user} can't back up {first.key}: {first.unseen}{more}.",
        hint=f'{grant}  or a role that may read all of it: read-url = "URL"',
    )


def write_dump(
    connection: "psycopg.Connection[Any]",
    job: Job,
    into: Path,
    version_tables: Sequence[VersionTable],
    progress: Progress,
    only: Sequence[str] | None = None,
) -> Dumped:
    """Dump the database that `connection` reads in one transaction, of that moment; then read the dump as proof.

    Args:
        connection: in that transaction.
        job: the database and the tools.
        into: an empty folder.
        version_tables: whose rows are told.
        progress: called meanwhile.
        only: the tables whose rows are wanted; None for all.

    Raises:
        BackupError: it failed, what was written can't be read again, or rows are in the wrong partition.
        ToolError: a program is missing or too old.
    """
    archive = into / ARCHIVE
    major = connection.info.server_version // 10000
    tool = tools.find_tool("pg_dump", at_least=major, like=major, folder=job.client_tools)
    reader = tools.find_tool("pg_restore", at_least=tool.major, like=major, folder=job.client_tools)
    fact = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert fact is not None
    size = fact[0]
    snapshot = Snapshot(connection, job.access)
    access = snapshot.access
    sequences = {} if only is not None else read_sequences(connection, access)
    leaves = [t for t in list_tables(connection, only) if t.kind == "r"]
    _refuse_unseen(connection, leaves)
    locks = Locks.look(connection)
    compression = tools.compression(tool)
    # packing afterwards needs room for both; the tool's own zlib is slower and needs less
    packing = compression == tools.ZLIB and shutil.disk_usage(into).free > 2 * size
    arguments = [
        "--format=directory",
        f"--jobs={locks.workers(job.workers)}",
        "--compress=0" if packing else compression,
        f"--snapshot={snapshot.name}",
        f"--exclude-schema={LEDGER_SCHEMA}",
        "--no-sync",  # each file is flushed when the backup is published: twice, 100,000 of them take minutes
        f"--lock-wait-timeout={job.lock_timeout * 1000:.0f}",
        f"--file={archive}",
        # no table's row is one, and they may hold what rows were left out for; since 16 it is an alias
        *([] if only is None else ["--no-blobs", *without_rows_of_others(connection, only, version_tables)]),
    ]
    try:
        digests = Digests(
            connection,
            snapshot,
            leaves,
            sessions=max(1, job.workers // 2),
            budget=job.compare_budget,
        )
        with digests.running():
            growth = _Growth(archive)
            tools.run_client(tool, arguments, access, lambda: progress(growth.now(), 0))
            unpacked = _bytes_in(archive)
            tars = large_objects.gather(archive)
            if packing:
                archives.pack(archive, job.workers, progress)
    except BackupError as error:
        free = f"{shutil.disk_usage(into).free:,} bytes are free in {into}."
        raise BackupError(error.what, hint=locks.hint or free) from error
    archives.prove(archive, tools.table_of_contents(reader, into), job.workers)
    heads = read_heads(connection, version_tables)
    search_path = connection.execute("SHOW search_path").fetchone()
    broken = find_broken(connection, access, leaves)
    pin(connection)
    read_about(
        connection,
        dumped_by=tool.major,
        search_path=search_path[0] if search_path else "",
        # without any rows no foreign key lacks what it leads to
        partial=bool(only),
        unpacked=unpacked if packing else 0,
        broken=broken,
    ).write(into)
    return Dumped(
        schema=read_schema(connection),
        row_counts={
            **read_counts(
                connection, access, [t.key for t in leaves if t.key not in digests.contents], exact=False
            ),
            **{name: RowCount(rows=held.rows) for name, held in digests.contents.items()},
        },
        contents=digests.contents,
        samples=digests.samples,
        sequences={n: at for n, at in read_sequences(connection, access).items() if sequences.get(n) == at},
        not_digested=digests.reasons if only is not None else digests.reasons | read_unseen(connection),
        heads=heads,
        engine_version=f"PostgreSQL {connection.info.parameter_status('server_version')}",
        tool_version=tool.words,
        secrets=_secrets(connection),
        exceptions=(*read_exceptions(connection), *((key, WHY) for one in broken for key in one.keys)),
        how_to_restore=_how_to_restore(job.workers, packed=packing, tars=bool(tars)),
    )


def _how_to_restore(workers: int, *, packed: bool, tars: bool) -> str:
    """The commands of somebody without ci-migrate."""
    steps = [f"zstd -d --rm {ARCHIVE}/*{'' if packed else '.tar'}.zst"] if packed or tars else []
    steps += [f'for f in {ARCHIVE}/*.tar; do tar -xf "$f" -C {ARCHIVE}; done'] if tars else []
    steps += [
        "createdb --template=template0 NEW_DATABASE",
        f"pg_restore --jobs={workers} --exit-on-error --dbname=NEW_DATABASE {ARCHIVE}",
    ]
    return " && ".join(steps)
