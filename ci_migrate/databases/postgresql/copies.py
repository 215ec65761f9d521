"""Databases beside the target: made like it, dropped, or put in its place."""

import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.names import fit_name, is_kept, name_of_kept
from ci_migrate.databases.postgresql.session_defaults import SETTINGS, spell
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.errors import CiMigrateError, DatabaseError

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed

SCRATCH = "ci_migrate_scratch_"
"""What the name of each scratch copy starts with; the run id follows."""

NEW = "_ci_migrate_new_"
"""What stands between a database's name and the label, while a restore builds its successor."""

MAINTENANCE = ("postgres", "template1")
"""Where to stand while a database is made, renamed or dropped: as PostgreSQL's own `createdb` does."""


def maintenance(access: Access, *, other_than: str | None = None) -> "psycopg.Connection[Any]":
    """A session in autocommit in a maintenance database of this server.

    Raises:
        DatabaseError: none of them lets this role in.
    """
    refusals: list[DatabaseError] = []
    for name in MAINTENANCE:
        if name == other_than:
            continue
        try:
            return access.elsewhere(name).connect()
        except DatabaseError as error:
            refusals.append(error)
    raise DatabaseError(
        f"Role {access.user} can't connect to the database postgres at {access.server}: {refusals[0].what}",
        hint=f"GRANT CONNECT ON DATABASE postgres TO {access.user};",
    ) from refusals[0]


def _sql(text: str, *names: str) -> "Composed":
    """A statement with names in the place of {}."""
    from psycopg import sql

    return sql.SQL(text).format(*(sql.Identifier(name) for name in names))


def refuse_scratch(access: Access) -> None:
    """Raise DatabaseError where this role may not make databases; with both ways out."""
    with closing(maintenance(access)) as admin, access.translate_errors():
        may = admin.execute(
            "SELECT FROM pg_roles WHERE rolname = current_user AND (rolcreatedb OR rolsuper)"
        ).fetchone()
    if may is None:
        raise DatabaseError(
            f"Role {access.user} may not make the database of a scratch copy at {access.server}.",
            hint=f'ALTER ROLE {_sql("{}", access.user).as_string()} CREATEDB;  or another server: scratch = "URL"',
        )


# --------------------------------------------------------------------------- making and dropping


@contextmanager
def _as_owner(admin: "psycopg.Connection[Any]", name: str) -> Iterator[None]:
    """As the role that owns a database, where this one is a member of it that inherits nothing (NOINHERIT)."""
    row = admin.execute(
        "SELECT pg_get_userbyid(datdba), pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = %s",
        [name],
    ).fetchone()
    if row is None or row[1]:
        yield
        return
    admin.execute(_sql("SET ROLE {}", row[0]))
    try:
        yield
    finally:
        admin.execute("RESET ROLE")


