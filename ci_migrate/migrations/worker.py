"""The child side: runs Alembic and a project's env.py, unmodified, behind the wall. ONE self-contained file.

It is handed over as source text (see `runner.BOOTSTRAP`), so it imports the standard library, Alembic (1.11+) and
SQLAlchemy (1.4+) only and keeps to the syntax of Python 3.9. Requests come in by the inherited standard input,
events go out by the inherited standard output, one JSON object a line; whatever env.py prints goes to standard
error. `events.py` mirrors the messages, a test holds the two together.

The wall is a safety net, not a sandbox: it sees every connection that SQLAlchemy's engines and the known drivers
make, sends those for the target where the stage wants them, and refuses all others.

Sections: what statements are · talking to the parent · the wall · the drivers · statement by statement · Alembic ·
from the request to the last event.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import json
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from _thread import start_new_thread
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from select import select
from typing import Any, ClassVar, NoReturn

READ, DRY_RUN, MIGRATE = "read", "dry-run", "migrate"

# ------------------------------------------------------------------------------- what statements are

COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
WRITES = re.compile(
    COMMENTS + r"(INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|TRUNCATE|MERGE|"
    r"REPLACE|VACUUM|REINDEX|ANALYZE|REFRESH|LOCK|CALL|DO)\b",
    re.IGNORECASE | re.DOTALL,
)
"""What is not sent while the heads are read. The session is read-only besides."""

READS = re.compile(
    r"\s*(SHOW\b|DESC(?:RIBE)?\b|EXPLAIN\b(?!.*\bANALY[SZ]E\b)|PRAGMA\s+[\w.\"]+\s*(\(.*\))?\s*;?\s*$|SELECT\b(?!.*\bINTO\b).*\bFROM\b)",
    re.IGNORECASE | re.DOTALL,
)
"""What is no part of the stream of statements that change the database."""

NO_BEGIN = re.compile(
    COMMENTS + r"(PRAGMA|ATTACH|DETACH|VACUUM|BEGIN|COMMIT|END|ROLLBACK|RELEASE)\b", re.IGNORECASE | re.DOTALL
)
TRANSACTION = re.compile(
    COMMENTS + r"(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|START\s+TRANSACTION)\b",
    re.IGNORECASE | re.DOTALL,
)
FOREIGN_KEYS = re.compile(
    COMMENTS + r"PRAGMA\s+(?:\w+\.)?foreign_keys\s*[=(]\s*['\"]?(\w+)", re.IGNORECASE | re.DOTALL
)

QUOTED = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
LEAVES_DATABASE = re.compile(
    r"(?:^|;|\$|\bBEGIN|\bTHEN|\bELSE|\bLOOP|\bEXECUTE)\s*'?\s*(?:"
    r"(?:CREATE|ALTER|DROP)\s+(?:ROLE|USER|GROUP|DATABASE|TABLESPACE|SERVER|SUBSCRIPTION)\b"
    r"|ALTER\s+SYSTEM\b|COMMENT\s+ON\s+(?:DATABASE|ROLE|TABLESPACE)\b"
    r"|SECURITY\s+LABEL\b[^;]*\bON\s+(?:DATABASE|ROLE|TABLESPACE)\b"
    r"|(?:REASSIGN|DROP)\s+OWNED\b|COPY\b[^;]*\b(?:PROGRAM|(?:TO|FROM)\s*')"
    r"|(?:GRANT|REVOKE)\b(?:[^;]*\bON\s+(?:DATABASE|TABLESPACE)\b|(?:(?!\bON\b)[^;])*\b(?:TO|FROM)\b)"
    r"|ATTACH\b)"
    r"|\b(?:dblink(?:_\w+)?|lo_export|pg_terminate_backend|pg_cancel_backend|pg_reload_conf"
    r"|pg_create_\w*replication_slot)\s*\(",
    re.IGNORECASE | re.DOTALL,
)
"""PostgreSQL: what has an effect outside of the database that it is sent to."""


MYSQL = ("mysql", "mariadb")
"""SQLAlchemy's names of the two that share a protocol, and everything here."""

IMPLICIT_COMMIT = re.compile(
    COMMENTS
    + r"(?:(?:CREATE|ALTER|DROP)\b(?!\s+TEMPORARY\b)|(?:RENAME|TRUNCATE|GRANT|REVOKE|OPTIMIZE|REPAIR|FLUSH"
    r"|INSTALL|UNINSTALL|BEGIN)\b|START\s+TRANSACTION\b|(?:ANALYZE|CHECK)\b.*\bTABLE\b|(?:UN)?LOCK\s+TABLES?\b)",
    re.IGNORECASE | re.DOTALL,
)
"""MySQL and MariaDB: what commits the open transaction before it runs.

https://dev.mysql.com/doc/refman/8.0/en/implicit-commit.html, https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/
"""

OF_SESSION = re.compile(
    COMMENTS + r"(?:SET|RESET|PRAGMA)\b|" + COMMENTS + r"SELECT\s+(?:pg_catalog\.)?set_config\b",
    re.IGNORECASE | re.DOTALL,
)
"""What no commit keeps: where a revision goes on, the new session needs it again."""

NO_CHANGE = re.compile(COMMENTS + r"(?:SET|USE|SHOW|DESCRIBE|DO|EXPLAIN)\b", re.IGNORECASE | re.DOTALL)
LEAVES_MYSQL = re.compile(
    r"(?:^|;|\bBEGIN|\bTHEN|\bELSE|\bLOOP|\bDO)\s*(?:"
    r"(?:CREATE|ALTER|DROP|RENAME)\s+(?:OR\s+REPLACE\s+)?(?:USER|ROLE|SERVER|TABLESPACE|LOGFILE|RESOURCE)\b"
    r"|(?:CREATE|DROP)\s+(?:DATABASE|SCHEMA)\b|ALTER\s+(?:DATABASE|SCHEMA)\s+(?!CHARACTER|CHARSET|DEFAULT|COLLATE|COMMENT)"
    r"|GRANT\b|REVOKE\b|USE\b|FLUSH\b|KILL\b|SHUTDOWN\b|PURGE\b|RESET\b|INSTALL\b|UNINSTALL\b|CHANGE\s+(?:MASTER|REPLICATION)\b"
    r"|SET\s+(?:GLOBAL\b|PERSIST\w*\b|PASSWORD\b|@@(?:GLOBAL|PERSIST\w*)\b|DEFAULT\s+ROLE\b)|(?:START|STOP)\s+(?:SLAVE|REPLICA)\b)"
    r"|\bINTO\s+(?:OUT|DUMP)FILE\b",
    re.IGNORECASE | re.DOTALL,
)
"""What has an effect outside of the database that it is sent to, by its first words."""

TABLE_COMES = (
    r"\b(?:FROM|JOIN|INTO|UPDATE|TABLES?|EXISTS|REFERENCES|VIEW|TRIGGER|PROCEDURE|FUNCTION|EVENT|CALL|RENAME|LIKE"
    r"|ONLY|TO)\s+"
)


def leaves_mysql(sql: str, database: str, others: Iterable[str]) -> str:
    """What of a statement reaches beyond the database that it is sent to; "" if nothing does.

    `others` are the names of all other databases. Where a table or an alias has the name of one, only the places in
    which a table must stand are looked at.
    """
    bare = re.sub(r"--[^\n]*|#[^\n]*|/\*(?!!).*?\*/|'(?:[^'\\]|''|\\.)*'", " ", sql, flags=re.DOTALL)
    found = LEAVES_MYSQL.search(bare)
    if found:
        return " ".join(found.group().split())
    for name in others:
        quoted = r"(?:`{0}`|\b{0})".format(re.escape(name.replace("`", "``")))
        hit = re.search(quoted + r"\s*\.", bare, re.IGNORECASE)
        if hit and name.lower() != database.lower():
            elsewhere = re.search(quoted + r"(?!\s*\.|\w)", bare, re.IGNORECASE)
            if not elsewhere or re.search(TABLE_COMES + quoted + r"\s*\.", bare, re.IGNORECASE):
                return "database " + name
    return ""


def leaves_database(sql: str) -> bool:
    """Whether a statement, or one of several in a text, reaches beyond its own database."""
    if re.match(COMMENTS + r"DO\b", sql, re.IGNORECASE | re.DOTALL):
        return LEAVES_DATABASE.search(sql) is not None  # a program: what it EXECUTEs stands in quotes
    bare = QUOTED.sub(lambda found: "''" if found.group()[0] in "'$" else " ", sql)
    return LEAVES_DATABASE.search(bare) is not None


def words_of(sql: str, limit: int = 120) -> str:
    """A statement as one short line."""
    return " ".join(sql.split())[:limit]


class Refused(Exception):  # noqa: N818 - it is no fault of anybody's
    """The wall, or the plan, says no."""


