"""Where the ledger is: beside the target, or where the setting `state` says."""

import hashlib
import re
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ci_migrate.databases.mysql.sessions import BACKENDS as MYSQL
from ci_migrate.databases.mysql.sessions import QUERY as MYSQL_ARGUMENTS
from ci_migrate.databases.postgresql.sessions import libpq_parameters
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import LedgerError, SettingsError

SUFFIX = "_ci_migrate"
NAME_LIMIT = 63  # bytes of a PostgreSQL identifier; longer ones are cut in silence, and two could become one
# (MySQL's have 64 characters)

# What libpq understands. Anything else in a URL's query belongs to the driver of the target's URL.
LIBPQ_ARGUMENTS = frozenset(
    (
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "options",
        "passfile",
        "password",
        "port",
        "require_auth",
        "requirepeer",
        "service",
        "servicefile",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslkeylogfile",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    )
)


def ledger_url(target_url: URL, state: str | None) -> URL:
    """Where the ledger of a target is, as a URL for our own (sync) sessions.

    Args:
        target_url: the target's, with whatever driver.
        state: the setting: a URL that wins over the place beside the target; None or "" for that place.

    Raises:
        SettingsError: `state` is no URL, or is the target itself (a restore would revive used tokens).
        UsageError: a SQLite URL that names no file.
        LedgerError: the target has no place beside it (another engine, no database named).
    """
    if not state:
        return _beside(target_url)
    try:
        url = make_url(state)
    except ArgumentError as error:
        raise SettingsError("The setting `state` is no database URL.") from error
    own = _translate(url)
    if target_url.get_backend_name() == own.get_backend_name() and _same(_translate(target_url), own):
        raise SettingsError(
            f"The setting `state` names the target itself ({place(own)}).",
            hint="The ledger must outlive a restore of the target: give it a database of its own.",
        )
    return own


def place(url: URL) -> str:
    """What a person reads: the file, or `host:port/name`. Never user, password or query."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    mysql = url.get_backend_name() in MYSQL
    if mysql and (socket := _one(url, "unix_socket")):
        return f"socket:{socket}/{url.database}"
    host = url.host or _one(url, "host") or ("localhost" if mysql else "local socket")
    return f"{host}:{url.port or _one(url, 'port') or (3306 if mysql else 5432)}/{url.database}"


def connectable(url: URL) -> URL:
    """The same ledger for `create_engine`. SQLite: as a URI that does not make a file which is not there."""
    if url.get_backend_name() != "sqlite":
        return url
    return url.set(database="file:" + quote(str(url.database)), query={"mode": "rw", "uri": "true"})


def marks_in(ledger: URL, target: URL) -> str | None:
    """The name of the ledger's database, where a transaction on the target can write into it too; else None.

    That is so on MySQL and MariaDB, whose transactions reach all databases of their server.
    """
    if ledger.get_backend_name() not in MYSQL or target.get_backend_name() not in MYSQL:
        return None
    return ledger.database if _same(ledger.set(database="x"), _translate(target).set(database="x")) else None


def _beside(target_url: URL) -> URL:
    url = _translate(target_url)
    if url.get_backend_name() == "sqlite":
        return url.set(database=f"{url.database}.ci-migrate")
    if "options" in url.query:  # a search_path is of schemas that the target has
        options = re.sub(r"(?:-c\s*|--)search_path\s*=\s*(?:\\.|\S)*", "", _one(url, "options")).strip()
        url = url.difference_update_query(["options"])
        url = url.update_query_dict({"options": options}) if options else url
    return url.set(database=_cut(str(url.database)))


def _cut(name: str) -> str:
    """`<name>_ci_migrate` in at most 63 bytes; a hash keeps apart long names that begin alike."""
    data = name.encode()
    if len(data) + len(SUFFIX) <= NAME_LIMIT:
        return name + SUFFIX
    # cut by bytes, which may end in the middle of a letter: that letter is left out
    digest = hashlib.sha256(data).hexdigest()[:8]
    room = NAME_LIMIT - len(SUFFIX) - len(digest) - 1
    return f"{data[:room].decode(errors='ignore')}_{digest}{SUFFIX}"


def _translate(url: URL) -> URL:
    """The URL with our own driver, and without what only another driver understands."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return URL.create("sqlite", database=str(SQLite(url).file))
    if backend == "postgresql":
        return _postgresql(url)
    if backend in MYSQL:
        return _mysql(url)
    raise LedgerError(
        f"There is no ledger for {backend} yet.",
        hint='Set `state = "URL"` to a SQLite, PostgreSQL, MySQL or MariaDB database.',
    )


def _postgresql(url: URL) -> URL:
    name = libpq_parameters(url)["dbname"]  # as the target's own sessions read it
    if not name:
        raise LedgerError(
            "The URL names no PostgreSQL database.", hint="Write the database's name into it, or set `state`."
        )
    query = {key: value for key, value in url.query.items() if key in LIBPQ_ARGUMENTS - {"dbname"}}
    if "ssl" in url.query and "sslmode" not in query:  # asyncpg's word for it
        query["sslmode"] = url.query["ssl"]
    return url.set(drivername="postgresql+psycopg", database=name, query=query)


def _mysql(url: URL) -> URL:
    if not url.database:
        raise LedgerError(
            "The URL names no database.", hint="Write the database's name into it, or set `state`."
        )
    kept = {*MYSQL_ARGUMENTS, "user", "password", "passwd"}
    query = {key: value for key, value in url.query.items() if key in kept}
    return url.set(drivername="mysql+pymysql", query=query)


def _same(one: URL, other: URL) -> bool:
    return place(one.set(host=_host(one))) == place(other.set(host=_host(other)))


def _host(url: URL) -> str:
    host = url.host or _one(url, "host") or "localhost"
    return "localhost" if host in ("127.0.0.1", "::1", "[::1]") else host


def _one(url: URL, key: str) -> str:
    value = url.query.get(key, "")
    return value if isinstance(value, str) else ",".join(value)