@dataclass(frozen=True)
class Roles:
    """Of the database that is copied: who migrates it, and whose it is."""

    migrates: str
    owns: str

    @classmethod
    def of(cls, access: Access) -> "Roles":
        """As its sessions see it."""
        with access.session(read_only=True) as connection:
            row = connection.execute(
                "SELECT current_user, pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        assert row is not None
        return cls(*row)


def run_as(admin: "psycopg.Connection[Any]", access: Access, name: str, roles: Roles) -> None:
    """Let sessions of our login in a new database be those of another role, as they are in the target.

    Raises:
        DatabaseError: that role is not there, and can't be made.
    """
    import psycopg

    role = roles.migrates
    known = {row[0] for row in admin.execute("SELECT rolname FROM pg_roles")}
    try:
        if role not in known:
            admin.execute(_sql("CREATE ROLE {}", role))
        if roles.owns in {*known, role}:
            admin.execute(_sql("ALTER DATABASE {} OWNER TO {}", name, roles.owns))
        # not ALTER ROLE SET, which is a superuser's for others, but our own in a database of ours
        admin.execute(_sql("ALTER ROLE {} IN DATABASE {} SET role TO {}", access.user, name, role))
        admin.execute(_sql("GRANT ALL ON DATABASE {} TO {}", name, role))
    except psycopg.Error as error:
        raise DatabaseError(
            f"Copies can't be used as role {role}, which migrates the target: {access.explain(error)}.",
            hint=f"{_sql('CREATE ROLE {}; GRANT {} TO {}', role, role, access.user).as_string()};",
        ) from error


def create_like(
    admin: "psycopg.Connection[Any]", access: Access, name: str, *, twin: bool, role: str = ""
) -> None:
    """Make an empty database with the encoding, locale and settings of the one that `access` reaches.

    Args:
        admin: a session in a maintenance database.
        access: the database to be like.
        name: the new database's name.
        twin: also its owner, tablespace, grants, comment and connection limit, and each setting must be copied.
            Otherwise the copy is ours: nobody else may connect, and settings that only a superuser may set are
            left out.
        role: whose it is, if it is no twin; "" for the session's.

    Raises:
        DatabaseError: a right is missing; with the statement that gives it.
    """
    import psycopg

    row = admin.execute(
        "SELECT to_jsonb(d) || jsonb_build_object('encoding', pg_encoding_to_char(encoding),"
        " 'owner', pg_get_userbyid(datdba), 'tablespace', spcname)"
        " FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = %s",
        [access.database],
    ).fetchone()
    if row is None:
        raise DatabaseError(f"There is no database {access.database} at {access.server}.")
    with access.translate_errors():
        try:
            admin.execute(_create(name, row[0], twin=twin, role=role))
        except psycopg.errors.InsufficientPrivilege as error:
            may_create = admin.execute(
                "SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            needed = f"GRANT {row[0]['owner']} TO {access.user};  (who owns {access.database})"
            if not (may_create and may_create[0]):
                needed = f"ALTER ROLE {access.user} CREATEDB;"
            raise DatabaseError(
                f"Role {access.user} may not make the database {name}: {access.explain(error)}.", hint=needed
            ) from error
        try:
            _copy_settings(admin, access.database, name, all_of_them=twin)
            with _as_owner(admin, name):
                if twin:
                    _copy_grants(admin, access.database, name, row[0]["owner"])
                else:
                    admin.execute(_sql("REVOKE ALL ON DATABASE {} FROM PUBLIC", name))
                    admin.execute(_sql("GRANT ALL ON DATABASE {} TO {}", name, access.user))
        except BaseException:
            drop(admin, name)
            raise


def _create(name: str, facts: dict[str, Any], *, twin: bool, role: str) -> "Composed":
    statement = _like(name, facts)
    if role:
        statement += _sql(" OWNER {}", role)
    if twin:
        from psycopg import sql

        limit = sql.SQL(" CONNECTION LIMIT {}").format(sql.Literal(facts["datconnlimit"]))
        statement += _sql(" OWNER {}", facts["owner"]) + limit
        if (
            facts["tablespace"] != "pg_default"
        ):  # spelt out, it needs a right that creating a database does not
            statement += _sql(" TABLESPACE {}", facts["tablespace"])
    return statement


def create_database(admin: "psycopg.Connection[Any]", name: str, facts: Mapping[str, Any]) -> None:
    """Make an empty database with the encoding and locale of another server's: `facts` is its row of pg_database."""
    admin.execute(_like(name, facts))


def _like(name: str, facts: Mapping[str, Any]) -> "Composed":
    from psycopg import sql

    provider = {"c": "libc", "i": "icu", "b": "builtin"}.get(facts.get("datlocprovider") or "")
    locale = facts.get("datlocale") or facts.get("daticulocale")
    options: dict[str, str | None] = {
        "ENCODING": facts["encoding"],
        "LC_COLLATE": facts["datcollate"],
        "LC_CTYPE": facts["datctype"],
        "LOCALE_PROVIDER": provider,
        "ICU_LOCALE": locale if provider == "icu" else None,
        "BUILTIN_LOCALE": locale if provider == "builtin" else None,
        "ICU_RULES": facts.get("daticurules"),
    }
    statement = _sql("CREATE DATABASE {} TEMPLATE template0", name)
    for option, value in options.items():
        if value is not None:
            statement += sql.SQL(" " + option + " {}").format(sql.Literal(value))
    return statement


def _copy_settings(admin: "psycopg.Connection[Any]", source: str, name: str, *, all_of_them: bool) -> None:
    """`ALTER DATABASE SET` of one database for another; also those for single roles in it."""
    import psycopg

    settings = admin.execute(
        f"{SETTINGS} WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = %s)", [source]
    ).fetchall()
    for role, setting, value in settings:
        whom = _sql("ROLE {} IN DATABASE {}", role, name) if role else _sql("DATABASE {}", name)
        spelt = spell(setting, value)
        try:
            # a role may set its own; those of the database are its owner's to set
            with nullcontext() if role else _as_owner(admin, name):
                admin.execute(_sql("ALTER ") + whom + _sql(" SET {} TO ", setting) + spelt)
        except psycopg.errors.InsufficientPrivilege:
            if all_of_them:
                raise


def _copy_grants(admin: "psycopg.Connection[Any]", source: str, name: str, owner: str) -> None:
    from psycopg import sql

    comment = admin.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [source]
    ).fetchone()
    if comment and comment[0] is not None:
        admin.execute(_sql("COMMENT ON DATABASE {} IS ", name) + sql.Literal(comment[0]))
    grants = admin.execute(
        "SELECT CASE x.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(x.grantee) END, x.privilege_type, x.is_grantable"
        " FROM pg_database d, aclexplode(d.datacl) x WHERE d.datname = %s AND d.datacl IS NOT NULL",
        [source],
    ).fetchall()
    if not grants:
        return
    admin.execute(_sql("REVOKE ALL ON DATABASE {} FROM PUBLIC, {}", name, owner))
    for grantee, privilege, grantable in grants:
        to = _sql("{}", grantee) if grantee else sql.SQL("PUBLIC")
        admin.execute(
            _sql("GRANT " + privilege + " ON DATABASE {} TO ", name)
            + to
            + sql.SQL(" WITH GRANT OPTION" if grantable else "")
        )


def drop(admin: "psycopg.Connection[Any]", name: str, *, force: bool = True) -> None:
    """Drop a database; with `force` its sessions are ended first."""
    with _as_owner(admin, name):
        admin.execute(_sql("DROP DATABASE IF EXISTS {}" + (" WITH (FORCE)" if force else ""), name))


@contextmanager
def new_database(access: Access, name: str, *, twin: bool, roles: Roles | None = None) -> Iterator[Access]:
    """A new empty database like the one of `access`; dropped when the block fails, and in the end if no `twin`.

    With `roles`, a database that is no twin is used as who migrates the copied one, which is another than who logs in.

    Meanwhile a session stays in it, by which a sweep of another run sees that it is in use.
    """
    with closing(maintenance(access, other_than=access.database if twin else None)) as admin:
        row = admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        superuser = bool(row and row[0])
        create_like(
            admin, access, name, twin=twin, role=roles.migrates if roles is not None and not superuser else ""
        )
        if roles is not None and superuser:
            run_as(admin, access, name, roles)
    new = access.elsewhere(name)
    if roles is not None and superuser:
        new = new.as_itself()  # what we restore and read there is read by the one who may
    try:
        with closing(new.connect()):
            yield new
    except BaseException:
        with suppress(CiMigrateError):  # what ended the block is the news; a sweep drops what is left
            _drop(access, name)
        raise
    if not twin:
        _drop(access, name)


def _drop(access: Access, name: str) -> None:
    with closing(maintenance(access)) as admin, access.translate_errors():
        drop(admin, name)


def room(access: Access) -> tuple[str, int] | None:
    """Where the server keeps its data, and the bytes free there, if it runs on this machine and lets us know."""
    if access.host not in ("", "localhost", "127.0.0.1", "::1") and not access.host.startswith("/"):
        return None
    with access.session(read_only=True) as connection:
        told = connection.execute(
            "SELECT CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END"
        ).fetchone()
    if not told or not told[0]:
        return None
    try:  # a container's or a tunnel's server is on this host by its address alone
        Path(told[0], "PG_VERSION").stat()
        return told[0], shutil.disk_usage(told[0]).free
    except OSError:
        return None


def sweep(access: Access, keep: Iterable[str]) -> list[str]:
    """Drop what killed runs left, and return the names.

    That is scratch copies of runs that are not in `keep`, and half-restored successors of this database; of these
    only those that nobody is connected to.
    """
    import psycopg

    kept = {fit_name(SCRATCH + run_id) for run_id in keep}
    swept = []
    with closing(maintenance(access)) as admin, access.translate_errors():
        found = admin.execute(
            "SELECT datname FROM pg_database d WHERE (starts_with(datname, %s) OR starts_with(datname, %s))"
            " AND pg_has_role(datdba, 'MEMBER')"
            " AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid) ORDER BY datname",
            [SCRATCH, access.database + NEW],
        ).fetchall()
        for (name,) in found:
            if name in kept:
                continue
            with suppress(psycopg.errors.ObjectInUse):  # somebody came in meanwhile
                drop(admin, name, force=False)
                swept.append(name)
    return swept


def replaced(access: Access) -> list[str]:
    """The databases that restores of this one kept and that this role may drop, the oldest first."""
    with closing(maintenance(access)) as admin, access.translate_errors():
        found = admin.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'MEMBER')"
            " ORDER BY datname",
            [name_of_kept(access.database)],
        ).fetchall()
    return [name for (name,) in found if is_kept(name, access.database)]


