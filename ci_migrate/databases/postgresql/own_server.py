"""PostgreSQL servers of our own: a new, empty one, or one on a copy of the files of the target's server."""

import os
import pwd
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL

from ci_migrate.databases.own_server import give, refuse_unfit_folder, run_as, server_folder, serving
from ci_migrate.databases.postgresql.copies import create_database
from ci_migrate.databases.postgresql.session_defaults import put_settings, settings_of
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.tools import Tool, find_tool
from ci_migrate.errors import BackupError, DatabaseError, ToolError

if TYPE_CHECKING:
    import psycopg

PORT = "54329"
"""A part of the socket's name alone: the server listens to no network. The usual one may be the target's, and two
sockets with one number are told as one place."""

OWNER = "ci_migrate_root"
"""The superuser of a new server. Not `postgres`: that is no superuser at many hosts, and may be who migrates."""

LIKE_TARGET = "ci_migrate_like_target"
"""The database of a new server that scratch copies are made like."""

CARRIED = (
    "max_active_replication_origins",
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_worker_processes",
    "wal_level",
)
"""What must not be less than on the target's server: with less of some of them a copy of its files does not start, or a
migration runs out of locks that has enough there."""

OURS = {
    "archive_cleanup_command": "",
    "archive_mode": "off",
    "autovacuum": "off",
    "cluster_name": "ci-migrate",
    "external_pid_file": "",
    "fsync": "off",
    "full_page_writes": "off",
    "hot_standby": "off",
    "huge_pages": "try",
    "listen_addresses": "",
    "local_preload_libraries": "",
    "log_destination": "stderr",
    "logging_collector": "off",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "port": PORT,
    "primary_conninfo": "",
    "recovery_end_command": "",
    "recovery_target_action": "promote",
    "session_preload_libraries": "",
    "shared_buffers": "128MB",
    "shared_preload_libraries": "",
    "ssl": "off",
    "synchronous_commit": "off",
    "synchronous_standby_names": "",
    "unix_socket_group": "",
    "unix_socket_permissions": "0700",
}
"""As arguments, which win over postgresql.auto.conf: a copy of a server's files brings that along. No network, no
replication, no library that acts by itself (pg_cron would run its jobs on the copy), and nothing for safety's sake: the
copy is thrown away. https://www.postgresql.org/docs/current/app-postgres.html"""

_NOT_CARRIED = ("client_encoding", "default_tablespace", "search_path", "temp_tablespaces")
"""search_path belongs to the database or the role; tablespaces are not there."""

_NO_RECOVERY = "standby.signal"


@dataclass(frozen=True)
class Facts:
    """What a server of our own takes over from the target's."""

    major: int
    user: str
    limits: Mapping[str, str]
    defaults: Mapping[str, str]
    data_directory: str | None
    database: Mapping[str, Any] = field(default_factory=dict)
    settings: list[tuple[str, str]] = field(default_factory=list)
    roles: list[tuple[Any, ...]] = field(default_factory=list)
    members: list[tuple[str, str, bool]] = field(default_factory=list)

    @classmethod
    def of(cls, access: Access) -> "Facts":
        """Ask the target's server. Raises DatabaseError."""
        with access.session(read_only=True) as connection:
            limits = connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(CARRIED)]
            ).fetchall()
            defaults = connection.execute(
                "SELECT name, reset_val FROM pg_settings WHERE source = 'configuration file' AND context = 'user'"
                " AND NOT name = ANY(%s)",
                [[*_NOT_CARRIED, *OURS]],
            ).fetchall()
            told = connection.execute(
                "SELECT current_user::text,"
                " CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END,"
                " to_jsonb(d) || jsonb_build_object('encoding', pg_encoding_to_char(encoding))"
                " FROM pg_database d WHERE datname = current_database()"
            ).fetchone()
            assert told is not None
            return cls(
                major=connection.info.server_version // 10000,
                user=told[0],
                limits=dict(limits),
                defaults=dict(defaults),
                data_directory=told[1],
                database=told[2],
                settings=settings_of(connection, access.database, access.user),
                roles=_roles(connection),
                members=connection.execute(
                    "SELECT r.rolname, m.rolname, bool_or(a.admin_option) FROM pg_auth_members a"
                    " JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member GROUP BY 1, 2"
                ).fetchall(),
            )


