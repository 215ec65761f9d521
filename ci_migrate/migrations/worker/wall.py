"""The wall: decides for each connection where it goes, or that it goes nowhere.

It is a safety net, not a sandbox: it sees every connection that SQLAlchemy's engines and the known drivers make
(`drivers.py`), sends those for the target where the stage wants them, and refuses all others.
"""

from __future__ import annotations

import os
import re
from typing import Any, NoReturn

from .channel import Channel, Refused, Stopped

READ, DRY_RUN, MIGRATE = "read", "dry-run", "migrate"

LOCAL = {"", "localhost", "127.0.0.1", "::1"}

STANDS_IN = 0x43494D00
"""The application_id, plus the number of the request's database, of the empty database in memory that a reader gets
for a file that does not exist."""


class Wall:
    """What the parts for each engine share: the databases of the request, and how to say no."""

    def __init__(self, channel: Channel, request: dict[str, Any]) -> None:
        setup = request["setup"]
        self.channel = channel
        self.mode: str = request["mode"]
        self.asks_url: bool = request["action"] == "ask-url"
        self.entries: list[dict[str, Any]] = setup["databases"]
        self.allowed: list[str] = setup["allow_connections"]
        self.session: dict[str, Any] = setup["session"]
        self.refused: list[str] = []
        self.sqlite = SQLiteWall(self)
        self.postgresql = PostgreSQLWall(self)
        self.mysql = MySQLWall(self)

    def refuse(self, words: str) -> NoReturn:
        """Tell the parent what was refused, and don't let it happen."""
        self.note(words)
        raise Refused(words)

    def note(self, words: str) -> None:
        """Tell the parent what was refused."""
        self.refused.append(words)
        self.channel.send("refused", words=words)

    def tell_wanted(self, dialect: str, driver: str, parts: dict[str, str]) -> None:
        """Where env.py connects may be all that was asked for: then this process has done its work."""
        if self.asks_url:
            self.channel.send("wanted", dialect=dialect, driver=driver, parts=parts)
            raise Stopped

    def entries_of(self, dialect: str) -> list[dict[str, Any]]:
        """The request's databases of one engine."""
        return [entry for entry in self.entries if entry["dialect"] == dialect]

    def leads_elsewhere(self, entry: dict[str, Any], ours: bool) -> bool:
        """Whether a connection to this database goes by other arguments than it was asked for.

        In a dry run those to the target go to the copy. Where a stage reads, and the target has a login for that
        alone, each is made with that one: the login that env.py has may write.
        """
        if self.mode == DRY_RUN:
            return not ours
        return self.mode == READ and "user" in entry["connect"]

    def allows_session(self, database: str) -> bool:
        """Whether `allow-connections` names a server's database like this."""
        return any(name.endswith("/" + database) for name in self.allowed)

    def check_session(self, family: str, cursor: Any) -> str | None:
        """Compare what a new session says of itself with the databases that are allowed.

        Returns the entry's name; None for a session that `allow-connections` allows.
        """
        if family == "sqlite":
            return self.sqlite.check_session(cursor)
        if family == "mysql":
            return self.mysql.check_session(cursor)
        return self.postgresql.check_session(cursor)


