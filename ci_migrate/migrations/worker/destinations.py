"""What the arguments of a connect mean: which file, which server, which database."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_to_bytes, urlsplit

LOCAL = {"", "localhost", "127.0.0.1", "::1"}


def sqlite_file(database: Any, uri: bool = False) -> str:
    """The file that sqlite3.connect would open; '' for a database in memory."""
    database = os.fspath(database)
    if isinstance(database, bytes):
        database = os.fsdecode(database)
    if uri and database.startswith("file:"):
        # by hand, as https://sqlite.org/uri.html has it: urlsplit leaves tabs and line breaks out of a path
        path, _, query = database[5:].partition("#")[0].partition("?")
        if path.startswith("//"):  # an authority: SQLite takes none but localhost
            path = "/" + path[2:].partition("/")[2]
        if dict(parse_qsl(query)).get("mode") == "memory":  # the last one counts
            return ""
        database = os.fsdecode(unquote_to_bytes(os.fsencode(path)))
    return "" if database in ("", ":memory:") else os.path.realpath(database)


def same_file(one: str | None, other: str | None) -> bool:
    """Whether two names mean the same file, which need not exist."""
    if not one or not other:
        return False
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def parse_dsn(dsn: str) -> dict[str, Any]:
    """A libpq connection string or URL as keyword arguments, without help of the driver."""
    if not dsn:
        return {}
    if "://" in dsn:
        # SQLAlchemy does not read several hosts behind each other, libpq does
        parsed = urlsplit(dsn)
        login, _, places = parsed.netloc.rpartition("@")
        user, _, password = login.partition(":")
        found = [re.fullmatch(r"(\[.*\]|[^:]*)(?::(\d*))?", place) for place in places.split(",")]
        if None in found:
            raise ValueError("the connection string names no host")
        hosts = [str(one and one[1]).strip("[]") for one in found]
        ports = [str((one and one[2]) or "") for one in found]
        parts: dict[str, Any] = {
            "host": unquote(",".join(hosts)),
            "port": ",".join(ports) if any(ports) else "",
            "dbname": unquote(parsed.path[1:]),
            "user": unquote(user),
            "password": unquote(password),
        }
        parts.update(parse_qsl(parsed.query))
        return {k: v for k, v in parts.items() if v.strip(",")}
    pairs = re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)+)", dsn, re.DOTALL)
    values = {k: v[1:-1] if v.startswith("'") else v for k, v in pairs}
    return {k: re.sub(r"\\(.)", r"\1", v, flags=re.DOTALL) for k, v in values.items()}


def postgresql_defaults(parts: dict[str, Any]) -> dict[str, str]:
    """What libpq would use where an argument is missing."""
    user = parts.get("user") or os.environ.get("PGUSER") or os.environ.get("USER") or "postgres"
    return {
        "host": joined(parts.get("host")) or os.environ.get("PGHOST") or "",
        "port": joined(parts.get("port")) or os.environ.get("PGPORT") or "5432",
        "database": str(parts.get("database") or os.environ.get("PGDATABASE") or user),
        "user": str(user),
        "password": str(parts.get("password") or ""),
    }


def joined(value: Any) -> str:
    """Several hosts or ports as libpq writes them; asyncpg takes lists."""
    return ",".join(str(one) for one in (value if isinstance(value, (list, tuple)) else (value or "",)))


def same_server(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sets of arguments mean the same database. In doubt they don't: then it is refused."""
    hosts = [str(o.get("host") or "") for o in (one, other)]
    same_host = hosts[0] == hosts[1] or all(h in LOCAL or h.startswith("/") for h in hosts)
    return (
        same_host
        and str(one.get("port") or 5432) == str(other.get("port") or 5432)
        and one.get("database") == other.get("database")
    )


def mysql_defaults(arguments: dict[str, Any]) -> dict[str, str]:
    """What a driver of MySQL would use where an argument is missing."""
    names = ("host", "user", "password", "database", "unix_socket")
    parts = {name: text_of(arguments.get(name)) for name in names}
    return dict(parts, host=parts["host"] or "localhost", port=str(arguments.get("port") or 3306))


def text_of(value: Any) -> str:
    """A value of a driver's, which may come as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else str(value or "")


def same_mysql(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sets of arguments mean the same database. What a session says of its server is looked at later."""
    sockets = [str(o.get("unix_socket") or "") for o in (one, other)]
    if one.get("database") != other.get("database"):
        return False
    if all(sockets):
        return same_file(*sockets)
    hosts = [str(o.get("host") or "") for o in (one, other)]
    if any(sockets):
        return all(socket or host in LOCAL for socket, host in zip(sockets, hosts))
    same_host = hosts[0] == hosts[1] or all(host in LOCAL for host in hosts)
    return same_host and str(one.get("port") or 3306) == str(other.get("port") or 3306)


def replace_mysql(arguments: dict[str, Any], connect: dict[str, str]) -> None:
    """Lead the arguments of a connect to another database."""
    for name in ("host", "port", "user", "password", "database", "unix_socket"):
        value = connect.get(name)
        if value:
            arguments[name] = int(value) if name == "port" else value
        elif name in ("unix_socket", "password"):
            arguments.pop(name, None)
