"""Sessions on MySQL and MariaDB: a URL of any driver becomes PyMySQL's arguments; a driver's error becomes one line."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL

from ci_migrate.errors import DatabaseError, LockWaitError, UsageError
from ci_migrate.settings.secrets import hide_secrets, register_secret

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

BACKENDS = ("mysql", "mariadb")
"""SQLAlchemy's names: of the drivers PyMySQL, mysqlclient, aiomysql, asyncmy and the connectors alike."""

QUERY = {
    "unix_socket": "unix_socket",
    "ssl_ca": "ssl_ca",
    "ssl_cert": "ssl_cert",
    "ssl_key": "ssl_key",
    "ssl_disabled": "ssl_disabled",
    "ssl_verify_cert": "ssl_verify_cert",
    "ssl_check_hostname": "ssl_verify_identity",
    "ssl_verify_identity": "ssl_verify_identity",
    "connect_timeout": "connect_timeout",
}
"""Arguments in a URL that say how to reach the server, and PyMySQL's names for them. Others are a driver's own."""

LOCK_WAIT = 1205
"""The server's number for a lock that did not come in time."""

READ_ONLY = "SET SESSION TRANSACTION READ ONLY"

QUOTED = {"sql_quote_show_create": "1"}
"""The server's default, without which its definitions can't be told from another; it begins each list of settings."""

SHOW_ALL_KEYS = "/*!80030 , SESSION show_gipk_in_create_table_and_information_schema = 1 */"
"""Behind the settings of a session: else columns that MySQL made by itself can be hidden, and a copy would lack them.
MariaDB reads no comments of these versions.

https://dev.mysql.com/doc/refman/8.4/en/create-table-gipks.html, https://mariadb.com/kb/en/comment-syntax/
"""

CONNECT_TIMEOUT = 10
"""Seconds; what the URL says wins."""


def _pymysql() -> Any:
    """PyMySQL, imported only when a database is used."""
    try:
        import pymysql
    except ImportError as error:
        raise UsageError(
            "The driver for MySQL and MariaDB (PyMySQL) is not installed.",
            hint="Run: pip install 'ci-migrate[mysql]'",
        ) from error
    return pymysql


@cache
def _connection_class() -> Any:
    """PyMySQL's connection, with one TLS context for all that verify nothing, which is what a URL without ssl_ca means.

    PyMySQL makes one for each connection, and reads the certificates of the whole system for that: a command opens
    dozens of sessions, and it would take tens of milliseconds each.
    """
    plain = _pymysql().connections.Connection
    shared: list[Any] = []

    def _create_ssl_ctx(self: Any, options: Any) -> Any:
        if options:
            return plain._create_ssl_ctx(self, options)  # noqa: SLF001
        if not shared:
            shared.append(plain._create_ssl_ctx(self, options))  # noqa: SLF001
        return shared[0]

    return type("Connection", (plain,), {"_create_ssl_ctx": _create_ssl_ctx})


def mysql_parameters(url: URL) -> dict[str, str]:
    """What PyMySQL connects with.

    Args:
        url: `mysql://` or `mariadb://`, with any driver.

    Returns:
        `host`, `port`, `user`, `password` and `database` ('' where the URL names none), and what of `QUERY` it has.

    Raises:
        UsageError: the URL hides where it leads (an option file), or names no database.
    """
    for name in ("read_default_file", "read_default_group"):
        if name in url.query:
            raise UsageError(
                f"The URL names its server by {name}, which hides where it leads.",
                hint="Write host, port, user and database into the URL.",
            )
    if not url.database:
        raise UsageError("The URL names no database.", hint="Write it behind the host: mysql://HOST/DATABASE")
    found = {
        "host": url.host or "localhost",
        "port": str(url.port or 3306),
        "user": url.username or "",
        "password": str(url.password or ""),
        "database": url.database,
    }
    for name, value in url.query.items():
        if name in QUERY and isinstance(value, str):
            found[QUERY[name]] = value
        elif name in ("user", "password", "passwd") and isinstance(value, str):
            found["password" if name == "passwd" else name] = value
    register_secret(found["password"], (found["host"], found["user"], found["database"]))
    return found