def _roles(connection: "psycopg.Connection[Any]") -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles"
        " WHERE NOT starts_with(rolname, 'pg_') ORDER BY rolname"
    ).fetchall()


# --------------------------------------------------------------------------- a new one


@contextmanager
def new_server(target: Access, client_tools: str | None) -> Iterator[URL]:
    """A new server with the target's version, roles (none may log in) and settings.

    Yields:
        a database in it like the target's, for a superuser.

    Raises:
        DatabaseError: it does not start, or the target does not answer.
        ToolError: there are no programs of that version here.
    """
    facts = Facts.of(target)
    server, initdb = _programs(facts.major, client_tools, "postgres", "initdb")
    account = _account()
    with server_folder(account) as folder:
        data = folder / "data"
        arguments = ["-D", str(data), "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        try:
            run_as(account, [str(initdb.path), *arguments], _ENVIRONMENT)
        except ToolError as error:
            raise DatabaseError(
                f"A server of our own could not be made: {error.what}",
                hint=f"It runs as {account}, who must be able to come to {folder}: set TMPDIR."
                if account
                else "",
            ) from error
        with _serve(server, data, folder, account, facts, OWNER, "postgres") as access:
            _fill(access, facts)
            yield _url(access.elsewhere(LIKE_TARGET))


def _fill(access: Access, facts: Facts) -> None:
    """Make the roles of the target's server, and a database like the target's."""
    from psycopg import sql

    words = ("SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "BYPASSRLS")
    with closing(access.connect()) as admin, access.translate_errors():
        for name, *flags in facts.roles:
            has = " ".join(word if flag else f"NO{word}" for word, flag in zip(words, flags, strict=True))
            if name != OWNER:
                admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN " + has).format(sql.Identifier(name)))
        for role, member, admin_option in facts.members:
            if member == OWNER:  # a superuser, here and there
                continue
            grant = sql.SQL("GRANT {} TO {}" + (" WITH ADMIN OPTION" if admin_option else ""))
            admin.execute(grant.format(sql.Identifier(role), sql.Identifier(member)))
        create_database(admin, LIKE_TARGET, facts.database)
        put_settings(admin, LIKE_TARGET, facts.settings)


# --------------------------------------------------------------------------- one on a copy of files


@contextmanager
def server_on(data: Path, within: Path, target: Access, client_tools: str | None) -> Iterator[URL]:
    """A server on a copy of the files of the target's server: it recovers, and can reach no other one.

    Args:
        data: the copied data folder, which is changed.
        within: where all of the copy lies: as root it is given to the account that the server runs as.
        target: how the target is reached.
        client_tools: the folder of the programs, if configured.

    Yields:
        the copied database, for the role that logs in to the target.

    Raises:
        BackupError: that is no such folder.
        DatabaseError: the server does not start, or the target does not answer.
        ToolError: there are no programs of its version here.
    """
    facts = Facts.of(target)
    refuse_unfit_folder(data, facts.data_directory, "PG_VERSION", within=within)
    major = int((data / "PG_VERSION").read_text(encoding="ascii").split(".")[0])
    if major != facts.major:
        raise BackupError(f"{data} is of PostgreSQL {major}, the target's server is {facts.major}.")
    for name, why in (("postmaster.pid", "a server uses it, or did when it was copied"), (_NO_RECOVERY, "")):
        if (data / name).exists():
            raise BackupError(
                f"{data} has a {name}: {why or 'a server on it would wait for its primary for ever'}.",
                hint=f"Let provider-clone remove {name} from the copy.",
            )
    _refuse_map(data)
    (server,) = _programs(major, client_tools, "postgres")
    account = _account()
    with server_folder(account) as folder:
        give(within, account)
        with _serve(server, data, folder, account, facts, target.user, target.database) as access:
            _cut_off(access)
            yield _url(access)


def _refuse_map(data: Path) -> None:
    """Raise BackupError where a server that recovers here would make links to the live one's tablespaces."""
    try:
        lines = (data / "tablespace_map").read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return
    places = [line.partition(" ")[2] for line in lines if line.strip()]
    if places:
        raise BackupError(
            f"{data} has a tablespace_map: a server on it would make links to {', '.join(places)}.",
            hint="Let provider-clone copy these folders below {folder}, make the links of pg_tblspc lead there, and "
            "remove tablespace_map.",
        )


def _cut_off(access: Access) -> None:
    """Take away what leads from the copied database to others: a dump brings none of it into a copy either.

    Raises:
        DatabaseError: nobody on the copy may.
    """
    with access.session() as connection:
        mappings = connection.execute("SELECT srvname, usename FROM pg_user_mappings").fetchall()
        subscriptions = connection.execute(
            "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
            " WHERE d.datname = current_database()"
        ).fetchall()
        owner = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1"
        ).fetchone()
    if not mappings and not subscriptions:
        return
    if owner is None:
        raise DatabaseError("The copy has user mappings or subscriptions, and no superuser who can log in.")
    from psycopg import sql

    statements = [_drop_mapping(server, user) for server, user in mappings]
    for (name,) in subscriptions:
        leave = ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)")
        statements += [sql.SQL(t).format(sql.Identifier(name)) for t in (*leave, "DROP SUBSCRIPTION {}")]
    root = Access({**access.parameters, "user": owner[0]}, access.application_name)
    with root.session() as admin:
        for statement in statements:
            admin.execute(statement)