class Stopped(BaseException):
    """The parent asked to stop. A BaseException, so that no `except Exception` of an env.py holds it up."""


# ------------------------------------------------------------------------------- talking to the parent


HELD = ("revision", "done", "stamped")
"""Nothing is decided by them: they go out with the next event, or after `HOLD` seconds."""

HOLD = 0.05
BUNDLE = 50

ASKED = ("statement", "committing", "committed")

json_text = json.JSONEncoder(default=str, ensure_ascii=False).encode


class Channel:
    """Events out, words in. Duplicates the standard streams first, so that env.py can't write into them.

    A switch from one process to the other costs more than most statements: what needs no answer goes out in bundles.
    """

    def __init__(self) -> None:
        self._unsent: list[bytes] = []
        self._asked: Sequence[str] = ASKED
        self._held: Sequence[str] = HELD
        self._in = os.dup(0)
        self._out = os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        self._buffer = b""
        self._pid = os.getpid()
        self._lock = threading.RLock()

    def agree(self, asked: Sequence[str]) -> None:
        """Which events wait for a word. Without "statement" among them this process runs ahead of its parent."""
        self._asked = asked
        if "statement" not in asked:
            self._held = (*HELD, *(name for name in ASKED if name not in asked))
        # `_thread`: an application that waits for all threads that it sees, or patches them, has no part in this
        start_new_thread(self._send_later, (time.sleep,))

    def _send_later(self, sleep: Callable[[float], None]) -> None:
        while True:
            sleep(HOLD)
            with self._lock:
                try:
                    self._flush()
                except OSError:
                    return  # the parent is gone: that is dealt with before the next statement, not in between

    def line(self) -> bytes:
        """The parent's next word."""
        while b"\n" not in self._buffer:
            data = os.read(self._in, 65536)
            if not data:
                os._exit(70)  # the parent is gone: nothing more is sent to the database
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def send(self, event: str, **fields: Any) -> None:
        """Tell the parent."""
        if self.forked:
            return
        fields["event"] = event
        # "replace": a name of a file that is no UTF-8 may be in it, and half of a surrogate pair is no JSON
        data = json_text(fields).encode("utf-8", "replace") + b"\n"
        with self._lock:
            self._unsent.append(data)
            if event in self._held and len(self._unsent) < BUNDLE:
                return
            try:
                self._flush()
            except OSError:
                os._exit(70)

    def _flush(self) -> None:
        data = b"".join(self._unsent)
        self._unsent.clear()
        while data:
            data = data[os.write(self._out, data) :]

    def ask(self, event: str, **fields: Any) -> None:
        """Tell the parent and wait for its word: "go", "stop" or "refuse <why>"."""
        if self.forked:
            raise Refused("a process forked by env.py may not use the database")
        with self._lock:
            self.send(event, **fields)
            if event not in self._asked and not self._buffer and not select([self._in], [], [], 0)[0]:
                return  # neither a word to stop nor the end of the parent
            word = self.line()
        if word == b"stop":
            raise Stopped
        if word.startswith(b"refuse "):
            raise Refused(word[7:].decode("utf-8", "replace"))

    @property
    def forked(self) -> bool:
        """Whether this is a process that env.py forked: it has no part in the conversation."""
        return os.getpid() != self._pid


# ------------------------------------------------------------------------------- the wall


class Wall:
    """Decides for each connection: where it goes, or that it goes nowhere."""

    def __init__(self, channel: Channel, request: dict[str, Any]) -> None:
        self.channel = channel
        self.mode: str = request["mode"]
        self.ask_only: bool = request.get("ask_url", False)
        self.entries: list[dict[str, Any]] = request.get("databases", [])
        self.allowed: list[str] = request.get("allow_connections", [])
        self.session: dict[str, Any] = request.get("session", {})
        self.refused: list[str] = []
        self.others: set[str] = set()  # MySQL: the server's other databases

    def refuse(self, words: str) -> NoReturn:
        """Tell the parent what was refused, and don't let it happen."""
        self.note(words)
        raise Refused(words)

    def note(self, words: str) -> None:
        """Tell the parent what was refused."""
        self.refused.append(words)
        self.channel.send("refused", words=words)

    def wanted(self, dialect: str, driver: str, parts: dict[str, str]) -> None:
        """Where env.py connects is all that was asked for: then this process has done its work."""
        if self.ask_only:
            self.channel.send("wanted", dialect=dialect, driver=driver, parts=parts)
            raise Stopped

    # -- SQLite: which file is meant

    def sqlite_target(self, file: str) -> str | None:
        """The file to open instead, None for the one asked for."""
        if not file:
            return None
        for entry in self.entries:
            if entry["dialect"] == "sqlite":
                if same_file(file, entry["connect"].get("file")):
                    return None
                if same_file(file, entry["match"].get("file")):
                    return str(entry["connect"]["file"]) if self.mode == DRY_RUN else None
        self.wanted("sqlite", "", {"file": file})
        if self.allowed_file(file):
            return None
        self.refuse("a connection to the SQLite database " + file)

    def sqlite_entry(self, file: str) -> int | None:
        """The number of the database whose file this is."""
        for number, entry in enumerate(self.entries):
            names = (entry["match"].get("file"), entry["connect"].get("file"))
            if entry["dialect"] == "sqlite" and any(same_file(file, name) for name in names):
                return number
        return None

    def allowed_file(self, file: str) -> bool:
        """Whether `allow-connections` names this file."""
        return any(same_file(file, name) for name in self.allowed)

    def entry_file(self, file: str) -> bool:
        """Whether this file is the one that sessions of this stage work on."""
        return any(
            e["dialect"] == "sqlite" and same_file(file, e["connect"].get("file")) for e in self.entries
        )

    def only_reads(self, file: str) -> bool:
        """Whether a session on this file may not write."""
        return bool(file) and (self.mode == READ or (self.mode == DRY_RUN and not self.entry_file(file)))

    # -- PostgreSQL: which database is meant

    def postgresql_target(self, driver: str, parts: dict[str, str]) -> dict[str, str]:
        """Replacements for host, port, database, user, password; {} to leave the arguments as they are."""
        for entry in self.entries:
            if entry["dialect"] == "postgresql":
                if same_server(parts, entry["connect"]):
                    return {}
                if same_server(parts, entry["match"]):
                    return dict(entry["connect"]) if self.mode == DRY_RUN else {}
        place = "{host}:{port}/{database}".format(**parts)
        self.wanted("postgresql", driver, parts)
        if place in self.allowed:
            return {}
        self.refuse("a connection to the PostgreSQL database " + place)

    def redirect_postgresql(self, driver: str, arguments: dict[str, Any]) -> None:
        """Change the arguments of one connect in place: only single keys, everything else is kept."""
        key = "database" if driver in ("asyncpg", "pg8000") else "dbname"
        other = "dbname" if key == "database" else "database"
        if other in arguments:
            arguments[key] = arguments.pop(other)
        for name in ("service", "hostaddr"):
            if arguments.get(name):
                self.refuse("a connection by libpq's {}, which can't be told apart from others".format(name))
        given = {name: arguments.get(name) for name in ("host", "port", "user", "password")}
        parts = postgresql_defaults(dict(given, database=arguments.get(key)))
        new = self.postgresql_target(driver, parts)
        for name, value in new.items():
            if value == "" and name in ("password", "host"):
                arguments.pop(name, None)
            else:
                arguments[key if name == "database" else name] = int(value) if name == "port" else value
        ours = new or any(
            same_server(parts, e["connect"]) or same_server(parts, e["match"]) for e in self.entries
        )
        self.session_options(
            driver, arguments, read_only=self.mode == READ or (not ours and self.mode == DRY_RUN)
        )

    # -- MySQL and MariaDB: which database is meant

    def redirect_mysql(self, driver: str, arguments: dict[str, Any]) -> None:
        """Change the arguments of one connect in place: only single keys, everything else is kept."""
        for other, name in (("db", "database"), ("passwd", "password")):
            if other in arguments:
                value = arguments.pop(other)
                arguments[name] = value if value not in (None, "") else arguments.get(name)
        for name in ("read_default_file", "read_default_group"):
            if arguments.get(name):
                self.refuse(
                    "a connection by the option file of {}, which hides where it leads".format(driver)
                )
        parts = mysql_defaults(arguments)
        entries = [e for e in self.entries if e["dialect"] == "mysql"]
        ours = any(same_mysql(parts, e["connect"]) for e in entries)
        target = next((e for e in entries if same_mysql(parts, e["match"])), None)
        if target is not None and not ours and self.mode == DRY_RUN:
            replace_mysql(arguments, target["connect"])
        elif target is None and not ours:
            place = "{}/{}".format(
                parts["unix_socket"] or parts["host"] + ":" + parts["port"], parts["database"]
            )
            self.wanted("mysql", driver, parts)
            if place not in self.allowed:
                self.refuse("a connection to the MySQL database " + place)
        if driver == "aiomysql" and "database" in arguments:
            arguments["db"] = arguments.pop("database")
        if driver != "MySQLdb" and self.session.get("application_name"):
            arguments["program_name"] = self.session["application_name"]
        if not arguments.get("init_command"):
            # for raw connections, which no pool prepares: one statement is all that there is room for
            first = self.mysql_settings(read_only=self.mode == READ or (target is None and not ours))
            arguments["init_command"] = first[-1] if first else None

    def mysql_settings(self, read_only: bool) -> list[str]:
        """What a new session is set to. MySQL has no connection options for it: a revision's own SET wins."""
        options = self.session.get("options", {})
        wait = options.get("lock_timeout")
        settings = []
        if wait:
            seconds = max(1, round(int(wait) / 1000))
            settings.append(
                "SET SESSION lock_wait_timeout={0}, SESSION innodb_lock_wait_timeout={0}".format(seconds)
            )
        return settings + (
            ["SET SESSION TRANSACTION READ ONLY"] if read_only and self.mode != MIGRATE else []
        )

    def session_options(self, driver: str, arguments: dict[str, Any], read_only: bool) -> None:
        """Timeouts, name and read-only as connection options: a revision's own RESET can't undo them."""
        options = dict(self.session.get("options", {}))
        name = self.session.get("application_name")
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
            arguments["application_name"] = name  # it has no way to give options
        else:
            given = arguments.get("options") or ""
            ours = " ".join("-c {}={}".format(k, v) for k, v in options.items() if k + "=" not in given)
            arguments["options"] = (given + " " + ours).strip()
            if name:
                arguments["application_name"] = name

    # -- what a new session says of itself

    def session_opened(self, family: str, cursor: Any) -> str | None:
        """Compare the identity of a new session with the one that is allowed.

        Returns the entry's name; None for a session that `allow-connections` allows.
        """
        return {"sqlite": self.sqlite_opened, "mysql": self.mysql_opened}.get(family, self.postgresql_opened)(
            cursor
        )

    def mysql_opened(self, cursor: Any) -> str | None:
        cursor.execute("SELECT DATABASE(), CONNECTION_ID(), VERSION()")
        database, pid, version = (text_of(value) for value in cursor.fetchone())
        server = mysql_server(cursor)
        self.channel.send("session", pid=int(pid), database=database)
        found = None
        for entry in self.entries:
            wanted = entry["identity"]
            if entry["dialect"] == "mysql" and (wanted.get("database"), wanted.get("server")) == (
                database,
                server,
            ):
                found = str(entry["name"])
                if self.mode == MIGRATE:
                    mark_mysql(cursor, wanted.get("marks", "").split())
        allowed = any(name.endswith("/" + database) for name in self.allowed)
        if found is None and not allowed:
            self.refuse("a session on the MySQL database {}".format(database))
        for statement in self.mysql_settings(read_only=self.mode == READ or found is None):
            cursor.execute(statement)
        limit = self.session.get("options", {}).get("statement_timeout")
        if limit and self.mode != READ:
            mariadb = "mariadb" in version.lower()
            cursor.execute(
                "SET SESSION max_statement_time={}".format(int(limit) / 1000)
                if mariadb
                else "SET SESSION max_execution_time={}".format(int(limit))
            )
        if self.mode == DRY_RUN:
            cursor.execute("SHOW DATABASES")  # only those that this account may see
            targets = {str(e["match"].get("database")) for e in self.entries if e["dialect"] == "mysql"}
            self.others = {text_of(row[0]) for row in cursor.fetchall()} | targets | {"mysql"}
            self.others -= {
                database,
                "information_schema",
                "performance_schema",
                "sys",
            }  # nobody writes there
        return found

    def sqlite_opened(self, cursor: Any) -> str | None:
        cursor.execute("PRAGMA database_list")
        files = [row[2] for row in cursor.fetchall() if row[1] == "main"]
        file = files[0] if files else ""
        if not file:
            cursor.execute("PRAGMA application_id")
            number = cursor.fetchone()[0] - STANDS_IN
            return str(self.entries[number]["name"]) if 0 <= number < len(self.entries) else None
        for entry in self.entries:
            if same_file(file, entry["identity"].get("file")):
                return str(entry["name"])
        if self.allowed_file(file):
            return None
        self.refuse("a session on the SQLite database " + file)

    def postgresql_opened(self, cursor: Any) -> str | None:
        cursor.execute(
            "SELECT current_database(), oid, pg_backend_pid() FROM pg_database WHERE datname = current_database()"
        )
        database, oid, pid = cursor.fetchone()
        self.channel.send("session", pid=pid, database=str(database))
        for entry in self.entries:
            if entry["dialect"] == "postgresql":
                wanted = entry["identity"]
                if wanted.get("database") == database and wanted.get("oid", str(oid)) == str(oid):
                    return str(entry["name"])
        if any(name.endswith("/" + str(database)) for name in self.allowed):
            return None
        self.refuse("a session on the PostgreSQL database {}".format(database))


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