def is_there(access: Access, name: str) -> bool:
    """Whether the server has a database of this name."""
    with closing(maintenance(access)) as admin, access.translate_errors():
        return admin.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def drop_replaced(access: Access, name: str) -> None:
    """Drop one of them; not where somebody is connected to it. Raises DatabaseError."""
    if name not in replaced(access):
        raise DatabaseError(f"No restore of {access.place} kept a database {name}.")
    with closing(maintenance(access)) as admin, access.translate_errors():
        drop(admin, name, force=False)


# --------------------------------------------------------------------------- the swap


def refuse_swap(access: Access, *, ledger_schema: str, lock_key: int) -> None:
    """Raise DatabaseError where this database can't be replaced by a rename, before anything is restored."""
    reasons = {
        "it has logical replication slots": "SELECT FROM pg_replication_slots WHERE database = current_database()",
        "it has subscriptions": "SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
        " WHERE d.datname = current_database()",
        "it has prepared transactions": "SELECT FROM pg_prepared_xacts WHERE database = current_database()",
        f"the ledger lives in it (schema {ledger_schema}), and would stay behind": "SELECT FROM pg_namespace"
        f" WHERE nspname = '{ledger_schema}'",
        "the run lock is held in it, since role {user} can't connect to the database postgres": "SELECT FROM pg_locks"
        " WHERE locktype = 'advisory' AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        f" AND classid::bigint = ({lock_key}::bigint >> 32) & 4294967295"
        f" AND objid::bigint = {lock_key}::bigint & 4294967295",
    }
    with access.session(read_only=True) as connection:
        for reason, query in reasons.items():
            if connection.execute(query).fetchone() is not None:
                raise DatabaseError(
                    f"{access.place} can't be replaced by a rename: {reason.format(user=access.user)}.",
                    hint="Restore the backup into another database, and move the rows that you need.",
                )
    with closing(maintenance(access, other_than=access.database)):
        pass


