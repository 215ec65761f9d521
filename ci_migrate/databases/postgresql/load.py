"""A restore of a dump into an empty database: what of it this role, on this server, can have, and why not the rest."""

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.base import Progress, no_progress
from ci_migrate.databases.compression import Allowance
from ci_migrate.databases.postgresql import archive as archives
from ci_migrate.databases.postgresql import tools
from ci_migrate.databases.postgresql.about import About, Privileged
from ci_migrate.databases.postgresql.archive import ARCHIVE
from ci_migrate.databases.postgresql.broken_rows import add_foreign_keys, checks_added_later
from ci_migrate.databases.postgresql.catalog import RELATIONS, pin, users_schema
from ci_migrate.databases.postgresql.dump import Job
from ci_migrate.databases.postgresql.entries import Entry, dependent, entries
from ci_migrate.databases.postgresql.lacks import Lacks, Roles, quote_part
from ci_migrate.databases.postgresql.privileged import may_not_make, reasons_for
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.streams import Streams
from ci_migrate.databases.postgresql.tables import NOT_WITHOUT_ALL_ROWS
from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.tempdirs import private_folder

if TYPE_CHECKING:
    import psycopg

NOT_INTO_A_COPY = ("USER MAPPING", "SUBSCRIPTION")
"""What would let a scratch copy reach another database. Foreign servers without a user mapping can't be used."""

_NOT_FILLED = f"""
WITH {RELATIONS}
SELECT 'materialized view ' || key, pg_catalog.quote_ident(nspname) || '.' || pg_catalog.quote_ident(relname)
FROM rel WHERE relkind = 'm' AND NOT relispopulated ORDER BY oid"""

_ANALYZED = """
SELECT pg_catalog.format('%I.%I', nspname, relname),
  pg_catalog.sum(pg_catalog.pg_relation_size(c.oid)) OVER ()
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p', 'm') AND NOT relispartition AND NOT pg_catalog.pg_is_other_temp_schema(n.oid)
ORDER BY pg_catalog.pg_relation_size(c.oid) DESC"""
"""What ANALYZE alone reads; a partitioned table has its partitions read with it. Run with no search_path: the restored
database may have functions and operators of these names, whose arguments fit better."""

_SMALL = 64 * 1024 * 1024
"""Bytes of a database whose statistics are not worth a second session."""

_SECONDS = 1.0
"""Between two looks at how large the restored database is."""

SEARCH_PATH = b"SELECT pg_catalog.set_config('search_path', '', false);\n"
"""What pg_dump writes into each archive, once: where restored expressions look for names without a schema: nowhere."""


def load_dump(
    job: Job,
    payload: Path,
    progress: Progress = no_progress,
    *,
    owners_needed: bool = False,
    copy: bool = False,
    most: int | None = None,
) -> Lacks:
    """Restore a dump into an empty database.

    Args:
        job: the database and the tools.
        payload: the folder that `write_dump` wrote into.
        progress: called meanwhile.
        owners_needed: refuse where this role can't give objects to an owner that others could grant to it.
        copy: it is a scratch copy: what leads to other databases is left out.
        most: bytes that the dump may unpack to; None for any number.

    Raises:
        BackupError: it is not empty, the dump is damaged, a role or an extension is missing, there is no room, or it
            failed.
        ToolError: there is no program that can read it.
    """
    about = About.read(payload)
    lacks = Lacks()
    with job.access.session() as connection:
        _must_be_empty(connection, job.access)
        major = connection.info.server_version // 10000
        access = job.access.same_server(connection)
        roles = Roles.look(connection, about)
        if owners_needed:
            roles.refuse(access.user)
        denied = may_not_make(connection, about.privileged)
        _refuse_missing_extensions(connection, about, denied, access)
        _take_away(connection, about, access.user, lacks)
        elsewhere = _foreign_tablespaces(connection, about)
    tool = tools.find_tool("pg_restore", at_least=about.dumped_by, like=major, folder=job.client_tools)
    chosen = entries(tools.table_of_contents(tool, payload))
    chosen = _without_denied(chosen, denied, tool, payload, access.user, lacks)
    chosen = [entry for entry in chosen if not _left_out(entry, about, roles, copy=copy)]
    roles.tell(access.user, about, lacks)
    allowance, streams = Allowance(most), Streams()
    with (
        archives.unpack(
            payload / ARCHIVE, about.unpacked, job.workers, progress, allowance,
            streams if tools.connects(tool, major) else None,
        ) as unpacked,
        _looking_in(about.search_path, unpacked) as archive,
        _watching(job.access, archive, allowance, progress, streams) as watch,
    ):  # fmt: skip
        options = [
            *(["--no-owner"] if roles.missing else []),
            *(["--no-privileges"] if roles.no_rights(about) else []),
            *(["--no-tablespaces"] if elsewhere else []),
            f"--jobs={job.workers}",
        ]

        def restore(some: Sequence[Entry], *more: str) -> None:
            with _listed(some) as listed:
                given = [*options, f"--use-list={listed}", *more]
                tools.restore(tool, archive, given, access, server=major, watch=watch)

        keys = _foreign_keys(chosen, tool, payload)
        rest = [entry for entry in chosen if entry.number not in {key.number for key in keys}]
        if about.broken:
            restore(rest, "--section=pre-data")
            with checks_added_later(job.access, about.broken, about.search_path):
                restore(rest, "--section=data", "--section=post-data")
        else:
            restore(rest)
        try:
            if keys:
                restore(keys)
        except BackupError:  # rows break one, or something else is wrong, which shows then
            statements = [tools.statement_of(tool, archive, key.line) for key in keys]
            add_foreign_keys(job.access, statements, lacks)
    with job.access.session() as connection:
        if not about.partial:
            _refresh(connection, about, access, lacks)
        _compare_versions(connection, about, lacks)
        _analyze(connection, job)
    return lacks


