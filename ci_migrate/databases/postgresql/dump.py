"""A dump of PostgreSQL and its restore into an empty database: pg_dump, pg_restore, and the order around them."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.base import Dumped, Progress, no_progress
from ci_migrate.databases.postgresql import archive as archives
from ci_migrate.databases.postgresql import tools
from ci_migrate.databases.postgresql.archive import ARCHIVE
from ci_migrate.databases.postgresql.catalog import (
    GUARD_SCHEMA,
    LEDGER_SCHEMA,
    pin,
    read_schema,
    users_schema,
)
from ci_migrate.databases.postgresql.contents import digesting
from ci_migrate.databases.postgresql.rows import list_tables, read_counts, read_heads
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.tables import NOT_WITHOUT_ALL_ROWS, without_rows_of_others
from ci_migrate.errors import BackupError
from ci_migrate.model import RowCount, VersionTable

if TYPE_CHECKING:
    import psycopg

NOT_INTO_A_COPY = ("USER MAPPING", "SUBSCRIPTION")
"""What would let a scratch copy reach another database. Foreign servers without a user mapping can't be used."""

_ROLES = """
SELECT s.deptype = 'o', pg_get_userbyid(s.refobjid)
FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype IN ('o', 'a', 'r', 'i')
UNION SELECT true, pg_get_userbyid(owner) FROM (
  SELECT relowner AS owner FROM pg_class WHERE oid >= 16384 UNION SELECT nspowner FROM pg_namespace WHERE oid >= 16384
  UNION SELECT proowner FROM pg_proc WHERE oid >= 16384 UNION SELECT typowner FROM pg_type WHERE oid >= 16384
  UNION SELECT defaclrole FROM pg_default_acl) o"""
"""Roles that the database's objects name: owners (true) and those with grants or policies. The role that made the
cluster is in no dependency, hence the second half."""


@dataclass(frozen=True)
class Job:
    """What the programs are run with: the database, the folder of the programs, workers, seconds to wait for locks."""

    access: Access
    client_tools: str | None
    workers: int
    lock_timeout: float


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*") if path.exists())


def _secrets(connection: "psycopg.Connection[Any]") -> tuple[str, ...]:
    """What of a dump by this role holds passwords: it gets only those that the role may see."""
    counted = connection.execute(
        "SELECT (SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL), (SELECT count(subname)"
        " FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    ).fetchone()
    kinds = ("user mappings", "subscriptions")
    return tuple(f"{count} {kind}" for count, kind in zip(counted or (), kinds, strict=False) if count)


def _not_ours(connection: "psycopg.Connection[Any]", roles: Sequence[str]) -> list[str]:
    """Those of these roles that don't exist, or that this session may not give objects to."""
    # until 15 a member may always SET ROLE
    privilege = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    rows = connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND pg_has_role(oid, %s)",
        [list(roles), privilege],
    )
    return sorted(set(roles) - {row[0] for row in rows})