@dataclass(frozen=True)
class Access:
    """One database as PyMySQL reaches it, and what each session of ours is set to.

    `settings` are session variables, sent as the first command of a session.
    """

    parameters: Mapping[str, str] = field(repr=False)
    application_name: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def database(self) -> str:
        """The database's name."""
        return self.parameters["database"]

    @property
    def user(self) -> str:
        """The account that logs in, without its host."""
        return self.parameters["user"]

    @property
    def host(self) -> str:
        """The host's name; '' where a socket is used."""
        return "" if self.parameters.get("unix_socket") else self.parameters["host"]

    @property
    def server(self) -> str:
        """`db.example.com:3306`, `socket:/run/mysqld/mysqld.sock`."""
        socket = self.parameters.get("unix_socket")
        return f"socket:{socket}" if socket else f"{self.parameters['host']}:{self.parameters['port']}"

    @property
    def place(self) -> str:
        """`db.example.com:3306/shop`."""
        return f"{self.server}/{self.database}"

    def elsewhere(self, database: str) -> "Access":
        """Another database on the same server; '' for none."""
        return replace(self, parameters={**self.parameters, "database": database})

    def login(self, user: str, password: str) -> "Access":
        """The same database with another account."""
        register_secret(password)
        return replace(self, parameters={**self.parameters, "user": user, "password": password})

    def arguments(self) -> dict[str, Any]:
        """Arguments of `pymysql.connect`. The name of the session is in its connection attributes."""
        given: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT, **self.parameters}
        for name in ("port", "connect_timeout"):
            given[name] = int(given[name])
        for name in ("ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"):
            if name in given:
                given[name] = str(given[name]).lower() in ("1", "true", "yes", "on")
        if not given["database"]:
            del given["database"]
        settings = ", SESSION ".join(f"{n} = {v}" for n, v in {**QUOTED, **self.settings}.items())
        return {
            **given,
            "charset": "utf8mb4",
            "program_name": self.application_name,
            "init_command": f"SET SESSION {settings} {SHOW_ALL_KEYS}",
        }

    @contextmanager
    def session(self, *, read_only: bool = False) -> "Iterator[Cursor]":
        """A cursor of a session in autocommit, closed at the end. Errors of the driver leave it as DatabaseError."""
        with closing(self.connect(read_only=read_only)) as connection, self.translate_errors():
            yield connection.cursor()

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Errors of the driver leave the block as DatabaseError."""
        driver = _pymysql()
        try:
            yield
        except driver.MySQLError as error:
            if _parts(error)[0] == LOCK_WAIT:
                raise LockWaitError(f"{self.place}: {self.explain(error)}.") from error
            hint = f"Grant that to {self.user}, or use an account that has it." if _denied(error) else ""
            raise DatabaseError(f"{self.place}: {self.explain(error)}.", hint=hint) from error

    def connect(self, *, read_only: bool = False, several: bool = False) -> "Connection[Cursor]":
        """A session in autocommit; with `several` it takes many statements at once.

        Raises DatabaseError that says what is wrong and what to look at.
        """
        driver = _pymysql()
        flags = driver.constants.CLIENT.MULTI_STATEMENTS if several else 0
        try:
            connection = open_session(**self.arguments(), autocommit=True, client_flag=flags)
            if read_only:
                connection.cursor().execute(READ_ONLY)
        except (driver.MySQLError, OSError) as error:
            raise self._unreachable(error) from error
        return connection

    def explain(self, error: BaseException) -> str:
        """One line: the server's number and its first sentence; never values or the password."""
        cause: Any = getattr(error, "orig", None) or error
        number, message = _parts(cause)
        message = hide_secrets(" ".join(message.split()))
        return f"{message} ({number})" if number else message

    def _unreachable(self, error: BaseException) -> DatabaseError:
        """Why no session could be opened; the numbers are the server's and the client library's."""
        number, _ = _parts(error)
        words = self.explain(error)
        if number in (1044, 1045, 1698):
            return DatabaseError(
                f"{self.server} refused the login to {self.database or 'the server'}: {words}.",
                hint=f"Check the password of {self.user}, and its rights: SHOW GRANTS FOR '{self.user}'",
            )
        if number in (1040, 1203, 1226):
            return DatabaseError(
                f"{self.server} takes no more connections: {words}.",
                hint=f"All of its connections, or those of {self.user}, are taken: end some, or raise max_connections "
                "or max_user_connections.",
            )
        if number in (1129, 1130):
            return DatabaseError(
                f"{self.server} lets nobody in from this host: {words}.",
                hint="Let an administrator allow this host (1129: FLUSH HOSTS, then see why connections failed).",
            )
        if number == 1049:
            return DatabaseError(
                f"{self.server} has no database {self.database}.",
                hint=f"Check the name in the URL, or create it: CREATE DATABASE `{self.database}`",
            )
        return DatabaseError(
            f"No answer at {self.server}: {words}.",
            hint="Check that the server runs, and the host and port in the URL.",
        )


KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""Seconds, seconds, times, milliseconds: a dead network is noticed within a minute or so, not after two hours."""


def keep_alive(connection: Any) -> None:
    """Have the system look whether the server is still there: PyMySQL switches that on, but not how often.

    `connection` is PyMySQL's. Does nothing on a socket of this machine, nor where the system does not know an option.
    """
    own = getattr(connection, "_sock", None)
    if own is None or own.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def open_session(**arguments: Any) -> "Connection[Cursor]":
    """A session as PyMySQL opens it with these arguments. Raises the driver's errors."""
    connection: Connection[Cursor] = _connection_class()(**arguments)
    keep_alive(connection)
    return connection


def _parts(error: Any) -> tuple[int, str]:
    """Number and message of a driver's error."""
    arguments: tuple[Any, ...] = getattr(error, "args", ())
    if len(arguments) >= 2 and isinstance(arguments[0], int):
        return arguments[0], str(arguments[1])
    return 0, str(error) or type(error).__name__


def number_of(error: Any) -> int:
    """The server's number of a driver's error; 0 where it has none."""
    return _parts(error)[0]


def _denied(error: Any) -> bool:
    """Whether a right was missing: to a database, a table, a column, a routine, or an administrative one."""
    return _parts(error)[0] in (1044, 1142, 1143, 1227, 1370)