# --------------------------------------------------------------------------- before: what can be had here


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


def _refuse_missing_extensions(
    connection: "psycopg.Connection[Any]", about: About, denied: Sequence[Privileged], access: Access
) -> None:
    left_out = {one.members[0].key for one in denied}
    wanted = sorted(name for name, _ in about.extensions if f"extension {quote_part(name)}" not in left_out)
    rows = connection.execute("SELECT name FROM pg_available_extensions WHERE name = ANY(%s)", [wanted])
    if missing := sorted(set(wanted) - {row[0] for row in rows}):
        raise BackupError(
            f"The server at {access.server} does not have the extension {', '.join(missing)}.",
            hint='Install it there, or name a server that has it: scratch = "URL"',
        )


def _take_away(connection: "psycopg.Connection[Any]", about: About, role: str, lacks: Lacks) -> None:
    """What each new database has and the dumped one has not."""
    import psycopg

    for statement in about.absent:
        try:
            connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            key = statement.removeprefix("DROP ").lower()
            why = f"each new database has it, and role {role} may not drop it there"
            lacks.reasons[key] = lacks.reasons[f"owner {key}"] = why
            lacks.starts[f"grant {key} to "] = why


def _foreign_tablespaces(connection: "psycopg.Connection[Any]", about: About) -> bool:
    """Whether there are tablespaces of the dump that this role can't use here."""
    rows = connection.execute(
        "SELECT spcname FROM pg_tablespace WHERE spcname = ANY(%s) AND has_tablespace_privilege(oid, 'CREATE')",
        [list(about.tablespaces)],
    )
    return bool(set(about.tablespaces) - {row[0] for row in rows})


# --------------------------------------------------------------------------- which entries


def _without_denied(
    chosen: list[Entry],
    denied: Sequence[Privileged],
    tool: tools.Tool,
    payload: Path,
    role: str,
    lacks: Lacks,
) -> list[Entry]:
    """Without what this role may not make, and what depends on that. Raises BackupError where rows do."""
    if not denied:
        return chosen
    left_out = dependent(tools.table_of_contents(tool, payload, verbose=True), {one.entry for one in denied})
    tables = [entry.text for entry in chosen if entry.number in left_out and entry.is_a("TABLE DATA")]
    if tables:
        keys = ", ".join(one.members[0].key for one in denied)
        raise BackupError(
            f"Role {role} may not make {keys}, and tables depend on that: {', '.join(tables[:3])}.",
            hint='A superuser may: scratch = "URL" for dry runs; restore with the URL of one.',
        )
    for member, why in reasons_for(denied, role).items():
        lacks.leave_out(member, why)
    return [entry for entry in chosen if entry.number not in left_out]


def _left_out(entry: Entry, about: About, roles: Roles, *, copy: bool) -> bool:
    kinds = [
        "MATERIALIZED VIEW DATA",  # a query that fails today must not end the restore: see _refresh
        *(NOT_INTO_A_COPY if copy else ()),
        *(NOT_WITHOUT_ALL_ROWS if about.partial else ()),
    ]
    if entry.is_a(*kinds):
        return True
    if entry.is_a("DEFAULT ACL"):
        return entry.text.endswith(tuple(f" {role}" for role in (*roles.missing, *roles.unknown)))
    return entry.is_a("POLICY") and bool(
        set(dict(about.policies).get(entry.oid, ())).intersection(roles.unknown)
    )


# --------------------------------------------------------------------------- the restore


@contextmanager
def _listed(chosen: Iterable[Entry]) -> Iterator[str]:
    """A file for `--use-list`."""
    with tempfile.NamedTemporaryFile("w", prefix="ci-migrate-", encoding="utf-8") as listed:
        listed.writelines(entry.line + "\n" for entry in chosen)
        listed.flush()
        yield listed.name