LOCAL = {"", "localhost", "127.0.0.1", "::1"}


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
        cursor.execute("SELECT GET_LOCK('{}', 0)".format(name))
        if cursor.fetchone()[0] == 1:
            return


# ------------------------------------------------------------------------------- the drivers
# creator=, pool= and raw connections do not pass by SQLAlchemy's do_connect


def on_do_connect(dialect: Any, _record: Any, cargs: list[Any], cparams: dict[str, Any]) -> None:
    """An engine is about to connect."""
    wrap_dialect(dialect)
    wall = State.wall
    if dialect.name == "sqlite" or (dialect.name in MYSQL and dialect.driver in WRAPPED_MYSQL):
        return  # the driver itself is wrapped, for engines, pools and raw connections alike
    if dialect.name != "postgresql":
        url = {k: str(v) for k, v in cparams.items() if isinstance(v, (str, int))}
        wall.wanted(dialect.name, dialect.driver, url)
        wall.refuse("a connection to a {} database".format(dialect.name))
    arguments = dict(cparams)
    if cargs and isinstance(cargs[0], str):
        arguments = {**parse_dsn(cargs.pop(0)), **arguments}
    wall.redirect_postgresql(dialect.driver, arguments)
    cparams.clear()
    cparams.update(arguments)


STANDS_IN = 0x43494D00
"""The application_id, plus the number of the request's database, of an empty one in memory that a reader gets for a
file that does not exist."""


def wrap_sqlite3(wall: Wall, module: Any) -> None:
    original = module.connect

    def connect(database: Any, *args: Any, **kwargs: Any) -> Any:
        file = sqlite_file(database, kwargs.get("uri", False) or args[6:7] == (True,))
        target = wall.sqlite_target(file)
        if target is None and wall.only_reads(file) and not os.path.exists(file):
            target = ":memory:"  # reading must not create the file
        if target is not None:
            database, args = target, args[:6]
            kwargs.pop("uri", None)
        connection = original(database, *args, **kwargs)
        if target == ":memory:":
            meant = wall.sqlite_entry(file)
            if meant is not None:
                connection.execute("PRAGMA application_id={:d}".format(STANDS_IN + meant))
        authorize(wall, connection, reading=wall.only_reads(target or file))
        if file:
            prepare_sqlite(wall, connection, target or file)
        return connection

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "sqlite3.connect" and not wall.channel.forked:
            file = sqlite_file(arguments[0], str(arguments[0]).startswith("file:"))
            if wall.sqlite_target(file) is not None:
                wall.refuse("a connection to {} that was not made by sqlite3.connect".format(file))

    module.connect = connect
    sys.addaudithook(audit)  # sqlite3.Connection(...) goes past `connect`


def authorize(wall: Wall, connection: Any, *, reading: bool) -> None:
    """ATTACH (and VACUUM INTO) is refused by SQLite's own authorizer: it sees raw connections too.

    Of a session that only reads it also leaves out what `query_only` does not bear (BEGIN IMMEDIATE is an error
    there) or does not hold back (journal_mode is kept in the file). Many an env.py sends both when it connects.
    """
    import sqlite3

    pragma, transaction, attach = (
        19,
        22,
        24,
    )  # SQLITE_ATTACH and so on; the module names them since Python 3.11

    def decide(action: int, name: str | None, value: str | None = None, *_rest: Any) -> int:
        if reading and (action == transaction or (action == pragma and name == "journal_mode" and value)):
            return sqlite3.SQLITE_IGNORE
        if action != attach or name in ("", ":memory:"):
            return sqlite3.SQLITE_OK
        # None: the name is a bound value or an expression, and SQLite does not tell which file it will be
        file = (
            sqlite_file(name, name.startswith("file:"))
            if name is not None
            else "that is not named in the statement"
        )
        if file and not wall.entry_file(file) and not (wall.mode == MIGRATE and wall.allowed_file(file)):
            wall.note("ATTACH of the SQLite database " + file)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    connection.set_authorizer(decide)


