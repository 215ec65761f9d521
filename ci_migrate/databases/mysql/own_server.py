"""MariaDB and MySQL servers of our own: a new, empty one, or one on a copy of the files of the target's server."""

import errno
import fcntl
import os
import re
import secrets
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL

from ci_migrate.databases.mysql.catalog import quote_name, read_flavour
from ci_migrate.databases.mysql.flavours import Flavour
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.databases.own_server import refuse_unfit_folder, run_as, server_folder, serving
from ci_migrate.errors import BackupError, DatabaseError, ToolError
from ci_migrate.process import run_tool
from ci_migrate.settings.secrets import register_secret

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

ACCOUNT = "ci_migrate_root"
"""Who may do anything on a server of ours: the target's accounts may be known by hosts that a socket is not."""

PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin", "/opt/homebrew/bin")
"""Where servers lie beside PATH."""

CARRIED = (
    "character_set_server",
    "collation_server",
    "default_storage_engine",
    "explicit_defaults_for_timestamp",
    "group_concat_max_len",
    "innodb_data_file_path",
    "innodb_default_row_format",
    "innodb_page_size",
    "innodb_strict_mode",
    "innodb_undo_tablespaces",
    "lower_case_table_names",
    "max_allowed_packet",
    "max_connections",
    "sql_generate_invisible_primary_key",
    "sql_mode",
    "sql_require_primary_key",
)
"""What a server on the same files needs, or a revision may depend upon, as far as the target's server has it.

https://mariadb.com/docs/server/server-management/variables-and-modes/server-system-variables,
https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html
"""

INITIAL = ("innodb_data_file_path", "innodb_page_size", "innodb_undo_tablespaces", "lower_case_table_names")
"""Those of them that hold from a data folder's first moment on."""

OURS = (
    "--skip-networking",
    "--skip-log-bin",
    "--skip-slave-start",
    "--event-scheduler=OFF",
    "--innodb-flush-log-at-trx-commit=0",
)
"""No network, no replication, no events, and nothing for safety's sake: the copy is thrown away."""


REDO = ("ib_logfile0", "#innodb_redo")
"""The log that InnoDB recovers by."""


@dataclass(frozen=True)
class Facts:
    """What a server of our own takes over from the target's."""

    flavour: Flavour
    variables: Mapping[str, str]
    data_directory: str
    charset: str
    collation: str
    elsewhere: (
        str | None
    )  # a file outside of the data folder; "" where there is none, None where nobody may ask

    @classmethod
    def of(cls, access: Access) -> "Facts":
        """Ask the target's server. Raises DatabaseError."""
        with access.session(read_only=True) as cursor:
            flavour = read_flavour(cursor)
            cursor.execute("SHOW GLOBAL VARIABLES WHERE Variable_name IN %s", [(*CARRIED, "datadir")])
            found = dict(cursor.fetchall())
            cursor.execute("SELECT @@character_set_database, @@collation_database")
            charset, collation = cursor.fetchone() or ("", "")
            elsewhere = "" if flavour.mariadb else _outside(cursor)
        data = found.pop("datadir", "")
        return cls(flavour, found, data, charset, collation, elsewhere)


def _outside(cursor: "Cursor") -> str | None:
    """A file of MySQL's with a path of its own: its dictionary has them, and a server on a copy would open it.

    https://dev.mysql.com/doc/refman/8.4/en/information-schema-files-table.html
    """
    import pymysql

    try:
        cursor.execute("SELECT FILE_NAME FROM information_schema.FILES WHERE FILE_NAME LIKE '/%%' LIMIT 1")
    except pymysql.MySQLError:  # it takes PROCESS
        return None
    return str((cursor.fetchone() or ("",))[0])


@contextmanager
def new_server(target: Access, client_tools: str | None) -> Iterator[URL]:
    """A new server with the target's version and settings.

    Yields:
        a database in it with the target's name, character set and collation, for an account that may do anything.

    Raises:
        DatabaseError: it does not start, or the target does not answer.
        ToolError: there are no programs of that version here.
    """
    facts = Facts.of(target)
    server = _program(facts.flavour, client_tools)
    with server_folder("") as folder:
        data = folder / "data"
        initial = [f"--{name}={facts.variables[name]}" for name in INITIAL if name in facts.variables]
        try:
            run_as("", _install(facts.flavour, server, data, initial), _environment(folder))
        except ToolError as error:
            raise DatabaseError(f"A server of our own could not be made: {error.what}") from error
        like = f"CHARACTER SET {facts.charset} COLLATE {facts.collation}"
        create = f"CREATE DATABASE IF NOT EXISTS {quote_name(target.database)} {like};"
        with _serve(server, data, folder, facts, target, [create]) as access:
            yield _url(access)