class SQLiteWall:
    """SQLite: which file is meant."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall

    def target(self, file: str) -> str | None:
        """The file to open instead, None for the one asked for."""
        if not file:
            return None
        for entry in self.wall.entries_of("sqlite"):
            if same_file(file, entry["connect"].get("file")):
                return None
            if same_file(file, entry["match"].get("file")):
                return str(entry["connect"]["file"]) if self.wall.mode == DRY_RUN else None
        self.wall.tell_wanted("sqlite", "", {"file": file})
        if self.allows_file(file):
            return None
        self.wall.refuse("a connection to the SQLite database " + file)

    def entry_number(self, file: str) -> int | None:
        """The number of the database whose file this is."""
        for number, entry in enumerate(self.wall.entries):
            names = (entry["match"].get("file"), entry["connect"].get("file"))
            if entry["dialect"] == "sqlite" and any(same_file(file, name) for name in names):
                return number
        return None

    def allows_file(self, file: str) -> bool:
        """Whether `allow-connections` names this file."""
        return any(same_file(file, name) for name in self.wall.allowed)

    def is_entry(self, file: str) -> bool:
        """Whether this file is the one that sessions of this stage work on."""
        return any(same_file(file, e["connect"].get("file")) for e in self.wall.entries_of("sqlite"))

    def only_reads(self, file: str) -> bool:
        """Whether a session on this file may not write."""
        mode = self.wall.mode
        return bool(file) and (mode == READ or (mode == DRY_RUN and not self.is_entry(file)))

    def check_session(self, cursor: Any) -> str | None:
        """As `Wall.check_session`."""
        cursor.execute("PRAGMA database_list")
        files = [row[2] for row in cursor.fetchall() if row[1] == "main"]
        file = files[0] if files else ""
        if not file:
            cursor.execute("PRAGMA application_id")
            number = cursor.fetchone()[0] - STANDS_IN
            return str(self.wall.entries[number]["name"]) if 0 <= number < len(self.wall.entries) else None
        for entry in self.wall.entries:
            if same_file(file, entry["identity"].get("file")):
                return str(entry["name"])
        if self.allows_file(file):
            return None
        self.wall.refuse("a session on the SQLite database " + file)


class PostgreSQLWall:
    """PostgreSQL: which database is meant."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall

    def target(self, driver: str, parts: dict[str, str]) -> dict[str, str]:
        """Replacements for host, port, database, user, password; {} to leave the arguments as they are."""
        for entry in self.wall.entries_of("postgresql"):
            ours = same_server(parts, entry["connect"])
            if ours or same_server(parts, entry["match"]):
                return dict(entry["connect"]) if self.wall.leads_elsewhere(entry, ours) else {}
        place = "{host}:{port}/{database}".format(**parts)
        self.wall.tell_wanted("postgresql", driver, parts)
        if place in self.wall.allowed:
            return {}
        self.wall.refuse("a connection to the PostgreSQL database " + place)

    def redirect(self, driver: str, arguments: dict[str, Any]) -> None:
        """Change the arguments of one connect in place, key by key: everything else is kept."""
        key = "database" if driver in ("asyncpg", "pg8000") else "dbname"
        other = "dbname" if key == "database" else "database"
        if other in arguments:
            arguments[key] = arguments.pop(other)
        for name in ("service", "hostaddr"):
            if arguments.get(name):
                self.wall.refuse(f"a connection by libpq's {name}, which can't be told apart from others")
        given = {name: arguments.get(name) for name in ("host", "port", "user", "password")}
        parts = postgresql_defaults(dict(given, database=arguments.get(key)))
        new = self.target(driver, parts)
        for name, value in new.items():
            if value == "" and name in ("password", "host"):
                arguments.pop(name, None)
            else:
                arguments[key if name == "database" else name] = int(value) if name == "port" else value
        ours = new or any(
            same_server(parts, e["connect"]) or same_server(parts, e["match"]) for e in self.wall.entries
        )
        self.set_options(
            driver, arguments, read_only=self.wall.mode == READ or (not ours and self.wall.mode == DRY_RUN)
        )

    def set_options(self, driver: str, arguments: dict[str, Any], read_only: bool) -> None:
        """Timeouts, name and read-only as connection options: a revision's own RESET can't undo them."""
        options = dict(self.wall.session.get("options", {}))
        name = self.wall.session.get("application_name")
        if read_only:
            options["default_transaction_read_only"] = "on"
        if driver == "asyncpg":
            settings = dict(arguments.get("server_settings") or {})
            for key, value in options.items():
                settings.setdefault(key, value)
            if name:
                settings["application_name"] = name
            arguments["server_settings"] = settings
        elif driver == "pg8000":
            arguments["application_name"] = name or None  # it has no way to give options
        else:
            given = arguments.get("options") or ""
            ours = " ".join(f"-c {k}={v}" for k, v in options.items() if k + "=" not in given)
            arguments["options"] = (given + " " + ours).strip()
            if name:
                arguments["application_name"] = name

    def check_session(self, cursor: Any) -> str | None:
        """As `Wall.check_session`."""
        cursor.execute(
            "SELECT current_database(), oid, pg_backend_pid() FROM pg_database WHERE datname = current_database()"
        )
        database, oid, pid = cursor.fetchone()
        self.wall.channel.send("session", pid=pid, database=str(database))
        for entry in self.wall.entries_of("postgresql"):
            wanted = entry["identity"]
            if wanted.get("database") == database and wanted.get("oid", str(oid)) == str(oid):
                return str(entry["name"])
        if self.wall.allows_session(str(database)):
            return None
        self.wall.refuse(f"a session on the PostgreSQL database {database}")