def prepare_sqlite(wall: Wall, connection: Any, file: str) -> None:
    """Timeout and read-only for a new connection."""
    if wall.session.get("busy_timeout"):
        connection.execute("PRAGMA busy_timeout={:d}".format(wall.session["busy_timeout"]))
    if wall.only_reads(file):
        connection.execute("PRAGMA query_only=ON")
    elif wall.mode == DRY_RUN and not connection.in_transaction:
        connection.execute("PRAGMA synchronous=OFF")  # a scratch copy need not survive a power cut


def wrap_psycopg2(wall: Wall, module: Any) -> None:
    original = module.connect

    def connect(
        dsn: Any = None, connection_factory: Any = None, cursor_factory: Any = None, **kwargs: Any
    ) -> Any:
        arguments = {**parse_dsn(dsn or ""), **kwargs}
        wall.redirect_postgresql("psycopg2", arguments)
        return original(None, connection_factory, cursor_factory, **arguments)

    module.connect = connect


PSYCOPG_OWN = {"autocommit", "prepare_threshold", "context", "row_factory", "cursor_factory"}


def wrap_psycopg(wall: Wall, module: Any) -> None:
    def wrap(owner: Any) -> None:
        original = owner.connect.__func__

        def connect(cls: Any, /, conninfo: str = "", **kwargs: Any) -> Any:
            own = {k: kwargs.pop(k) for k in list(kwargs) if k in PSYCOPG_OWN}
            arguments = {**parse_dsn(conninfo), **kwargs}
            wall.redirect_postgresql("psycopg", arguments)
            return original(cls, "", **arguments, **own)

        owner.connect = classmethod(connect)

    wrap(module.Connection)
    wrap(module.AsyncConnection)
    module.connect = module.Connection.connect


def wrap_asyncpg(wall: Wall, module: Any) -> None:
    original = module.connection.connect

    def connect(dsn: Any = None, **kwargs: Any) -> Any:
        arguments = {**parse_dsn(dsn or ""), **kwargs}
        wall.redirect_postgresql("asyncpg", arguments)
        return original(None, **arguments)

    module.connect = module.connection.connect = connect


def wrap_pg8000(wall: Wall, module: Any) -> None:
    original = module.core.CoreConnection.__init__

    def init(
        self: Any, user: Any, host: Any = "localhost", database: Any = None, port: Any = 5432, password: Any = None,
        *args: Any, **kwargs: Any
    ) -> None:  # fmt: skip
        arguments = {"user": user, "host": host, "database": database, "port": port, "password": password}
        wall.redirect_postgresql("pg8000", arguments)
        kwargs.setdefault("application_name", arguments.pop("application_name", None))
        original(self, *args, **arguments, **kwargs)

    module.core.CoreConnection.__init__ = init


WRAPPED_MYSQL = ("pymysql", "mysqldb", "aiomysql", "asyncmy")
MYSQL_POSITIONS = ("host", "user", "password", "database", "port", "unix_socket")


def wrap_mysql(wall: Wall, module: Any) -> None:
    """Every driver of MySQL has a class Connection that all ways to connect lead to."""
    driver = module.__name__.partition(".")[0]
    original = module.Connection.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        arguments = {**dict(zip(MYSQL_POSITIONS, args)), **kwargs}
        wall.redirect_mysql(driver, arguments)
        original(self, *args[len(MYSQL_POSITIONS) :], **{k: v for k, v in arguments.items() if v is not None})

    module.Connection.__init__ = init


def wrap_other(wall: Wall, module: Any) -> None:
    """Drivers of databases that are not the target's: no connection at all."""
    name = module.__name__

    def connect(*_args: Any, **_kwargs: Any) -> NoReturn:
        wall.refuse("a connection by the driver " + name)

    module.connect = connect


DRIVERS: dict[str, Callable[[Wall, Any], None]] = {
    "psycopg2": wrap_psycopg2,
    "psycopg": wrap_psycopg,
    "asyncpg": wrap_asyncpg,
    "pg8000": wrap_pg8000,
    "pymysql.connections": wrap_mysql,
    "MySQLdb.connections": wrap_mysql,
    "aiomysql.connection": wrap_mysql,
    "asyncmy.connection": wrap_mysql,
    "mysql.connector": wrap_other,
    "mariadb": wrap_other,
    "oracledb": wrap_other,
    "pyodbc": wrap_other,
}


def build_wall(wall: Wall) -> None:
    """Listen to every engine and wrap every driver, now or when it is imported."""
    import sqlite3

    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import Pool

    event.listen(Engine, "do_connect", on_do_connect)
    event.listen(Pool, "connect", on_pool_connect)
    wrap_sqlite3(wall, sqlite3.dbapi2)
    sqlite3.connect = sqlite3.dbapi2.connect
    for name, wrap in DRIVERS.items():
        if name in sys.modules:
            wrap(wall, sys.modules[name])
    sys.meta_path.insert(0, AfterImport(wall))


