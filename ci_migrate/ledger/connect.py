"""Finds, makes and upgrades the ledger. Several processes may do so at once; all of them succeed."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from ci_migrate.databases.mysql.sessions import BACKENDS as MYSQL
from ci_migrate.databases.mysql.sessions import keep_alive
from ci_migrate.databases.postgresql.sessions import KEEP_ALIVE, own_url
from ci_migrate.errors import LedgerError
from ci_migrate.ledger import connect_mysql
from ci_migrate.ledger.place import SUFFIX, connectable, place
from ci_migrate.ledger.problems import INSUFFICIENT_PRIVILEGE, problem, quote, sqlstate, translate_errors
from ci_migrate.ledger.tables import LEDGER_REVISION, VERSION_TABLE, first_rows, metadata, version_table

BUSY_TIMEOUT = 10.0
"""Seconds that a session of the ledger waits for another one's lock."""

MAKING_TIMEOUT = 60.0
"""Seconds that it waits for another process that makes or upgrades the tables: 100,000 runs take some ten."""

MAINTENANCE = "postgres"
"""The database that every PostgreSQL server has, unless somebody dropped it."""

MIGRATIONS = Path(__file__).parent / "migrations"
READS: dict[str, dict[str, Any]] = {
    "sqlite": {"ledger_reads": True},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "mysql": {"isolation_level": "REPEATABLE READ"},
}
"""Execution options of a transaction that only reads: all that it reads is of one moment."""

_DUPLICATE = ("42P04", "23505")  # CREATE DATABASE lost a race: before, or while, the other one committed
_IN_USE = "55006"  # somebody is connected to template0
_MAKING = 0x63696D6967726174  # "cimigrat": the advisory lock under which tables are made