def swap(access: Access, new: str, kept: str) -> None:
    """Give `new` the name of the live database, which is called `kept` from then on: both or none.

    Both renames are one transaction, so that no moment of dying leaves the name free. The first rename lets no new
    session in and waits five seconds for the old ones to leave; meanwhile they are ended.

    Raises:
        DatabaseError: a session could not be ended, or a right is missing. Then nothing was renamed.
    """
    done = threading.Event()
    refusal: list[DatabaseError] = []
    clearer = threading.Thread(
        target=_end_sessions, args=(access, [access.database, new], done, refusal), daemon=True
    )
    with closing(maintenance(access, other_than=access.database)) as admin, access.translate_errors():
        clearer.start()
        try:
            with admin.transaction():
                admin.execute("SET LOCAL statement_timeout = 0")
                admin.execute(_sql("ALTER DATABASE {} RENAME TO {}", access.database, kept))
                admin.execute(_sql("ALTER DATABASE {} RENAME TO {}", new, access.database))
        except Exception as error:
            if refusal:
                raise refusal[0] from error
            raise
        finally:
            done.set()
            clearer.join()


def _end_sessions(
    access: Access, names: list[str], done: threading.Event, refusal: list[DatabaseError]
) -> None:
    """End each session in these databases until `done` is set."""
    try:
        # as the role that logs in: those sessions are its own, and not of a role that it is made
        own = access.as_itself()
        with closing(maintenance(own, other_than=access.database)) as session, access.translate_errors():
            while not done.wait(0.05):
                session.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = ANY(%s) AND backend_type = 'client backend'",
                    [names],
                )
    except DatabaseError as error:
        refusal.append(
            DatabaseError(
                f"The sessions in {access.place} could not be ended: {error.what}",
                hint=f"Stop what uses it, or: GRANT pg_signal_backend TO {access.user};",
            )
        )