def _unknown(connection: "psycopg.Connection[Any]", roles: Sequence[str]) -> list[str]:
    rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(roles)])
    return sorted(set(roles) - {row[0] for row in rows})


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
        BackupError: it failed, or what was written can't be read again.
        ToolError: a program is missing or too old.
    """
    archive = into / ARCHIVE
    major = connection.info.server_version // 10000
    tool = tools.find_tool("pg_dump", at_least=major, like=major, folder=job.client_tools)
    reader = tools.find_tool("pg_restore", at_least=tool.major, like=major, folder=job.client_tools)
    fact = connection.execute("SELECT pg_export_snapshot(), pg_database_size(current_database())").fetchone()
    assert fact is not None
    snapshot, size = fact
    leaves = [t for t in list_tables(connection, only) if t.kind == "r"]
    compression = tools.compression(tool)
    # packing afterwards needs room for both; the tool's own zlib is slower and needs less
    packing = compression == tools.ZLIB and shutil.disk_usage(into).free > 2 * size
    arguments = [
        "--format=directory",
        f"--jobs={job.workers}",
        "--compress=0" if packing else compression,
        f"--snapshot={snapshot}",
        f"--exclude-schema={LEDGER_SCHEMA}",
        f"--lock-wait-timeout={job.lock_timeout * 1000:.0f}",
        f"--file={archive}",
        *([] if only is None else without_rows_of_others(connection, only, version_tables)),
    ]
    try:
        access = job.access.same_server(connection)
        with digesting(access, snapshot, leaves) as digested:
            tools.run_client(tool, arguments, access, lambda: progress(_bytes_in(archive), 0))
            unpacked = _bytes_in(archive)
            if packing:
                archives.pack(archive, job.workers, progress)
    except BackupError as error:
        free = shutil.disk_usage(into).free
        raise BackupError(error.what, hint=f"{free:,} bytes are free in {into}.") from error
    archives.prove(archive, tools.table_of_contents(reader, into), job.workers)
    heads = read_heads(connection, version_tables)
    pin(connection)
    roles = connection.execute(_ROLES).fetchall()
    tools.About(
        dumped_by=tool.major,
        owners=tuple(sorted({role for owns, role in roles if owns})),
        grantees=tuple(sorted({role for owns, role in roles if not owns})),
        partial=only is not None,
        unpacked=unpacked if packing else 0,
    ).write(into)
    return Dumped(
        schema=read_schema(connection),
        row_counts={
            **read_counts(connection, [t.key for t in leaves if t.key not in digested.contents], exact=False),
            **{name: RowCount(rows=held.rows) for name, held in digested.contents.items()},
        },
        contents=digested.contents,
        not_digested=digested.reasons,
        heads=heads,
        engine_version=f"PostgreSQL {connection.info.parameter_status('server_version')}",
        tool_version=tool.words,
        secrets=_secrets(connection),
        how_to_restore=(
            (f"zstd -d --rm {ARCHIVE}/*.zst && " if packing else "")
            + "createdb --template=template0 NEW_DATABASE && pg_restore"
            f" --jobs={job.workers} --exit-on-error --dbname=NEW_DATABASE {ARCHIVE}"
        ),
    )


def load_dump(
    job: Job,
    payload: Path,
    progress: Progress = no_progress,
    *,
    owners_needed: bool = False,
    copy: bool = False,
) -> None:
    """Restore a dump into an empty database.

    Args:
        job: the database and the tools.
        payload: the folder that `write_dump` wrote into.
        progress: called meanwhile.
        owners_needed: refuse where an owner is missing, instead of giving all to the role that restores.
        copy: it is a scratch copy: what leads to other databases is left out.

    Raises:
        BackupError: it is not empty, the dump is damaged, a role is missing, there is no room, or it failed.
        ToolError: there is no program that can read it.
    """
    about = tools.About.read(payload)
    with job.access.session() as connection:
        _must_be_empty(connection, job.access)
        major = connection.info.server_version // 10000
        access = job.access.same_server(connection)
        missing_owners = _not_ours(connection, about.owners)
        missing_grantees = _unknown(connection, about.grantees)
    if owners_needed and missing_owners:
        raise BackupError(
            f"Role {access.user} can't restore what belongs to {', '.join(missing_owners)}.",
            hint=f"GRANT {', '.join(missing_owners)} TO {access.user};  (or restore as a superuser)",
        )
    tool = tools.find_tool("pg_restore", at_least=about.dumped_by, like=major, folder=job.client_tools)
    left_out = [
        *(NOT_INTO_A_COPY if copy else ()),
        *(("DEFAULT ACL",) if missing_owners else ()),
        *(NOT_WITHOUT_ALL_ROWS if about.partial else ()),
    ]
    with (
        tempfile.NamedTemporaryFile("w", prefix="ci-migrate-", encoding="utf-8") as chosen,
        archives.unpack(payload / ARCHIVE, about.unpacked, job.workers, progress) as archive,
    ):
        for line in tools.table_of_contents(tool, payload):
            # `4032; 1418 16390 USER MAPPING - USER MAPPING alice SERVER there bob`
            entry = line.split(" ", 3)[3:]
            if GUARD_SCHEMA in line:  # a copy has none; a database that is replaced gets it anew
                continue
            if not line.startswith(";") and not (entry and entry[0].startswith(tuple(left_out))):
                chosen.write(line + "\n")
        chosen.flush()
        options = [
            *(["--no-owner"] if missing_owners else []),
            *(["--no-privileges"] if missing_grantees else []),
            f"--use-list={chosen.name}",
            f"--jobs={job.workers}",
        ]
        tools.restore(tool, archive, options, access, server=major, watch=lambda: progress(0, 0))
    with job.access.session() as connection:
        connection.execute("ANALYZE")


def _must_be_empty(connection: "psycopg.Connection[Any]", access: Access) -> None:
    row = connection.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE {users_schema('n')} LIMIT 1"
    ).fetchone()
    if row is not None:
        raise BackupError(
            f"{access.place} is not empty ({row[0]} is there): a backup is never restored over it.",
            hint="Restore it into a fresh database.",
        )
