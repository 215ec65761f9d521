"""MySQL and MariaDB: how a ledger's database is found and made, and one process at a time makes its tables."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, MetaData, Table, inspect, select, text
from sqlalchemy.exc import DBAPIError

from ci_migrate.databases.mysql.catalog import quote_name
from ci_migrate.errors import LedgerError
from ci_migrate.ledger.place import place
from ci_migrate.ledger.tables import FORMER_TABLES, audit, metadata, runs

UNKNOWN_DATABASE, EXISTS, DENIED = 1049, 1007, 1044
"""Numbers of the server's errors. A database that this account may not see is DENIED, be it there or not."""


def arguments(url: URL, timeout: float) -> dict[str, Any]:
    """Arguments of `pymysql.connect` for a session of the ledger; `timeout` in seconds."""
    # "ci-migrate ledger", not "ci-migrate/...": that name is looked for when the sessions of a dead run are.
    wait = f"{timeout:.0f}"
    given: dict[str, Any] = {
        "program_name": "ci-migrate ledger",
        "init_command": f"SET SESSION lock_wait_timeout={wait}, SESSION innodb_lock_wait_timeout={wait},"
        " SESSION sql_mode='TRADITIONAL'",
    }
    return given if "connect_timeout" in url.query else {**given, "connect_timeout": int(timeout)}


def number(error: DBAPIError) -> int:
    """The server's number of an error; 0 where it has none."""
    found = getattr(error.orig, "args", ())
    return found[0] if found and isinstance(found[0], int) else 0


def is_there(connection: Connection, name: str) -> bool:
    """Whether a database is there, as far as this account may see."""
    query = text("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = :name")
    return connection.execute(query, {"name": name}).first() is not None


def create_database(connection: Connection, url: URL) -> None:
    """Make the ledger's database; another process may do so at the same time.

    Raises:
        LedgerError: this account may not.
    """
    name = quote_name(str(url.database))
    try:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name.replace('%', '%%')} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )
    except DBAPIError as error:
        if number(error) == EXISTS:
            return
        if number(error) != DENIED:
            raise
        account = str(connection.execute(text("SELECT CURRENT_USER()")).scalar_one())
        user, _, host = account.rpartition("@")
        raise LedgerError(
            f"The account {account} may not create the ledger's database ({place(url)}).",
            hint=f"Let an administrator run: GRANT ALL ON {name}.* TO '{user}'@'{host}'; "
            'or name another place: `state = "URL"`.',
        ) from error


@contextmanager
def lock_making(engine: Engine, timeout: float) -> Iterator[Connection]:
    """A transaction in which tables are made; one process at a time is in it.

    DDL commits by itself here: tables that a killed process left without a version are taken away first.
    """
    name = "ci_migrate_ledger_" + hashlib.sha256(str(engine.url.database).encode()).hexdigest()[:32]
    with engine.connect() as connection:
        held = connection.execute(
            text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": int(timeout)}
        ).scalar_one()
        if held != 1:
            raise LedgerError(
                f"Another process has been making the ledger ({place(engine.url)}) for {timeout:.0f} s.",
                hint="Try again in a moment.",
            )
        try:
            yield connection
            connection.commit()  # before the lock goes: whoever has it next must see the version, and clears nothing
        finally:
            connection.rollback()
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def clear(connection: Connection) -> None:
    """Take away tables that never got their version.

    Raises:
        LedgerError: somebody has used them; then their version was taken away, and they stay as they are.
    """
    there = set(inspect(connection).get_table_names())
    former = [Table(name, MetaData()) for name in FORMER_TABLES if name in there]
    for table in (audit, runs, *former):
        if table.name in there and connection.execute(select(text("1")).select_from(table).limit(1)).first():
            raise LedgerError(
                f"The ledger ({place(connection.engine.url)}) has records, and nothing says of which version they are.",
                hint="Look who emptied ci_migrate_version there, and put back what was in it.",
            )
    for table in former:
        table.drop(connection)
    metadata.drop_all(connection)