def _drop_mapping(server: str, user: str) -> Any:
    from psycopg import sql

    whom = sql.SQL("PUBLIC") if user == "public" else sql.Identifier(user)
    return sql.SQL("DROP USER MAPPING FOR {} SERVER {}").format(whom, sql.Identifier(server))


# --------------------------------------------------------------------------- both


_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


def _account() -> str:
    """Whom a server runs as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise DatabaseError(
        "PostgreSQL does not run as root, and there is no account postgres or nobody.",
        hint='Run as another user, or let scratch copies live elsewhere: scratch = "server", or a URL.',
    )


def _programs(major: int, client_tools: str | None, *names: str) -> list[Tool]:
    """Programs of just this major version. Raises ToolError."""
    found = [find_tool(name, at_least=major, like=major, folder=client_tools) for name in names]
    for tool in found:
        if tool.major != major:
            raise ToolError(
                f"{tool.words} is not of the target's version, PostgreSQL {major}.",
                hint=f"Install it (Debian, Ubuntu: apt install postgresql-{major}) or set `client-tools`.",
            )
    return found


def _url(access: Access) -> URL:
    place = {"host": access.host, "port": PORT}
    return URL.create("postgresql", access.user, database=access.database, query=place)


@contextmanager
def _serve(
    server: Tool, data: Path, folder: Path, account: str, facts: Facts, user: str, database: str
) -> Iterator[Access]:
    config, hba, ident = (folder / name for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"))
    config.write_text("", encoding="utf-8")
    hba.write_text("local all all trust\n", encoding="utf-8")  # the socket's folder is ours alone
    ident.write_text("", encoding="utf-8")
    give(folder, account)
    options = {
        **facts.defaults,
        **facts.limits,
        **OURS,
        **({"min_dynamic_shared_memory": "0"} if facts.major >= 14 else {}),
        **({"stats_temp_directory": "pg_stat_tmp"} if facts.major < 15 else {}),
        "unix_socket_directories": str(folder),
        "config_file": str(config),
        "hba_file": str(hba),
        "ident_file": str(ident),
    }
    argv = [str(server.path), "-D", str(data), *(f"-c{name}={value}" for name, value in options.items())]
    parameters = {"host": str(folder), "port": PORT, "user": user, "dbname": database}
    access = Access(parameters, "ci-migrate")

    def up() -> bool:
        import psycopg

        answer = psycopg.pq.PGconn.ping(access.conninfo().encode())
        if answer != psycopg.pq.Ping.OK:  # it is starting, or recovers, and lets nobody in yet
            return False
        access.connect().close()
        return True

    with serving(account, signal.SIGQUIT, argv, _ENVIRONMENT, up):
        yield access
