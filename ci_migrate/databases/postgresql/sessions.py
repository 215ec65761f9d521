"""Sessions on PostgreSQL: a URL of any driver becomes libpq's parameters; a driver's error becomes one line."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL

from ci_migrate.databases.postgresql.kept import Kept
from ci_migrate.errors import DatabaseError, UsageError
from ci_migrate.settings.secrets import hide_secrets, register_secret

if TYPE_CHECKING:
    import psycopg

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

KEEP_ALIVE = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""A dead network is noticed within a minute or so, also where something was sent into it; what the URL says wins."""

OUR_SETTINGS = {
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read\\ committed",
    "default_transaction_deferrable": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""What our sessions and the client programs are set to, whatever ALTER DATABASE or ALTER ROLE says: with some of them
nothing could be read or restored. Not `search_path` and `role`: the application's names and rights come from those.

The last four are the server's own keep-alives: where we are gone with the network, it frees our run lock within a
minute or so, and not after two hours."""


def own_url(address: str | None, port: str) -> str:
    """What to do where a pooler answers.

    Args:
        address: of the server, as it says itself; None where the pooler reaches it by a socket.
        port: likewise.
    """
    where = f"{address or 'its own host'}, port {port}"
    return f"Give the server's own URL instead of the pooler's: the server says that it is at {where}."


FULL = ("too many clients", "too many connections", "connection slots are reserved")
"""How PostgreSQL says that a limit of the server, the database or the role is reached (SQLSTATE 53300)."""

SECRETS = ("password", "passfile", "sslpassword", "oauth_client_secret")
"""Parameters that never stand in a program's arguments."""


def _psycopg() -> Any:
    """Psycopg 3, imported only when a database is used."""
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            "The driver for PostgreSQL (psycopg 3) is not installed.",
            hint="Run: pip install 'ci-migrate[postgresql]'",
        ) from error
    return psycopg


def libpq_parameters(url: URL) -> dict[str, str]:
    """What libpq connects with: the URL's parts, then libpq's own defaults (environment, operating system).

    Query arguments that only another driver knows are dropped; asyncpg's `ssl` becomes `sslmode`.
    """
    driver = _psycopg()
    defaults = {
        o.keyword.decode(): o.val.decode() for o in driver.pq.Conninfo.get_defaults() if o.val is not None
    }
    known = {o.keyword.decode() for o in driver.pq.Conninfo.get_defaults()} - {"service", "client_encoding"}
    if "service" in url.query:
        raise UsageError(
            "The URL names its server by libpq's `service`, which hides where it leads.",
            hint="Write host, port and database into the URL.",
        )
    named = url.query.get("database")
    if isinstance(named, str) and (not url.database or url.get_driver_name() in ("asyncpg", "pg8000")):
        url = url.set(database=named)  # the word of these drivers, and of psycopg2's where there is no other
    query = {name: value for name, value in url.query.items() if name in known}
    if url.query.get("ssl") in SSL_MODES:
        query.setdefault("sslmode", url.query["ssl"])
    # SQLAlchemy itself knows best how its URLs are read (several hosts, sockets in the query)
    own = url.set(drivername="postgresql+psycopg", query=query)
    _, arguments = own.get_dialect()().create_connect_args(own)
    given = {name: str(value) for name, value in arguments.items() if name in known and value is not None}
    wanted = ("host", "port", "user", "password", "options")
    filled = {**{name: defaults[name] for name in wanted if name in defaults}, **given}
    filled.setdefault("host", "")
    filled.setdefault("port", "5432")
    filled.setdefault("dbname", defaults.get("dbname") or filled.get("user", ""))
    for name in SECRETS:
        if name != "passfile":
            register_secret(filled.get(name, ""), (filled["host"], filled.get("user", ""), filled["dbname"]))
    return filled