def open_engine(url: URL, *, create: bool) -> Engine | None:
    """An engine for a ledger that is there and of our version; None where it is not and `create` is False.

    Raises:
        LedgerError: it can't be reached, made or upgraded, or is newer than this ci-migrate.
    """
    engine = _reach(url, create=create)
    if engine is None:
        return None
    try:
        with translate_errors(url, "opened"):
            version = _version(engine)
            if version is None and not create:
                engine.dispose()
                return None
            if version != LEDGER_REVISION:
                _refuse_newer(version, url)
                _make_or_upgrade(engine, url, version)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _engine(url: URL) -> Engine:
    sqlite, mysql = url.get_backend_name() == "sqlite", url.get_backend_name() in MYSQL
    arguments: dict[str, Any]
    if sqlite:
        # isolation_level: left to itself, sqlite3 begins before a write and never before a SELECT
        # check_same_thread: the pool hands a session from thread to thread, to one at a time
        arguments = {"timeout": BUSY_TIMEOUT, "check_same_thread": False, "isolation_level": None}
    elif mysql:
        arguments = connect_mysql.arguments(url, BUSY_TIMEOUT)
    else:
        # Not "ci-migrate/...": that name is looked for when the sessions of a dead run are.
        arguments = {
            "application_name": "ci-migrate ledger",
            "connect_timeout": int(BUSY_TIMEOUT),
            **KEEP_ALIVE,
        }
        arguments = {name: value for name, value in arguments.items() if name not in url.query}
    try:
        engine = create_engine(
            connectable(url),
            connect_args=arguments,
            hide_parameters=True,  # what is bound may be a secret, and SQLAlchemy's errors show it
            pool_size=1,
            pool_pre_ping=not sqlite,  # between two uses a migration may run for hours: firewalls cut what is silent
            # MySQL's own level goes on showing what was there before one waited for another writer's lock
            **({} if sqlite else {"isolation_level": "READ COMMITTED"}),
        )
    except ImportError as error:
        raise LedgerError(
            f"The ledger ({place(url)}) needs a driver that is not installed: {error.name}.",
            hint=f"pip install 'ci-migrate[{url.get_backend_name()}]'",
        ) from error
    # ValueError, TypeError: SQLAlchemy turns arguments of the query into what the driver takes
    except (ArgumentError, ValueError, TypeError) as error:
        raise LedgerError(f"The ledger's URL ({place(url)}) can't be used.", hint="See `state`.") from error
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif mysql:
        event.listen(engine, "connect", lambda own, _record: keep_alive(own))
    else:
        event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # FULL, where the journal makes do with NORMAL: a used token must stay used after a power cut.
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that writes takes the lock at once: one that began by reading could not wait for it later.
    reads = connection.get_execution_options().get("ledger_reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    # The target's URL or the role may set a search_path to schemas that only the target has, or that have tables of
    # these names: where the ledger stands in `public`, it is read there.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), host(inet_server_addr()), current_setting('port')")
        pid, *there = cursor.fetchone()
        if pid != connection.info.backend_pid:
            # what a session is set to here would be left to the next client that the pooler gives it to
            raise LedgerError("The ledger's URL leads to a connection pooler.", hint=own_url(*there))
        cursor.execute(
            "SELECT pg_catalog.set_config('lock_timeout', %s, false),"
            " CASE WHEN pg_catalog.current_schema() IS NULL"
            " OR pg_catalog.to_regclass('public.ci_migrate_identity') IS NOT NULL"
            " THEN pg_catalog.set_config('search_path', 'public', false) END",
            (f"{BUSY_TIMEOUT:.0f}s",),
        )
    connection.commit()


def _version(engine: Engine) -> str | None:
    with engine.connect().execution_options(**READS[engine.dialect.name]) as connection:
        return _version_row(connection)


def _version_row(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    row = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).first()
    return None if row is None else str(row[0])


def _make_or_upgrade(engine: Engine, url: URL, version: str | None) -> None:
    """Make the tables, or bring older ones to our version: also for what only reads, which could not read them else."""
    try:
        _make(engine, url)
    except LedgerError as error:
        if version is None:
            raise
        raise LedgerError(
            f"{error.what} It is of version {version}, and this ci-migrate reads {LEDGER_REVISION}.",
            state=error.state,
            hint="Let the role that made it run any command of this ci-migrate once, such as: ci-migrate status",
        ) from error


def _make(engine: Engine, url: URL) -> None:
    """Make or upgrade the tables, in one transaction that only one process at a time is in."""
    if engine.dialect.name == "sqlite":
        with translate_errors(url, "made", raw=engine.dialect.loaded_dbapi.Error):
            _switch_to_wal(engine)
    alone = (
        connect_mysql.lock_making(engine, MAKING_TIMEOUT)
        if engine.dialect.name == "mysql"
        else engine.begin()
    )
    with translate_errors(url, "made"), alone as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{MAKING_TIMEOUT:.0f}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING})
        version = _version_row(connection)
        _refuse_newer(version, url)
        if version is None:
            if engine.dialect.name == "mysql":
                connect_mysql.clear(connection)
            _create_tables(connection)
        elif version != LEDGER_REVISION:
            _upgrade(connection)


def _refuse_newer(version: str | None, url: URL) -> None:
    if version is not None and version > LEDGER_REVISION:  # as texts: ids are numbers of four digits
        raise LedgerError(
            f"The ledger ({place(url)}) was made by a newer ci-migrate: its version is {version}, "
            f"this one knows {LEDGER_REVISION}.",
            hint="Upgrade: pip install --upgrade ci-migrate",
        )


def _create_tables(connection: Connection) -> None:
    """All tables as they are now: five times as quick as the revisions one by one, and a test holds the two equal."""
    metadata.create_all(connection)
    for table, row in first_rows():
        connection.execute(table.insert().values(row))
    version_table.create(connection)
    connection.execute(version_table.insert().values(version_num=LEDGER_REVISION))


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _switch_to_wal(engine: Engine) -> None:
    # busy_timeout does not always count here: while another process writes, SQLite refuses at once.
    deadline = time.monotonic() + BUSY_TIMEOUT
    raw = engine.raw_connection()
    try:
        while True:
            try:
                raw.cursor().execute("PRAGMA journal_mode=WAL").close()
            except engine.dialect.loaded_dbapi.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return
    finally:
        raw.close()


# --------------------------------------------------------------------------- is it there?