class MySQLWall:
    """MySQL and MariaDB: which database is meant."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.others: set[str] = set()  # the server's other databases
        self.caption = "/* {} */ ".format(wall.session["application_name"] or "ci-migrate")
        """The comment before each statement: the process list shows no other name of a session."""

    def redirect(self, driver: str, arguments: dict[str, Any]) -> None:
        """Change the arguments of one connect in place, key by key: everything else is kept."""
        for other, name in (("db", "database"), ("passwd", "password")):
            if other in arguments:
                value = arguments.pop(other)
                arguments[name] = value if value not in (None, "") else arguments.get(name)
        for name in ("read_default_file", "read_default_group"):
            if arguments.get(name):
                self.wall.refuse(f"a connection by the option file of {driver}, which hides where it leads")
        parts = mysql_defaults(arguments)
        entries = self.wall.entries_of("mysql")
        there = next((e for e in entries if same_mysql(parts, e["connect"])), None)
        ours = there is not None
        target = next((e for e in entries if same_mysql(parts, e["match"])), None)
        entry = there or target
        if entry is not None and self.wall.leads_elsewhere(entry, ours):
            replace_mysql(arguments, entry["connect"])
        elif entry is None:
            place = "{}/{}".format(
                parts["unix_socket"] or parts["host"] + ":" + parts["port"], parts["database"]
            )
            self.wall.tell_wanted("mysql", driver, parts)
            if place not in self.wall.allowed:
                self.wall.refuse("a connection to the MySQL database " + place)
        if driver == "aiomysql" and "database" in arguments:
            arguments["db"] = arguments.pop("database")
        if driver != "MySQLdb" and self.wall.session.get("application_name"):
            arguments["program_name"] = self.wall.session["application_name"]
        if not arguments.get("init_command"):
            # for raw connections, which no pool prepares: one statement is all that there is room for
            first = self.settings(read_only=self.wall.mode == READ or (target is None and not ours))
            arguments["init_command"] = first[-1] if first else None

    def settings(self, read_only: bool) -> list[str]:
        """The statements that set up a new session. MySQL has no options for it: a revision's own SET wins."""
        options = self.wall.session.get("options", {})
        wait = options.get("lock_timeout")
        settings = []
        if wait:
            seconds = max(1, round(int(wait) / 1000))
            settings.append(
                f"SET SESSION lock_wait_timeout={seconds}, SESSION innodb_lock_wait_timeout={seconds}"
            )
        return settings + (
            ["SET SESSION TRANSACTION READ ONLY"] if read_only and self.wall.mode != MIGRATE else []
        )

    def check_session(self, cursor: Any) -> str | None:
        """As `Wall.check_session`."""
        cursor.execute("SELECT DATABASE(), CONNECTION_ID(), VERSION()")
        database, pid, version = (text_of(value) for value in cursor.fetchone())
        server = mysql_server(cursor)
        self.wall.channel.send("session", pid=int(pid), database=database)
        found = None
        for entry in self.wall.entries_of("mysql"):
            wanted = entry["identity"]
            if (wanted.get("database"), wanted.get("server")) == (database, server):
                found = str(entry["name"])
                if self.wall.mode == MIGRATE:
                    mark_mysql(cursor, wanted.get("marks", "").split())
        if found is None and not self.wall.allows_session(database):
            self.wall.refuse(f"a session on the MySQL database {database}")
        for statement in self.settings(read_only=self.wall.mode == READ or found is None):
            cursor.execute(statement)
        limit = self.wall.session.get("options", {}).get("statement_timeout")
        if limit and self.wall.mode != READ:
            mariadb = "mariadb" in version.lower()
            cursor.execute(
                f"SET SESSION max_statement_time={int(limit) / 1000}"
                if mariadb
                else f"SET SESSION max_execution_time={int(limit)}"
            )
        if self.wall.mode == DRY_RUN:
            cursor.execute("SHOW DATABASES")  # only those that this account may see
            targets = {str(e["match"].get("database")) for e in self.wall.entries_of("mysql")}
            self.others = {text_of(row[0]) for row in cursor.fetchall()} | targets | {"mysql"}
            # nobody writes into the server's own schemas
            self.others -= {database, "information_schema", "performance_schema", "sys"}
        return found


def sqlite_file(database: Any, uri: bool = False) -> str:
    """The file that sqlite3.connect would open; '' for a database in memory."""
    database = os.fspath(database)
    if isinstance(database, bytes):
        database = os.fsdecode(database)
    if uri and database.startswith("file:"):
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(database)
        if "mode=memory" in parts.query or parts.path in ("", ":memory:"):
            return ""
        database = unquote(parts.path)
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
        from sqlalchemy.engine import make_url

        url = make_url(dsn.replace("postgres://", "postgresql://", 1))
        parts: dict[str, Any] = {
            "host": url.host,
            "port": url.port,
            "dbname": url.database,
            "user": url.username,
        }
        parts["password"] = str(url.password) if url.password is not None else None
        parts.update(url.query)
        return {k: v for k, v in parts.items() if v is not None}
    pairs = re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']+)", dsn)
    return {k: re.sub(r"\\(.)", r"\1", v[1:-1] if v.startswith("'") else v) for k, v in pairs}


def postgresql_defaults(parts: dict[str, Any]) -> dict[str, str]:
    """What libpq would use where an argument is missing."""
    user = parts.get("user") or os.environ.get("PGUSER") or os.environ.get("USER") or "postgres"
    return {
        "host": str(parts.get("host") or os.environ.get("PGHOST") or ""),
        "port": str(parts.get("port") or os.environ.get("PGPORT") or 5432),
        "database": str(parts.get("database") or os.environ.get("PGDATABASE") or user),
        "user": str(user),
        "password": str(parts.get("password") or ""),
    }


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


def mysql_server(cursor: Any) -> str:
    """What tells one server from another: the uid that it was given, else where it lives."""
    cursor.execute(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uid', 'server_uuid', 'hostname', 'port', 'datadir')"
    )
    found = {text_of(name): text_of(value) for name, value in cursor.fetchall()}
    known = found.get("server_uuid") or found.get("server_uid")
    return known or "{hostname}:{port}:{datadir}".format(**found)


def mark_mysql(cursor: Any, names: list[str]) -> None:
    """Take the first of these locks that is free: the next run sees by it that this session is still there."""
    for name in names:
        cursor.execute(f"SELECT GET_LOCK('{name}', 0)")
        if cursor.fetchone()[0] == 1:
            return
