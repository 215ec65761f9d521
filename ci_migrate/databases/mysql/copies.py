"""Databases beside the target on a MySQL or MariaDB server: scratch copies, and what killed runs leave."""

import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.mysql.catalog import quote_name
from ci_migrate.databases.mysql.dump import dump
from ci_migrate.databases.mysql.load import SCRATCH, load
from ci_migrate.databases.mysql.replace import (
    NEW,
    drop_replaced,
    finish_swap,
    in_use,
    making,
    replace,
    replaced,
    settle_replace,
)
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.errors import CiMigrateError, DatabaseError, UsageError

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

__all__ = [
    "drop_replaced",
    "dump",
    "load",
    "replace",
    "replaced",
    "room",
    "scratch",
    "settle_replace",
    "sweep",
]

LONGEST_NAME = 64
"""Characters of a database's name."""


@contextmanager
def scratch(access: Access, run_id: str) -> Iterator[Access]:
    """An empty database like the target's, dropped when the block is left.

    Yields:
        how the child reaches it: by an account of its own that may nothing elsewhere, where this one can make
        accounts; else by this one (its `user` is the same).

    Raises:
        DatabaseError: this account may not create it; with the GRANT.
        UsageError: the run id is too long.
    """
    name = SCRATCH + run_id
    if len(name) > LONGEST_NAME:
        raise UsageError(f"The run id {run_id} is too long for a database's name.")
    with making(access, name):
        try:
            yield _own_account(access, name) or access.elsewhere(name)
        finally:
            with access.elsewhere("").session() as cursor:
                _drop(cursor, name)


def room(access: Access) -> tuple[str, int] | None:
    """Where the server keeps its data, and the bytes free there, if it runs on this machine and lets us know."""
    if access.host not in ("", "localhost", "127.0.0.1", "::1"):
        return None
    with access.session(read_only=True) as cursor:
        cursor.execute("SELECT @@hostname, @@datadir")
        hostname, folder = cursor.fetchone() or ("", "")
    # a container's or a tunnel's server is on this host by its address alone
    if hostname != socket.gethostname() or not folder:
        return None
    try:
        Path(folder, "ibdata1").stat()
        return str(folder), shutil.disk_usage(folder).free
    except OSError:
        return None


KEYS_WANTED = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
    " ('sql_require_primary_key', 'sql_generate_invisible_primary_key') AND Value = 'ON'"
)
"""Whether MySQL refuses tables without a primary key, or adds one.

https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_sql_require_primary_key
"""


def account_of(name: str) -> str:
    """The account that may nothing but use the scratch copy of this name."""
    return f"ci_migrate_{sha256(name.encode()).hexdigest()[:16]}"


def _own_account(access: Access, name: str) -> Access | None:
    """An account for this database alone; None where this one may not make it, or the server does not let it in."""
    import pymysql

    password = f"aA1!{secrets.token_urlsafe(24)}"
    pattern = name.replace("_", r"\_").replace("%", r"\%")
    with access.elsewhere("").session() as cursor:
        # then it takes SUPER to make a trigger or a function (error 1419): a copy could not even be restored
        cursor.execute("SELECT @@log_bin AND NOT @@log_bin_trust_function_creators")
        if (cursor.fetchone() or (0,))[0]:
            return None
        whom = (account_of(name), _host(cursor))
        try:
            with access.translate_errors():
                cursor.execute("DROP USER IF EXISTS %s@%s", whom)
                cursor.execute("CREATE USER %s@%s IDENTIFIED BY %s", (*whom, password))
                cursor.execute(f"GRANT ALL ON {quote_name(pattern).replace('%', '%%')}.* TO %s@%s", whom)
                cursor.execute(KEYS_WANTED)
                if cursor.fetchone():  # else the copy could not have the tables without a key that are there
                    with suppress(pymysql.MySQLError):
                        cursor.execute("GRANT SESSION_VARIABLES_ADMIN ON *.* TO %s@%s", whom)
            child = access.elsewhere(name).login(whom[0], password)
            child.connect().close()
        except DatabaseError:
            with suppress(CiMigrateError), access.translate_errors():
                cursor.execute("DROP USER IF EXISTS %s@%s", whom)
            return None
    return child


def _host(cursor: "Cursor") -> str:
    """The host that the server knows this account by: a scratch copy's account comes from there too."""
    cursor.execute("SELECT CURRENT_USER()")
    row: tuple[Any, ...] = cursor.fetchone() or ("",)
    return str(row[0]).rpartition("@")[2]


def _drop(cursor: "Cursor", name: str) -> None:
    """Drop a copy: its account first, its sessions, then itself."""
    import pymysql

    if name.startswith(SCRATCH):
        with suppress(pymysql.MySQLError):  # no right to: then there is none
            cursor.execute("DROP USER IF EXISTS %s@%s", (account_of(name), _host(cursor)))
    cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s", [name])
    for (session,) in cursor.fetchall():
        with suppress(pymysql.MySQLError):  # gone by itself
            cursor.execute(f"KILL {int(session)}")
    cursor.execute(f"DROP DATABASE IF EXISTS {quote_name(name)}")


def sweep(access: Access, keep: Iterable[str] = ()) -> list[str]:
    """Drop what killed runs left, and return the names.

    That is scratch copies of runs that are not in `keep`, with their accounts, and half-restored successors of this
    database; a swap that was begun is finished or taken back. What somebody uses stays.
    """
    kept = {SCRATCH + run_id for run_id in keep}
    swept = []
    with closing(access.elsewhere("").connect()) as connection, access.translate_errors():
        cursor = connection.cursor()
        cursor.execute("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1")
        for (name,) in cursor.fetchall():
            if (
                not str(name).startswith((SCRATCH, access.database + NEW))
                or name in kept
                or in_use(cursor, name)
            ):
                continue
            if str(name).startswith(SCRATCH) or finish_swap(access, str(name)) is None:
                _drop(cursor, str(name))
            swept.append(str(name))
    return swept