def _reach(url: URL, *, create: bool) -> Engine | None:
    """An engine that can connect, to a ledger that may still be empty."""
    if url.get_backend_name() == "sqlite":
        return _engine(url) if _file_there(url, create=create) else None
    engine = _engine(url)
    try:
        engine.connect().close()
    except DBAPIError as first:
        engine.dispose()
        if url.get_backend_name() in MYSQL:
            return _reach_on_mysql(url, first, create=create)
        return _reach_by_maintenance(url, first, create=create)
    except OSError as error:  # PyMySQL reads certificates before it connects
        engine.dispose()
        raise problem(url, "opened", error) from error
    return engine


def _reach_on_mysql(url: URL, first: DBAPIError, *, create: bool) -> Engine | None:
    """Where the server has no such database: make it, or None."""
    if connect_mysql.number(first) not in (connect_mysql.UNKNOWN_DATABASE, connect_mysql.DENIED):
        raise problem(url, "opened", first) from first
    server = _engine(url.set(database=""))
    try:
        with translate_errors(url, "made"), server.connect() as connection:
            if not connect_mysql.is_there(connection, str(url.database)):
                if not create:
                    return None
                connect_mysql.create_database(connection, url)
    finally:
        server.dispose()
    return _engine(url)


def _file_there(url: URL, *, create: bool) -> bool:
    path = str(url.database)
    if not create:
        return os.path.lexists(path)
    try:
        # not left to SQLite: it makes files as the umask says, and -wal and -shm with the mode of this one
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return True
    except OSError as error:
        reason = error.strerror or str(error)
        raise LedgerError(
            f"The ledger ({path}) could not be made: {reason}.",
            hint='Make its folder writable, or name another place: `state = "URL"`.',
        ) from error
    return True


def _reach_by_maintenance(url: URL, first: DBAPIError, *, create: bool) -> Engine | None:
    """Ask another database of the server whether the ledger's is there; make it if it is not."""
    with _maintenance(url, first) as connection:
        name = str(url.database)
        there = text("SELECT 1 FROM pg_database WHERE datname = :name")
        if connection.execute(there, {"name": name}).first() is None:
            if not create:
                return None
            _create_database(connection, url)
    engine = _engine(url)
    try:
        engine.connect().close()
    except DBAPIError as error:
        engine.dispose()
        grant = f"GRANT CONNECT ON DATABASE {quote(name)} TO {quote(url.username or 'ROLE')};"
        hint = f'Where that is a missing right, let its owner run: {grant} or set `state = "URL"`.'
        raise problem(url, "opened", error, hint=hint) from error
    return engine


@contextmanager
def _maintenance(url: URL, first: DBAPIError) -> Iterator[Connection]:
    """A session in `postgres`, or in the target's database where that one is closed to us."""
    name = str(url.database)
    for database in (MAINTENANCE, name.removesuffix(SUFFIX)):
        engine = _engine(url.set(database=database)).execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection = engine.connect()
        except DBAPIError:
            continue
        try:
            with translate_errors(url, "made"):
                yield connection
        finally:
            connection.close()
            engine.dispose()
        return
    raise problem(url, "opened", first) from first


def _create_database(connection: Connection, url: URL) -> None:
    name = quote(str(url.database))
    # template0 has no sessions and takes any locale; C sorts alike everywhere and never needs a REINDEX.
    create = text(
        f"CREATE DATABASE {name.replace(':', chr(92) + ':')} TEMPLATE template0 ENCODING 'UTF8' "
        "LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute(create)
        except DBAPIError as error:
            state = sqlstate(error)
            if state in _DUPLICATE:
                return
            if state == INSUFFICIENT_PRIVILEGE:
                raise _may_not_create(connection, url) from error
            if state != _IN_USE or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _may_not_create(connection: Connection, url: URL) -> LedgerError:
    role = str(connection.execute(text("SELECT current_user")).scalar_one())
    return LedgerError(
        f"The role {quote(role)} may not create the ledger's database ({place(url)}).",
        hint=f"Let an administrator run: CREATE DATABASE {quote(str(url.database))} OWNER {quote(role)}; "
        'or name another place: `state = "URL"`.',
    )