@contextmanager
def server_on(data: Path, within: Path, target: Access, client_tools: str | None) -> Iterator[URL]:
    """A server on a copy of the files of the target's server: it recovers, and neither replicates nor runs events.

    Args:
        data: the copied data folder, which is changed.
        within: where all of the copy lies.
        target: how the target is reached.
        client_tools: the folder of the programs, if configured.

    Yields:
        the copied database, for an account of ours that may do anything.

    Raises:
        BackupError: that is no such folder.
        DatabaseError: the server does not start, or the target does not answer.
        ToolError: there are no programs of its version here.
    """
    facts = Facts.of(target)
    refuse_unfit_folder(data, facts.data_directory, "ibdata1", within=within)
    if not any((data / name).exists() for name in REDO):
        raise BackupError(f"{data} has no {' or '.join(REDO)}: it is no whole copy, or was not prepared.")
    if facts.elsewhere != "":
        raise BackupError(
            f"The target's server has files outside of its data folder ({facts.elsewhere or 'it may not be asked'}): a "
            "server on a copy of that folder would write to them.",
            hint="Use dumps, or let provider-clone print the URL of a server of yours."
            if facts.elsewhere
            else "GRANT PROCESS ON *.* to the account of the target's URL: it may ask then.",
        )
    server = _program(facts.flavour, client_tools)
    _refuse_used(data)
    (data / "auto.cnf").unlink(missing_ok=True)  # the server's UUID: the copy gets one of its own
    # the databases of the copy have the live ones' names: a table with a DATA DIRECTORY would lie where theirs will
    inside = ["--symbolic-links=0"] if facts.flavour.mariadb else []
    with server_folder("") as folder, _serve(server, data, folder, facts, target, [], inside) as access:
        yield _url(access)


def _refuse_used(data: Path) -> None:
    """Raise BackupError where a server is at work on a folder: InnoDB locks its first file, and would wait 100 s."""
    try:
        with (data / "ibdata1").open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        used = error.errno in (errno.EACCES, errno.EAGAIN) and os.access(data / "ibdata1", os.W_OK)
        raise BackupError(
            f"{data} is in use by a server."
            if used
            else f"{data}/ibdata1 can't be written: {error.strerror}.",
            hint="Let provider-clone print the path of a copy that nobody else uses (docs/physical-backups.md).",
        ) from error


def _install(flavour: Flavour, server: Path, data: Path, initial: list[str]) -> list[str]:
    user = ["--user=root"] if os.geteuid() == 0 else []
    if not flavour.mariadb:
        return [str(server), "--no-defaults", "--initialize-insecure", f"--datadir={data}", *user, *initial]
    found = shutil.which("mariadb-install-db", path=_path(str(server.parent)))
    if found is None:
        raise ToolError(
            f"{server} has no mariadb-install-db beside it, or on PATH.", hint="Install all of the server."
        )
    more = ["--skip-test-db", "--auth-root-authentication-method=normal"]
    return [found, "--no-defaults", f"--datadir={data}", *user, *more, *initial]


def _program(flavour: Flavour, client_tools: str | None) -> Path:
    """The server's program, of the target's own series. Raises ToolError."""
    names = ("mariadbd", "mysqld") if flavour.mariadb else ("mysqld",)
    wanted = ".".join(map(str, flavour.version))
    said = ""
    for name in names:
        found = shutil.which(name, path=client_tools or _path())
        if found is None:
            continue
        said = run_tool([found, "--version"], timeout=20).strip()
        version = re.search(r"Ver (\d+\.\d+)\.", said)
        if version and version[1] == wanted and ("MariaDB" in said) == flavour.mariadb:
            return Path(found)
    raise ToolError(
        f"A server of our own for {flavour.name} {wanted} needs its program"
        + (f"; here is: {said}." if said else f", and {names[0]} was not found."),
        hint=f"Install the server of {flavour.name} {wanted} on this machine, or set `client-tools` to its folder.",
    )


def _path(first: str = "") -> str:
    return os.pathsep.join(filter(None, (first, *os.get_exec_path(), *PLACES)))


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": str(folder)}


def _url(access: Access) -> URL:
    return URL.create(
        "mysql+pymysql",
        access.user,
        access.parameters["password"],
        "localhost",
        database=access.database,
        query={"unix_socket": access.parameters["unix_socket"]},
    )


@contextmanager
def _serve(
    server: Path,
    data: Path,
    folder: Path,
    facts: Facts,
    target: Access,
    more: list[str],
    options: Sequence[str] = (),
) -> Iterator[Access]:
    password = f"aA1!{secrets.token_urlsafe(24)}"
    register_secret(password)
    account = f"'{ACCOUNT}'@'localhost'"
    first = folder / "first.sql"
    first.touch(mode=0o600)
    # one statement a line: what a server does before it lets anybody in
    statements = [
        "SET NAMES utf8mb4;",  # it takes them as of the server's character set otherwise
        f"DROP USER IF EXISTS {account};",
        f"CREATE USER {account} IDENTIFIED BY '{password}';",
        f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION;",
        *more,
    ]
    first.write_text("\n".join(statements) + "\n", encoding="utf-8")
    socket = str(folder / "s")
    argv = [
        str(server),
        "--no-defaults",
        f"--datadir={data}",
        f"--socket={socket}",
        f"--pid-file={folder / 'pid'}",
        f"--tmpdir={folder}",
        f"--init-file={first}",
        f"--secure-file-priv={folder}",  # MySQL's default is a folder that may not be there
        *OURS,
        *options,
        *([] if facts.flavour.mariadb else ["--mysqlx=OFF"]),
        *(["--user=root"] if os.geteuid() == 0 else []),
        *(f"--{name}={value}" for name, value in facts.variables.items()),
    ]
    parameters = {
        "host": "localhost",
        "port": "3306",
        "user": ACCOUNT,
        "password": password,
        "database": target.database,
        "unix_socket": socket,
    }
    access = Access(parameters, "ci-migrate")

    def up() -> bool:
        if not Path(socket).exists():  # made when what `first` says was done
            return False
        access.connect().close()
        return True

    with serving("", signal.SIGKILL, argv, _environment(folder), up):
        yield access