def _foreign_keys(chosen: Sequence[Entry], tool: tools.Tool, payload: Path) -> list[Entry]:
    """The entries of foreign keys, with the comments on them: they come last, since rows may break one."""
    keys = {entry.object for entry in chosen if entry.is_a("FK CONSTRAINT")}
    if not keys:
        return []
    numbers = dependent(tools.table_of_contents(tool, payload, verbose=True), keys)
    return [entry for entry in chosen if entry.number in numbers]


@contextmanager
def _looking_in(search_path: str, archive: Path) -> Iterator[Path]:
    """The archive, with a search_path if it needs one.

    A CHECK, a generated column, an index or a materialized view may call a function whose body names things without
    their schema. On the database that works by its search_path; pg_dump restores with an empty one.

    Raises:
        BackupError: pg_dump writes its archives otherwise than was known.
    """
    if not search_path:
        yield archive
        return
    toc = (archive / "toc.dat").read_bytes()
    literal = search_path.replace("'", "''")
    statement = f"SELECT pg_catalog.set_config('search_path', '{literal}', false);\n".encode()
    # a text stands behind its length: a sign, then four bytes (WriteStr and WriteInt in pg_backup_archiver.c)
    old, new = (b"\0" + len(text).to_bytes(4, "little") + text for text in (SEARCH_PATH, statement))
    if toc.count(old) != 1:
        raise BackupError("The list of the dump is written otherwise than by pg_dump 13 to 18.")
    with private_folder() as folder:
        archives.link(archive, folder, lambda path: path.name != "toc.dat")
        (folder / "toc.dat").write_bytes(toc.replace(old, new))
        yield folder


@contextmanager
def _watching(
    access: Access, archive: Path, allowance: Allowance, progress: Progress, streams: Streams
) -> Iterator[Callable[[], None]]:
    """What is called while pg_restore runs, which unpacks zlib by itself: it may not fill the server's disk.

    We don't unpack that: it was chosen where there was no room for the whole.
    """

    def stay() -> None:
        streams.check()
        progress(0, 0)

    if allowance.most is None or next(archive.glob("*.gz"), None) is None:
        yield stay
        return
    with access.session() as connection:
        last = time.monotonic()

        def look() -> None:
            nonlocal last
            stay()
            if time.monotonic() - last > _SECONDS:
                row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
                last = time.monotonic()
                allowance.check(row[0] if row else 0)

        yield look


def _refresh(connection: "psycopg.Connection[Any]", about: About, access: Access, lacks: Lacks) -> None:
    """Fill the materialized views that were filled; one whose query fails stays empty, which is told."""
    import psycopg

    if about.search_path:
        connection.execute("SELECT set_config('search_path', %s, false)", [about.search_path])
    connection.execute("SET statement_timeout = 0")
    rows = connection.execute(_NOT_FILLED).fetchall()
    waiting = [(key, name) for key, name in rows if key not in about.not_filled]
    while waiting:
        failed = []
        for key, name in waiting:
            try:
                connection.execute(f"REFRESH MATERIALIZED VIEW {name}".encode(connection.info.encoding))
            except psycopg.Error as error:
                if connection.closed:
                    raise
                lacks.reasons[key] = f"its query fails there: {access.explain(error)}"
                failed.append((key, name))
            else:
                lacks.reasons.pop(key, None)
        if len(failed) == len(waiting):  # those that read others had to wait for them
            break
        waiting = failed
    connection.execute("RESET search_path")


def _compare_versions(connection: "psycopg.Connection[Any]", about: About, lacks: Lacks) -> None:
    versions = dict(about.extensions)
    for name, version in connection.execute("SELECT extname, extversion FROM pg_extension").fetchall():
        if (then := versions.get(name, version)) != version:
            why = f"it was version {then}, this server makes {version}"
            lacks.reasons[f"extension {quote_part(name)}"] = why


def gather_statistics(job: Job) -> None:
    """Of all tables, as of now. Raises DatabaseError."""
    with job.access.session() as connection:
        _analyze(connection, job)


def _analyze(connection: "psycopg.Connection[Any]", job: Job) -> None:
    """Statistics of all tables, the largest first, several at a time."""
    with connection.transaction():
        pin(connection)
        rows = connection.execute(_ANALYZED).fetchall()
    if job.workers == 1 or not rows or rows[0][1] < _SMALL:
        connection.execute("ANALYZE")
        return
    waiting = deque(name for name, _ in rows)
    at_work: list[psycopg.Connection[Any]] = []

    def work() -> None:
        with job.access.session() as session:
            at_work.append(session)
            session.execute("SET statement_timeout = 0")
            with suppress(IndexError):
                while True:
                    session.execute(f"ANALYZE {waiting.popleft()}".encode(session.info.encoding))

    with ThreadPoolExecutor(job.workers) as pool:
        try:
            for done in [pool.submit(work) for _ in range(job.workers)]:
                done.result()
        except BaseException:  # a signal, too: one large table may take minutes
            waiting.clear()
            for session in at_work:
                with suppress(DatabaseError), job.access.translate_errors():
                    session.cancel()
            raise