@dataclass(frozen=True)
class Access:
    """One database as libpq reaches it, and what each session of ours is set to."""

    parameters: Mapping[str, str] = field(repr=False)
    application_name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    kept: Kept | None = field(default=None, repr=False, compare=False)

    @property
    def database(self) -> str:
        """The database's name."""
        return self.parameters["dbname"]

    @property
    def user(self) -> str:
        """The role that logs in."""
        return self.parameters.get("user", "")

    @property
    def host(self) -> str:
        """The host's name, or the folder of a socket, or ''."""
        return self.parameters["host"]

    @property
    def match(self) -> dict[str, str]:
        """As `base.Wall.match`."""
        return {
            "host": self.host,
            "port": self.parameters["port"],
            "database": self.database,
            "user": self.user,
            "password": self.parameters.get("password", ""),
        }

    @property
    def server(self) -> str:
        """`db.example.com:5432`, `socket:5432`."""
        by_socket = not self.host or self.host.startswith(("/", "@"))
        return f"{'socket' if by_socket else self.host}:{self.parameters['port']}"

    @property
    def place(self) -> str:
        """`db.example.com:5432/shop`."""
        return f"{self.server}/{self.database}"

    def elsewhere(self, database: str, application_name: str | None = None) -> "Access":
        """Another database on the same server."""
        return replace(
            self,
            parameters={**self.parameters, "dbname": database},
            application_name=application_name or self.application_name,
            kept=None,
        )

    @property
    def anew(self) -> "Access":
        """The same, where each session is a new one."""
        return replace(self, kept=None)

    def as_itself(self) -> "Access":
        """As the role that logs in, whatever role ALTER ROLE makes of it then."""
        return replace(self, settings={**self.settings, "role": "none"}, kept=None)

    def same_server(self, connection: "psycopg.Connection[Any]") -> "Access":
        """With the one host that a live session is on.

        URLs may name several, and programs that bring another libpq may look for the socket elsewhere.
        """
        info = connection.info
        there = {"host": info.host, "port": str(info.port)}
        if "hostaddr" in self.parameters:
            there["hostaddr"] = info.hostaddr
        return replace(self, parameters={**self.parameters, **there}, kept=None)

    def arguments(self, *, read_only: bool = False) -> dict[str, str]:
        """Arguments of `psycopg.connect`.

        Settings go by `options`, behind those that the URL brings: there no `RESET` of a revision can undo them.
        """
        parameters = {**self.parameters, "client_encoding": "UTF8"}
        if read_only and parameters.get("target_session_attrs") == "read-write":
            parameters["target_session_attrs"] = "primary"  # no session that only reads would do
        return {
            **KEEP_ALIVE,
            **parameters,
            "application_name": self.application_name,
            "options": self._options(
                {**self.settings, **({"default_transaction_read_only": "on"} if read_only else {})}
            ),
        }

    def _options(self, settings: Mapping[str, str]) -> str:
        """What a session is set to, behind what the URL says: of two, the later one counts."""
        ours = (f"-c {name}={value}" for name, value in {**OUR_SETTINGS, **settings}.items())
        return " ".join(option for option in (self.parameters.get("options", ""), *ours) if option)

    def conninfo(self) -> str:
        """A connection string for `pg_dump -d`, without secrets."""
        _psycopg()
        from psycopg.conninfo import make_conninfo

        given = {**KEEP_ALIVE, **self.parameters}
        kept = {name: value for name, value in given.items() if name not in SECRETS}
        role = {name: value for name, value in self.settings.items() if name == "role"}
        kept["options"] = self._options(role)  # timeouts are the program's own affair
        return make_conninfo("", **kept, application_name=self.application_name)

    @contextmanager
    def session(self, *, read_only: bool = False) -> "Iterator[psycopg.Connection[tuple[Any, ...]]]":
        """A session in autocommit, closed at the end, or kept. Errors of the driver leave it as DatabaseError."""
        if read_only and self.kept is not None:
            with (
                self.translate_errors(),
                self.kept.session(partial(self.connect, read_only=True)) as connection,
            ):
                yield connection
            return
        with closing(self.connect(read_only=read_only)) as connection, self.translate_errors():
            yield connection

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Errors of the driver leave the block as DatabaseError."""
        driver = _psycopg()
        try:
            yield
        except driver.errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"{self.place}: {self.explain(error)}.",
                hint=f"Grant that to role {self.user}, or use a role that has it.",
            ) from error
        except driver.Error as error:
            raise DatabaseError(f"{self.place}: {self.explain(error)}.") from error

    def connect(self, *, read_only: bool = False) -> "psycopg.Connection[tuple[Any, ...]]":
        """A session in autocommit. Raises DatabaseError that says what is wrong and what to look at."""
        driver = _psycopg()
        try:
            connection: psycopg.Connection[tuple[Any, ...]] = driver.connect(
                **self.arguments(read_only=read_only), autocommit=True
            )
            if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
                # such a database holds any bytes, and sends none that are no UTF-8 as that; each byte is some LATIN1
                connection.execute("SET client_encoding = 'LATIN1'")
        except driver.Error as error:
            raise self._unreachable(error) from error
        return connection

    def explain(self, error: BaseException) -> str:
        """One line: SQLSTATE and the server's first sentence; never DETAIL, CONTEXT, values or the password."""
        cause: Any = getattr(error, "orig", None) or error
        cause = getattr(cause, "__cause__", None) or cause if not hasattr(cause, "diag") else cause
        diag = getattr(cause, "diag", None)
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        message = getattr(diag, "message_primary", None)
        if not message:
            # a connection that failed has no fields; the last line is of the host tried last
            lines = [line.strip() for line in str(cause).splitlines() if line.strip()] or [
                type(cause).__name__
            ]
            message = (
                lines[0] if state else lines[-1] if len(lines) > 1 and "FATAL" in lines[-1] else lines[0]
            )
            message = message.rpartition("FATAL:")[2].strip()
        message = hide_secrets(" ".join(str(message).split()))
        return f"{message} (SQLSTATE {state})" if state else message

    def _unreachable(self, error: BaseException) -> DatabaseError:
        """Why no session could be opened. libpq hands over no SQLSTATE for that, so it is found out by asking."""
        pq = _psycopg().pq
        from psycopg.conninfo import make_conninfo

        answer = pq.PGconn.ping(make_conninfo("", **{**KEEP_ALIVE, **self.parameters}).encode())
        if answer == pq.Ping.REJECT:
            return DatabaseError(
                f"PostgreSQL at {self.server} is starting up or shutting down.", hint="Try again in a moment."
            )
        if answer != pq.Ping.OK:
            return DatabaseError(
                f"PostgreSQL does not answer at {self.server}: {self.explain(error)}.",
                hint="Check that the server runs, and the host and port in the URL.",
            )
        return DatabaseError(
            f"PostgreSQL at {self.server} refused the connection to {self.database}: {self.explain(error)}.",
            hint=self._refusal_hint(error),
        )

    def _refusal_hint(self, error: BaseException) -> str:
        """The next step for a server that answers and refuses. Its words are English until a session is there."""
        if any(words in str(error) for words in FULL):
            return "All of its connections are taken: end some, or raise max_connections or the role's limit."
        connection = getattr(error, "pgconn", None)
        if connection is not None and connection.needs_password:
            return f"Give role {self.user} its password in the URL, by PGPASSWORD or in ~/.pgpass."
        driver = _psycopg()
        if behind := self._behind_a_pooler():
            return behind
        for other in ("postgres", "template1"):
            if other == self.database:
                continue
            try:
                with driver.connect(**self.elsewhere(other).arguments(), autocommit=True) as session:
                    found = session.execute(
                        "SELECT FROM pg_database WHERE datname = %s", [self.database]
                    ).fetchone()
            except driver.Error:
                continue
            if found is None:
                return f"Check the database's name in the URL, or create it: createdb {self.database}"
            return f"Role {self.user} needs CONNECT on it, and a free connection."
        return (
            f"By what the server says: the password of role {self.user}, pg_hba.conf, or a free connection."
        )

    def _behind_a_pooler(self) -> str:
        """What to do where a session without settings is let in: poolers refuse those. '' where none is."""
        plain = {name: value for name, value in self.parameters.items() if name != "options"}
        try:
            with _psycopg().connect(**{**KEEP_ALIVE, **plain}, autocommit=True) as session:
                found = session.execute("SELECT host(inet_server_addr()), current_setting('port')").fetchone()
        except _psycopg().Error:
            return ""
        return f"That is a connection pooler, which keeps no settings of a session. {own_url(*found)}"