class AfterImport(importlib.abc.MetaPathFinder):
    """Wraps a driver right after its first import."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.looking = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that the other finders give, with our wrapper at its end."""
        if name not in DRIVERS or getattr(self.looking, "name", None) == name:
            return None
        self.looking.name = name
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.looking.name = None
        if spec is None or spec.loader is None:
            return spec
        original = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            original(module)
            DRIVERS[name](self.wall, module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


# ------------------------------------------------------------------------------- statement by statement


class Session:
    """What is known of one driver's connection."""

    def __init__(self, entry: str | None, connection: Any, autocommit: bool) -> None:
        self.entry = entry  # which of the request's databases; None: none of them
        self.connection = connection  # kept: its id must not be used again
        self.autocommit = autocommit
        self.dirty = False  # a statement that may change the database ran since the last commit
        self.violations: set[tuple[Any, ...]] | None = None  # foreign keys are off; the rows that break them
        self.contexts: list[
            int
        ] = []  # the version tables that env.py configured on it; the last one is its own
        self.revision: str | None = None  # the last one that ran there
        self.stamped = True
        self.probed: set[tuple[str, ...]] = set()  # what the probe gave since the last commit


class State:
    """The one run of this process."""

    channel: Channel
    wall: Wall
    sessions: ClassVar[dict[int, Session]] = {}
    levels: ClassVar[dict[int, str]] = {}  # isolation level of connections that are not known yet
    position = 0
    context = 0
    revision: str | None = None
    revision_file: str | None = None
    stamped = True
    of_context: ClassVar[dict[int, Session]] = {}
    marker: ClassVar[dict[str, str]] = {}  # MySQL: where a commit leaves its mark
    skip: ClassVar[
        dict[str, list[str]]
    ] = {}  # by number of the version table and revision: digests of statements that an earlier run has committed
    started: ClassVar[dict[int, tuple[int, float, bool]]] = {}
    probe = ""  # asked after each new statement inside a transaction
    asked: ClassVar[set[tuple[Any, ...]]] = set()
    measuring = 0.0  # seconds that went into probes: they are nobody's hold time
    internal = False
    loading = False  # the revision scripts


def raw_connection(connection: Any) -> Any:
    """The driver's connection inside SQLAlchemy's pool proxies (the adapted one for async drivers)."""
    for name in ("dbapi_connection", "connection"):  # the second one: SQLAlchemy before 1.4.24
        inner = getattr(connection, name, None)
        if inner is not None:
            return inner
    return connection


def driver_connection(connection: Any) -> Any:
    """The driver's connection itself, for async drivers too."""
    return getattr(connection, "driver_connection", None) or getattr(connection, "_connection", connection)


def session_of(connection: Any) -> Session | None:
    return State.sessions.get(id(raw_connection(connection)))


def on_pool_connect(connection: Any, _record: Any) -> None:
    """A pool has a new connection: is it one to a database that it may be?"""
    names = type(driver_connection(connection)).__module__, type(connection).__module__
    sqlite = any("sqlite" in name for name in names)
    mysql = any("mysql" in name.lower() or "asyncmy" in name for name in names)
    cursor = connection.cursor()
    try:
        entry = State.wall.session_opened("sqlite" if sqlite else "mysql" if mysql else "postgresql", cursor)
    finally:
        cursor.close()
        if not sqlite:
            connection.rollback()
    autocommit = State.levels.pop(id(connection), "").upper() == "AUTOCOMMIT"
    State.sessions[id(connection)] = Session(entry, connection, autocommit)
    if sqlite:
        connection.isolation_level = None


def in_transaction(connection: Any) -> bool | None:
    """Whether the driver is inside a transaction; None where it does not say."""
    driver = driver_connection(raw_connection(connection))
    try:
        if hasattr(driver, "in_transaction"):
            return bool(driver.in_transaction)
        if hasattr(driver, "is_in_transaction"):
            return bool(driver.is_in_transaction())
        if hasattr(driver, "get_transaction_status"):
            return bool(driver.get_transaction_status() != 0)
        if hasattr(driver, "server_status"):
            return bool(driver.server_status & 1)  # SERVER_STATUS_IN_TRANS
        if hasattr(driver, "info"):
            return int(driver.info.transaction_status) != 0
    except Exception:
        return None
    return None


# -- commits and rollbacks


def wrap_dialect(dialect: Any) -> None:
    """Know of each commit, and keep SQLite's transactions ours, by the dialect's documented methods."""
    if getattr(dialect, "_ci_migrate", False):
        return
    dialect._ci_migrate = True
    do_commit, do_rollback, set_level = dialect.do_commit, dialect.do_rollback, dialect.set_isolation_level

    def commit(connection: Any) -> None:
        session = session_of(connection)
        if session is not None:
            session.probed.clear()
        if session is None or session.entry is None or State.wall.mode == READ:
            do_commit(connection)
        elif before_commit(dialect, raw_connection(connection), session):
            do_commit(connection)
            committed(session)
        else:
            do_commit(connection)

    def rollback(connection: Any) -> None:
        session = session_of(connection)
        if session is not None:
            session.probed.clear()
        if session is not None and session.dirty:
            session.dirty = False
            State.channel.send(
                "rolled-back",
                revision=standing(session)[1],
                statements=State.position,
                contexts=session.contexts,
                database=session.entry or "",
                at=clock(),
            )
        do_rollback(connection)

    def set_isolation_level(connection: Any, level: str) -> None:
        set_level(connection, level)
        raw = raw_connection(connection)
        session = session_of(raw)
        if session is None:
            State.levels[id(raw)] = str(level)
        else:
            session.autocommit = str(level).upper() == "AUTOCOMMIT"
        if dialect.name == "sqlite":
            raw.isolation_level = None

    dialect.do_commit, dialect.do_rollback, dialect.set_isolation_level = (
        commit,
        rollback,
        set_isolation_level,
    )


def before_commit(dialect: Any, raw: Any, session: Session) -> bool:
    """Ask before something is committed; False where there is nothing to commit."""
    fields = {}
    if dialect.name == "postgresql" and in_transaction(raw) is not False:
        cursor = raw.cursor()
        try:
            cursor.execute("SELECT pg_current_xact_id_if_assigned()::text")
            fields["xid"] = cursor.fetchone()[0]
        finally:
            cursor.close()
        session.dirty = session.dirty or fields["xid"] is not None  # a function or a raw cursor has written
    if not session.dirty:
        return False
    if dialect.name in MYSQL and State.marker:
        fields["xid"] = mark(raw)
    if session.entry and fields.get("xid"):
        fields["xid"] = "{}/{}".format(session.entry, fields["xid"])  # which of several databases to ask
    if dialect.name == "sqlite" and session.violations is not None:
        now = violations(raw)
        new = now - session.violations
        if new:
            raise Refused(
                "{} rows of {} refer to rows that are gone (PRAGMA foreign_key_check; the revision switched "
                "foreign keys off)".format(len(new), min(new, key=str)[0])
            )
        session.violations = now
    State.channel.ask("committing", statements=State.position, revision=standing(session)[1], **fields)
    return True


def standing(session: Session) -> tuple[int, str | None, bool]:
    """Version table, revision and whether that ran to its end: of this session, where env.py migrates by it.

    Of several sessions that are open side by side each is committed for itself, after all of them have run.
    """
    if session.contexts:
        return session.contexts[-1], session.revision, session.stamped
    return State.context, State.revision, State.stamped


def mark(raw: Any) -> str | None:
    """MySQL and MariaDB: a row beside the ledger, in the very transaction that is about to be committed.

    Asked later it tells whether that was committed. None where the row can't be written: then nobody can tell.
    """
    marker = State.marker
    name = str(marker["database"]).replace("`", "``")
    cursor = raw.cursor()
    try:
        cursor.execute(
            "INSERT INTO `{}`.ci_migrate_commits (run_id, position) VALUES ('{}', {:d})".format(
                name.replace("%", "%%"), marker["run"], State.position
            )
        )
    except Exception:
        return None
    finally:
        cursor.close()
    return "{}:{}:{}".format(marker["database"], marker["run"], State.position)


def committed(session: Session) -> None:
    session.dirty = False
    session.probed.clear()
    context, revision, complete = standing(session)
    State.channel.ask(
        "committed",
        statements=State.position,
        context=context,
        contexts=session.contexts,
        database=session.entry or "",
        revision=revision,
        complete=complete,
        at=clock(),
    )
    if complete:  # what comes now is env.py's, until the next revision starts
        session.revision = None
    if State.stamped:
        State.revision = State.revision_file = None


def violations(raw: Any) -> set[tuple[Any, ...]]:
    """The rows whose foreign keys lead nowhere; none where SQLite can't tell (a parent table is missing)."""
    cursor = raw.cursor()
    try:
        cursor.execute("PRAGMA foreign_key_check")
        return {tuple(row) for row in cursor.fetchall()}
    except Exception:
        return set()
    finally:
        cursor.close()


# -- statements


def before_execute(
    conn: Any, cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
) -> tuple[str, Any]:
    """A statement is about to be sent: held back, refused, or announced."""
    session = session_of(conn.connection)
    if State.internal or session is None or session.entry is None:
        return statement, parameters
    wall = State.wall
    sqlite, mysql = conn.dialect.name == "sqlite", conn.dialect.name in MYSQL
    if wall.mode == READ:
        if not WRITES.match(statement):
            return statement, parameters
        State.channel.send("write-at-load", sql=statement[:2000])
        nothing = "SELECT 1 FROM DUAL WHERE 1 = 0" if mysql else "SELECT 1 WHERE 1 = 0"
        return (statement, []) if executemany else (nothing, ())
    if wall.mode == DRY_RUN and not sqlite and leaves_copy(wall, session, statement, mysql):
        wall.refuse("a statement that leaves the scratch copy: " + words_of(statement))
    if mysql:
        settle(conn.dialect, session)
    raw = raw_connection(conn.connection)
    if session.dirty and in_transaction(raw) is False:
        committed(session)  # by a raw cursor, behind SQLAlchemy's back
    if sqlite:
        prepare_statement(raw, session, statement)
    if mysql and session.dirty and not session.autocommit and IMPLICIT_COMMIT.match(statement):
        conn.dialect.do_commit(conn.connection)  # the server would do it anyway, and nobody would be told
    if READS.match(statement):
        return statement, parameters
    file, line = site()
    digest = sha256(statement.encode("utf-8", "replace")).hexdigest()
    revision = State.revision
    if State.stamped and State.of_context.get(State.context, session) is not session:
        revision = None  # it has come to its end, on another connection: this is env.py's
    committed_before = State.skip.get("{}:{}".format(State.context, revision))
    if committed_before:
        if committed_before.pop(0) != digest:
            raise Refused("what is committed of the revision begins otherwise: " + words_of(statement))
        if OF_SESSION.match(statement):
            return statement, parameters  # it went with the session that sent it
        nothing = "SELECT 1 FROM DUAL WHERE 1 = 0" if mysql else "SELECT 1 WHERE 1 = 0"
        return (statement, []) if executemany else (nothing, ())
    State.channel.ask(
        "statement",
        position=State.position + 1,
        context=State.context,
        revision=revision,
        file=file,
        line=line,
        sql=statement[:20000],
        digest=digest,
    )
    State.position += 1
    if not TRANSACTION.match(statement) and not (mysql and NO_CHANGE.match(statement)):
        session.dirty = True
    State.started[id(cursor)] = (State.position, time.monotonic(), file is not None)
    if mysql and not executemany:  # PyMySQL sends many rows at once only where INSERT comes first
        # the process list shows no other name of a session: by this one an orphaned statement is found
        statement = caption(wall) + statement
    return statement, parameters


def settle(dialect: Any, session: Session) -> None:
    """MySQL and MariaDB: env.py goes on with another database, so what ran on the one before it is committed first.

    Its DDL is there already: a failure further on would take back the version row alone.
    """
    earlier = State.of_context.get(State.context)
    if earlier is not None and State.stamped and earlier.dirty and earlier.entry != session.entry:
        dialect.do_commit(earlier.connection)


def caption(wall: Wall) -> str:
    """The comment before each statement on MySQL and MariaDB."""
    return "/* {} */ ".format(wall.session.get("application_name", "ci-migrate"))


def leaves_copy(wall: Wall, session: Session, statement: str, mysql: bool) -> bool:
    """Whether a statement reaches beyond the scratch copy."""
    if not mysql:
        return leaves_database(statement)
    entry = next(e for e in wall.entries if str(e["name"]) == session.entry)
    return bool(leaves_mysql(statement, str(entry["connect"].get("database")), wall.others))


def prepare_statement(raw: Any, session: Session, statement: str) -> None:
    """SQLite: a real transaction, begun before the first statement that is neither PRAGMA nor transaction control."""
    match = FOREIGN_KEYS.match(statement)
    if match:
        if in_transaction(raw):
            State.channel.send("pragma-in-transaction", revision=State.revision, sql=statement[:200])
        elif match.group(1).lower() not in ("off", "0", "false", "no"):
            session.violations = None
        elif session.violations is None:
            session.violations = violations(raw)
    if NO_BEGIN.match(statement) or READS.match(statement) or session.autocommit or in_transaction(raw):
        return
    if raw.isolation_level is not None:  # a connect listener of the application's
        raw.isolation_level = None
    cursor = raw.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    cursor.close()


def after_execute(
    conn: Any, cursor: Any, statement: str, _parameters: Any, _context: Any, _executemany: bool
) -> None:
    """It ran."""
    started = State.started.pop(id(cursor), None)
    if started is None:
        return
    position, begun, scripted = started
    seconds = time.monotonic() - begun
    rows = getattr(cursor, "rowcount", -1)
    rows = rows if isinstance(rows, int) and rows >= 0 else None
    session = session_of(conn.connection)
    ended = clock()
    asks = State.probe and scripted  # not of Alembic's own UPDATE of its version table
    probed = probe(conn, session, statement) if asks and session is not None else None
    State.channel.send("done", position=position, seconds=seconds, rows=rows, at=ended, probed=probed)
    if conn.dialect.name in MYSQL and getattr(cursor, "description", None):
        tell_transaction(driver_connection(raw_connection(conn.connection)))
    if session is not None and session.dirty and committed_by_itself(conn, session, statement):
        committed(session)


def tell_transaction(driver: Any) -> None:
    """PyMySQL and its relatives keep the status of before a statement that gives rows, as INSERT ... RETURNING does."""
    status = getattr(driver, "server_status", None)
    if isinstance(status, int) and not status & 2:  # SERVER_STATUS_AUTOCOMMIT
        driver.server_status = status | 1  # SERVER_STATUS_IN_TRANS


VARYING = re.compile(r"'(?:[^']|'')*'|\b\d+\b")


def clock() -> float:
    """Seconds on a clock that stands still while we measure."""
    return time.monotonic() - State.measuring


def probe(conn: Any, session: Session, statement: str) -> list[list[str]] | None:
    """What the session itself answers after a statement, without what it answered before in this transaction.

    Not asked again for further rounds of a loop, nor outside of transactions, where everything is over: then None.
    """
    raw = raw_connection(conn.connection)
    kind = (State.context, State.revision, VARYING.sub("?", statement))
    if session.autocommit or kind in State.asked or not in_transaction(raw):
        return None
    State.asked.add(kind)
    begun = time.monotonic()
    cursor = raw.cursor()
    try:
        cursor.execute(State.probe)
        found = {tuple(str(value) for value in row) for row in cursor.fetchall()} - session.probed
    finally:
        cursor.close()
        State.measuring += time.monotonic() - begun
    session.probed |= found
    return sorted(list(row) for row in found)


def committed_by_itself(conn: Any, session: Session, statement: str) -> bool:
    """Whether what was sent is committed without anybody's COMMIT."""
    inside = in_transaction(conn.connection)
    if inside is None and conn.dialect.name in MYSQL:  # mysqlclient does not say
        return session.autocommit or IMPLICIT_COMMIT.match(statement) is not None
    return session.autocommit or inside is False


def on_error(context: Any) -> None:
    """It failed."""
    cursor = getattr(
        context.execution_context, "cursor", None
    )  # `context.cursor` is documented and not there
    started = State.started.pop(id(cursor), None)
    if started is not None:
        error = context.original_exception
        State.channel.send(
            "statement-failed",
            position=started[0],
            seconds=time.monotonic() - started[1],
            error=error_words(error),
            sqlstate=sqlstate(error),
        )


INTERNAL = re.compile(
    r"[/\\](sqlalchemy|alembic|asyncio|greenlet|runpy|concurrent)[/\\.]|^<|[/\\]runpy\.py$|threading\.py$"
)


LIBRARY = re.compile(r"[/\\](site-packages|dist-packages|lib[/\\]python\d[^/\\]*)[/\\]")


def site() -> tuple[str | None, int | None]:
    """File and line in the revision script that sent this statement; outside of revisions, in env.py."""
    frame: Any = sys._getframe(2)
    outside: tuple[str | None, int | None] = (None, None)
    while frame is not None:
        name = frame.f_code.co_filename
        if State.revision_file and name == State.revision_file:
            return name, frame.f_lineno
        if outside[0] is None and not INTERNAL.search(name) and not LIBRARY.search(name):
            outside = (name, frame.f_lineno)
        frame = frame.f_back
    return outside if State.revision is None else (None, None)


def sqlstate(error: Any) -> str | None:
    error = getattr(error, "orig", None) or error
    number = error.args[0] if getattr(error, "args", ()) else None
    if isinstance(number, int):
        return str(number)  # MySQL and MariaDB: the server's own number says more than the SQLSTATE
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        value = getattr(error, name, None)
        if value:
            return str(value)
    return "SQLITE_BUSY" if "database is locked" in str(error) else None


VALUE = re.compile(
    r"(Duplicate entry |(?:Incorrect|Truncated incorrect) [\w ]+ value: |invalid input (?:syntax|value) for [^:]+: )"
    r"(['\"]).*?\2(?= for (?:key|column|function) | \(\d+\)$|$)",
    re.DOTALL,
)
"""Where servers repeat what stood in a row."""


def error_words(error: Any) -> str:
    """One line without bound values, without rows' values and without the server's DETAIL."""
    error = getattr(error, "orig", None) or error
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    if primary is None and len(getattr(error, "args", ())) == 2 and isinstance(error.args[0], int):
        primary = "{} ({})".format(error.args[1], error.args[0])
    if primary is None:
        left_out = ("DETAIL", "[SQL", "[par")
        lines = [t for t in str(error).splitlines() if t.strip() and not t.startswith(left_out)]
        primary = lines[0] if lines else ""
    primary = VALUE.sub(r"\1\2***\2", primary)
    return "{}: {}".format(type(error).__name__, primary)[:2000] if primary else type(error).__name__


# ------------------------------------------------------------------------------- Alembic


class Attributes(dict):  # type: ignore[type-arg]
    """Config.attributes: a connection for those env.py that insist on one, and for nobody else."""

    def __init__(self, url: str | None) -> None:
        super().__init__()
        self.url = url

    def __missing__(self, key: Any) -> Any:
        if key != "connection" or not self.url:
            raise KeyError(key)
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        self[key] = create_engine(self.url, poolclass=NullPool).connect()
        return self[key]


def make_config(request: dict[str, Any]) -> Any:
    """Alembic's Config as its command line would make it, with the URL that this stage works on."""
    from argparse import Namespace

    from alembic import command
    from alembic.config import Config

    verb = getattr(command, request["direction"])
    options = Namespace(
        x=request.get("x") or None,
        config=request.get("ini"),
        name=request["section"],
        raiseerr=True,
        cmd=(verb, ["revision"], ["sql", "tag"]),
        revision=request["destination"],
        sql=False,
        tag=None,
    )
    keywords: dict[str, Any] = {"ini_section": request["section"], "cmd_opts": options}
    if request.get("toml"):
        keywords["toml_file"] = request["toml"]
    config = Config(request.get("ini"), **keywords)
    url = request.get("url")
    if url:
        config.set_main_option("sqlalchemy.url", keep_driver(config, url).replace("%", "%%"))
    config.attributes = Attributes(url)
    beside = os.path.dirname(os.path.abspath(request.get("ini") or ""))
    if not config.get_main_option("script_location") and os.path.exists(os.path.join(beside, "env.py")):
        config.set_main_option("script_location", beside.replace("%", "%%"))  # Flask-Migrate's layout
    prepend_sys_path(config)
    if request.get("configure"):
        module, _, function = request["configure"].partition(":")
        getattr(importlib.import_module(module), function)(config)
    else:
        enter_flask(config)
    return config


def enter_flask(config: Any) -> None:
    """What `flask db` does ahead of Alembic: Flask-Migrate's env.py asks the application for its database."""
    location = config.get_main_option("script_location") or ""
    try:
        with open(os.path.join(location, "env.py"), encoding="utf-8") as file:
            asks = re.search(r"^from flask import .*\bcurrent_app\b", file.read(), re.MULTILINE)
        if asks is None:
            return
        from flask import cli, has_app_context
    except (OSError, ValueError, ImportError):
        return
    if has_app_context():
        return
    cli.load_dotenv()
    try:
        app = cli.ScriptInfo(app_import_path=os.environ.get("FLASK_APP")).load_app()  # else wsgi.py or app.py
    except cli.NoAppException:
        return  # env.py may have one of its own; if not, it says what it misses
    app.app_context().push()


def keep_driver(config: Any, url: str) -> str:
    """The target's URL with the driver that the project wrote (an async env.py needs its async driver)."""
    from sqlalchemy.engine import make_url

    try:
        theirs = make_url(config.get_main_option("sqlalchemy.url") or "")
    except Exception:
        return url
    ours = make_url(url)
    names = [n if n not in MYSQL else "mysql" for n in (theirs.get_backend_name(), ours.get_backend_name())]
    if names[0] == names[1] and "+" in theirs.drivername:
        ours = ours.set(drivername=theirs.drivername)
    return ours.render_as_string(hide_password=False)


def prepend_sys_path(config: Any) -> None:
    """What `alembic` on the command line does with `prepend_sys_path` in the ini file."""
    value = config.get_main_option("prepend_sys_path")
    if not value:
        return
    folders = getattr(config, "get_prepend_sys_paths_list", lambda: re.split(r",|;|:|\s+", value))()
    sys.path[:0] = [str(folder) for folder in folders or ()]


def describe_graph(script: Any) -> dict[str, Any]:
    """All revision scripts, newest first."""
    revisions = []
    for revision in script.walk_revisions():
        back = getattr(revision.module, "downgrade", None)
        # an upgrade that does nothing, as a merge's, has nothing to take back
        has_downgrade = back is not None and (
            does_something(back) or not does_something(getattr(revision.module, "upgrade", None))
        )
        own = getattr(revision.module, "ci_migrate", None)
        allow = own.get("allow", {}) if isinstance(own, dict) else {}
        revisions.append(
            {
                "id": revision.revision,
                "file": revision.path,
                "message": (revision.doc or "").strip(),
                "down_revisions": list(as_tuple(revision.down_revision)),
                "depends_on": list(as_tuple(revision.dependencies)),
                "branch_labels": sorted(revision.branch_labels or ()),
                "has_downgrade": has_downgrade,
                "allow": {str(k): str(v) for k, v in allow.items()},
            }
        )
    return {"revisions": revisions, "heads": list(script.get_heads()), "env_file": script.env_py_location}


def does_something(function: Any) -> bool:
    """Whether there is more in it than `pass`, a docstring, or raising NotImplementedError."""
    code = getattr(function, "__code__", None)
    names = set(getattr(code, "co_names", ())) | set(getattr(code, "co_freevars", ()))
    return code is None or bool(names - {"NotImplementedError"})


def as_tuple(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


class Contexts:
    """The `fn` of EnvironmentContext: called once for each version table that env.py configures."""

    def __init__(self, script: Any, request: dict[str, Any]) -> None:
        self.script = script
        self.request = request
        self.planned = {c["key"]: c for c in request.get("contexts", [])}
        self.seen: list[str] = []

    def table(self, context: Any) -> dict[str, str | None]:
        """Which version table this is: by name, schema and the schema that unqualified names mean."""
        connection = context.connection
        session = session_of(connection.connection) if connection is not None else None
        if session is None or session.entry is None:
            raise Refused("env.py migrates a database that is not the target")
        path = None
        if connection.dialect.name == "postgresql":
            State.internal = True
            try:
                path = connection.exec_driver_sql("SELECT current_schema()").scalar()
            finally:
                State.internal = False
        return {
            "name": context.version_table,
            "schema": context.version_table_schema,
            "database": session.entry,
            "search_path": path,
        }

    def __call__(self, heads: Iterable[str], context: Any) -> list[Any]:
        table = self.table(context)
        key = "|".join(str(table[k] or "") for k in ("database", "schema", "search_path", "name"))
        heads = sorted(heads)
        if key in self.seen:  # env.py comes back to a version table: all of it has run
            return []
        if self.request["action"] == "compare":
            self.seen.append(key)
            State.channel.send("models", context=len(self.seen) - 1, **compared(context))
            return []
        inspect = self.request["action"] == "inspect"
        found = self.outlook(tuple(heads)) if inspect else {"revisions": self.agreed(key, table, heads)}
        number = len(self.seen) if inspect else list(self.planned).index(key)
        self.seen.append(key)
        State.context = number
        session = session_of(context.connection.connection)
        if session is not None:
            session.contexts.append(number)
            State.of_context[number] = session
        models = bool(context.opts.get("target_metadata"))
        State.channel.send(
            "context", key=key, number=number, table=table, heads=heads, models=models, **found
        )
        if inspect:
            return []
        if self.request["direction"] == "stamp":
            return wrap_steps(self.stamps(tuple(heads)), context, number)
        return wrap_steps(self.steps(found["revisions"]), context, number)

    def agreed(self, key: str, table: dict[str, str | None], heads: Sequence[str]) -> list[str]:
        """What the plan says for this version table; refused where it says nothing, or something else by now."""
        planned = self.planned.get(key)
        name = ".".join(part for part in (table["schema"] or table["search_path"], table["name"]) if part)
        if planned is None:
            raise Refused("a version table that is not in the plan: " + name)
        if sorted(planned["from_heads"]) != list(heads) and not self.request.get("purge"):
            at, wanted = (", ".join(h) or "base" for h in (heads, planned["from_heads"]))
            raise Refused("the plan is stale: {} is at {}, planned was {}".format(name, at, wanted))
        return list(planned["revisions"])

    def outlook(self, heads: tuple[str, ...]) -> dict[str, Any]:
        """Alembic's own answer to what would run, or where a stamp would lead (`purged`: from no rows at all).

        What it says against that is an event too: the parent knows rows that make no sense when it sees them.
        """
        from alembic.util import CommandError

        try:
            if self.request["direction"] != "stamp":
                return {"revisions": self.pending(heads)}
            found: dict[str, Any] = {"revisions": [], "purged": stamped_heads(self.stamps(()), ())}
        except CommandError as error:
            return {"revisions": [], "error": str(error).splitlines()[0]}
        try:
            return {**found, "to_heads": stamped_heads(self.stamps(heads), heads)}
        except (CommandError, AssertionError) as error:  # two rows, one of which builds on the other
            return {**found, "error": str(error).splitlines()[0] if str(error) else "the rows do not fit"}

    def pending(self, heads: tuple[str, ...]) -> list[str]:
        """What would run. Alembic's private names: here and in `stamps`, nowhere else."""
        upgrade = self.request["direction"] == "upgrade"
        function = self.script._upgrade_revs if upgrade else self.script._downgrade_revs
        return [step.revision.revision for step in function(self.request["destination"], heads)]

    def stamps(self, heads: tuple[str, ...]) -> list[Any]:
        """The steps of a stamp."""
        steps: list[Any] = self.script._stamp_revs(self.request["destination"], heads)
        return steps

    def steps(self, revisions: Iterable[str]) -> list[Any]:
        from alembic.runtime.migration import MigrationStep

        map_ = self.script.revision_map
        upgrade = self.request["direction"] == "upgrade"
        make = MigrationStep.upgrade_from_script if upgrade else MigrationStep.downgrade_from_script
        return [make(map_, map_.get_revision(revision)) for revision in revisions]


def compared(context: Any) -> dict[str, Any]:
    """What the models (target_metadata) have and the database has not, or the other way round, by Alembic's compare."""
    from alembic.autogenerate import compare_metadata

    models = context.opts.get("target_metadata")
    if not models:
        return {"differences": []}
    State.internal = True
    try:
        found = compare_metadata(context, models)
    except Exception as error:  # types of the project's own may raise anything when they are compared
        return {"differences": [], "error": error_words(error)[:300]}
    finally:
        State.internal = False
    # SQLite says of INTEGER PRIMARY KEY that it may be NULL, which it can't be
    tables = [table for one in as_list(models) for table in one.tables.values()]
    keys = {(t.schema, t.name, c.name) for t in tables for c in t.primary_key.columns}
    differences = [words for one in found for words in difference_words(one, keys)]
    return {"differences": differences[:1000]}


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def difference_words(found: Any, keys: set[tuple[Any, ...]]) -> list[str]:
    """One of Alembic's differences, for people. `keys` are the columns of primary keys."""
    if isinstance(found, list):  # what is modified of one column
        return [words for one in found for words in difference_words(one, keys)]
    verb, _, kind = str(found[0]).partition("_")
    if verb == "modify":
        if kind == "nullable" and tuple(found[1:4]) in keys:
            return []
        column = ".".join(str(part) for part in found[1:4] if part)
        was, wanted = (getattr(getattr(value, "arg", None), "text", value) for value in found[-2:])
        if kind == "nullable":
            was, wanted = ("NULL" if value else "NOT NULL" for value in (was, wanted))
        return ["column {}: {} is {}, {} in the models".format(column, kind, was, wanted)[:300]]
    if verb not in ("add", "remove"):
        return [str(found)[:300]]
    where = "in the models only" if verb == "add" else "in the database only"
    if kind == "column":
        name = ".".join(str(part) for part in (*found[1:3], found[3].name) if part)
    elif kind.startswith("table"):
        name = str(found[1])  # a Table: with its schema
    else:
        parts = (getattr(found[1], "table", None), found[1].name)
        name = (
            ".".join(str(part) for part in parts if part is not None)
            if found[1].name
            else "of " + str(parts[0])
        )
    kinds = {"fk": "foreign key", "constraint": "unique constraint", "table_comment": "comment of table"}
    return ["{} {} is {}".format(kinds.get(kind, kind), name, where)]


def stamped_heads(steps: Iterable[Any], heads: Iterable[str]) -> list[str]:
    """The version rows after a stamp."""
    rows = set(heads)
    for step in steps:
        rows = (rows - set(step.from_revisions)) | set(step.to_revisions)
    return sorted(rows)


def wrap_steps(steps: Iterable[Any], context: Any, number: int) -> list[Any]:
    """Announce each revision before its upgrade() or downgrade() runs."""
    steps = list(steps)
    for step in steps:
        step.migration_fn = announced(step.migration_fn, getattr(step, "revision", None), number)
    context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, on_stamped)
    return steps


def announced(original: Callable[..., Any], revision: Any, number: int) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        State.context = number
        State.revision = revision.revision if revision is not None else None
        State.revision_file = revision.path if revision is not None else None
        State.stamped = False
        session = State.of_context.get(number)
        if session is not None:
            session.revision, session.stamped = State.revision, False
        State.channel.send("revision", context=number, revision=State.revision, file=State.revision_file)
        return original(*args, **kwargs)

    return run


def on_stamped(heads: Iterable[str] = (), **_rest: Any) -> None:
    State.stamped = True
    session = State.of_context.get(State.context)
    if session is not None:
        session.stamped = True
    State.channel.send("stamped", context=State.context, revision=State.revision, heads=sorted(heads))


def run_env(config: Any, script: Any, request: dict[str, Any]) -> None:
    """Run env.py as Alembic does, with our function to say which revisions run."""
    from alembic.runtime.environment import EnvironmentContext

    environment: Any = EnvironmentContext(
        config,
        script,
        fn=Contexts(script, request),
        as_sql=False,
        destination_rev=request["destination"],
        dont_mutate=request["mode"] == READ,
        purge=request["mode"] != READ and bool(request.get("purge")),
    )
    original = environment.configure

    def configure(connection: Any = None, *args: Any, **keywords: Any) -> Any:
        if connection is not None:
            wrap_dialect(connection.dialect)
            if connection.dialect.name == "sqlite":
                # whatever env.py says (it passes its own default): each revision in a real transaction
                keywords["transactional_ddl"] = True
            if connection.dialect.name == "sqlite" or request.get("each_revision"):
                keywords["transaction_per_migration"] = True
        return original(connection, *args, **keywords)

    environment.configure = configure
    with environment:
        script.run_env()


# ------------------------------------------------------------------------------- from the request to the last event


def listen() -> None:
    """Hear of each statement of each engine."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "before_cursor_execute", before_execute, retval=True)
    event.listen(Engine, "after_cursor_execute", after_execute)
    event.listen(Engine, "handle_error", on_error)
    event.listen(Engine, "engine_connect", lambda conn, *_: wrap_dialect(conn.dialect))


def failure(error: BaseException) -> dict[str, Any]:
    """What went wrong, and where in the project."""
    if isinstance(error, Stopped):
        return {"kind": "stopped", "message": "stopped at a statement boundary"}
    kinds = {"CommandError": "command", "Refused": "refused"}
    kind = kinds.get(type(error).__name__, "exit" if isinstance(error, SystemExit) else "error")
    if State.wall.refused and kind == "error":
        kind = "refused"
    if State.loading and kind == "error":
        kind = "script"
    frames: list[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    place = blamed([f for f in frames if not INTERNAL.search(f.filename)])
    message = "sys.exit({})".format(error.code) if isinstance(error, SystemExit) else error_words(error)
    if kind in ("command", "refused"):
        message = str(error).splitlines()[0] if str(error) else message
    if isinstance(error, SyntaxError) and error.filename:
        place = traceback.FrameSummary(error.filename, error.lineno or 1, "")
    return {
        "kind": kind,
        "message": message[:4000],
        "sqlstate": sqlstate(error),
        "file": place.filename if place else None,
        "line": place.lineno if place else None,
        "revision": State.revision if not State.stamped else None,
        "sql": sent(error)[:20000],
        "trace": "".join(traceback.format_list(told(frames)))[-16000:],
    }


def sent(error: BaseException) -> str:
    """The statement that failed, without its bound values; "" where the error came from elsewhere."""
    seen: BaseException | None = error
    for _ in range(8):  # what a revision caught and raised anew
        if seen is None:
            break
        if isinstance(getattr(seen, "statement", None), str):
            text = str(seen.statement)  # type: ignore[attr-defined]  # of SQLAlchemy's StatementError
            return text.removeprefix(caption(State.wall))
        seen = seen.__cause__ or seen.__context__
    return ""


def told(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """The project's own frames and the innermost one: how Alembic got there is the same each time."""
    own = [f for f in frames[:-1] if not INTERNAL.search(f.filename) and not LIBRARY.search(f.filename)]
    return [*own, *frames[-1:]] if own else frames


def blamed(frames: list[traceback.FrameSummary]) -> traceback.FrameSummary | None:
    """The innermost frame in the revision script, else in the project, else anywhere."""
    for wanted in (
        [f for f in frames if State.revision_file and f.filename == State.revision_file],
        [f for f in frames if not LIBRARY.search(f.filename)],
        frames,
    ):
        if wanted:
            return wanted[-1]
    return None


def obey(request: dict[str, Any]) -> None:
    """Do what the request says."""
    import alembic.script

    build_wall(State.wall)
    listen()
    config = make_config(request)
    script = alembic.script.ScriptDirectory.from_config(config)
    if request["action"] in ("graph", "inspect") and not State.wall.ask_only:
        State.loading = True
        State.channel.send("graph", **describe_graph(script))
        State.loading = False
    if request["action"] != "graph":
        run_env(config, script, request)


def main() -> None:
    """Greet, take one request, do it, and say how it ended."""
    channel = State.channel = Channel()
    import alembic
    import alembic.config
    import alembic.script
    import sqlalchemy

    channel.send(
        "hello",
        pid=os.getpid(),
        python=sys.version.split()[0],
        executable=sys.executable,
        alembic=alembic.__version__,
        sqlalchemy=sqlalchemy.__version__,
    )
    request = json.loads(channel.line().decode("utf-8"))
    os.environ.update(request.get("environ", {}))
    sys.argv = ["alembic", request["direction"], request["destination"]]
    channel.agree(request.get("asks", ASKED))
    State.wall = Wall(channel, request)
    State.probe = request.get("probe", "") if request["mode"] == DRY_RUN else ""
    State.marker = request.get("marker") or {}
    if State.marker:  # positions begin anew in each try
        State.marker["run"] += "-" + os.urandom(4).hex()
    State.skip = {revision: list(digests) for revision, digests in (request.get("skip") or {}).items()}
    try:
        obey(request)
    except BaseException as error:  # env.py may raise anything, SystemExit and KeyboardInterrupt included
        if isinstance(error, SystemExit) and error.code in (None, 0):
            channel.send("finished", exited=True)
        else:
            channel.send("failed", **failure(error))
    else:
        channel.send("finished", exited=False)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed by env.py
            continue
    os._exit(0)  # threads and atexit handlers of the application have no say


def serve() -> None:
    """Fork a child for each that the parent asks for, so that Python and Alembic start once; returns in each child.

    Nothing of the project is imported before the fork: no child sees what another one did. The parent sends a byte
    with the child's three standard streams, and is told the child's pid, later with how it ended. Ends with the parent.
    """
    try:
        import alembic.command  # noqa: F401 - and with it SQLAlchemy
    except Exception:  # each child meets it again, and tells
        sys.exc_info()
    control = socket.socket(fileno=os.dup(0))
    ended, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wakes)
    while True:
        ready = select([control.fileno(), ended], [], [])[0]
        if ended in ready:
            os.read(ended, 4096)
            tell_ended(control)
        if control.fileno() in ready:
            word, streams, _, _ = socket.recv_fds(control, 1, 3)
            if not word:
                os._exit(0)
            pid = os.fork()
            if not pid:
                break
            for fd in streams:
                os.close(fd)
            control.sendall(b"%d\n" % pid)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control.close()
    os.close(ended)
    os.close(wakes)
    os.setsid()
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)


def tell_ended(control: socket.socket) -> None:
    """Tell which children ended, and how: the exit code, or minus the signal."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        control.sendall(b"%d %d\n" % (pid, os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":  # so it is for `python -c` too
    serve()
    main()
