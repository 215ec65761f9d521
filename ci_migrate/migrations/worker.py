"""The child side: runs Alembic and a project's env.py, unmodified, behind the wall. ONE self-contained file.

It is handed over as source text (see `runner.BOOTSTRAP`), so it imports the standard library, Alembic (1.11+) and
SQLAlchemy (1.4+) only and keeps to the syntax of Python 3.9. Requests come in by the inherited standard input,
events go out by the inherited standard output, one JSON object a line; whatever env.py prints goes to standard
error. `events.py` mirrors the messages, a test holds the two together.

The wall is a safety net, not a sandbox: it sees every connection that SQLAlchemy's engines and the known drivers
make, sends those for the target where the stage wants them, and refuses all others.
"""

import importlib
import importlib.abc
import importlib.util
import json
import os
import re
import sys
import threading
import time
import traceback
from hashlib import sha256

READ, DRY_RUN, MIGRATE = "read", "dry-run", "migrate"
WRITES = re.compile(
    r"\s*(?:--[^\n]*\n|/\*.*?\*/|\s)*(INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|TRUNCATE|MERGE|"
    r"REPLACE|VACUUM|REINDEX|ANALYZE|REFRESH|LOCK|CALL|DO)\b",
    re.IGNORECASE | re.DOTALL,
)
NO_BEGIN = re.compile(r"\s*(PRAGMA|ATTACH|DETACH|VACUUM|BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE)
READS = re.compile(r"\s*(SHOW|EXPLAIN|PRAGMA\s+[\w.\"]+\s*(\(.*\))?\s*;?\s*$|SELECT\b.*\bFROM\b)", re.I | re.S)
FOREIGN_KEYS = re.compile(r"\s*PRAGMA\s+(?:\w+\.)?foreign_keys\s*[=(]\s*['\"]?(\w+)", re.IGNORECASE)
TRANSACTION = re.compile(r"\s*(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|START\s+TRANSACTION)\b", re.IGNORECASE)
LEAVES_DATABASE = re.compile(
    r"\s*(?:(?:CREATE|ALTER|DROP)\s+(?:ROLE|USER(?!\s+MAPPING)|GROUP|DATABASE|TABLESPACE|SERVER|SUBSCRIPTION)\b"
    r"|(?:CREATE|ALTER|DROP)\s+USER\s+MAPPING\b|ALTER\s+SYSTEM\b|COMMENT\s+ON\s+(?:DATABASE|ROLE|TABLESPACE)\b"
    r"|REASSIGN\s+OWNED\b|COPY\b.*\b(?:PROGRAM|TO\s+'|FROM\s+')"
    r"|(?:GRANT|REVOKE)\b.*\bON\s+DATABASE\b|ATTACH\b)",
    re.IGNORECASE | re.DOTALL,
)


class Refused(Exception):
    """The wall, or the plan, says no."""


class Stopped(BaseException):
    """The parent asked to stop. A BaseException, so that no `except Exception` of an env.py holds it up."""


# --------------------------------------------------------------------------------------- talking to the parent


class Channel:
    """Events out, words in. Duplicates the standard streams first, so that env.py can't write into them."""

    def __init__(self):
        self._in = os.dup(0)
        self._out = os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        self._buffer = b""
        self._pid = os.getpid()
        self._lock = threading.RLock()

    def line(self):
        while b"\n" not in self._buffer:
            data = os.read(self._in, 65536)
            if not data:
                os._exit(70)  # the parent is gone: nothing more is sent to the database
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def send(self, event, **fields):
        if os.getpid() != self._pid:
            return  # a fork of env.py's
        fields["event"] = event
        data = json.dumps(fields, default=str).encode("utf-8", "replace") + b"\n"
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._out, data) :]
            except OSError:
                os._exit(70)

    def ask(self, event, **fields):
        """Send an event and wait for the parent's word."""
        if os.getpid() != self._pid:
            raise Refused("a process forked by env.py may not use the database")
        with self._lock:
            self.send(event, **fields)
            word = self.line()
        if word == b"stop":
            raise Stopped
        if word.startswith(b"refuse "):
            raise Refused(word[7:].decode("utf-8", "replace"))


# --------------------------------------------------------------------------------------- the wall


class Wall:
    """Decides for each connection: where it goes, or that it goes nowhere."""

    def __init__(self, channel, request):
        self.channel = channel
        self.mode = request["mode"]
        self.ask_only = request.get("ask_url", False)
        self.entries = request.get("databases", [])
        self.allowed = request.get("allow_connections", [])
        self.session = request.get("session", {})
        self.refused = []

    # -- which database is meant

    def refuse(self, words):
        self.refused.append(words)
        self.channel.send("refused", words=words)
        raise Refused(words)

    def sqlite_file(self, database, uri=False):
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
        if database in ("", ":memory:"):
            return ""
        return os.path.realpath(database)

    def sqlite_target(self, file):
        """The file to open instead, None for the one asked for."""
        if not file:
            return None
        for entry in self.entries:
            if entry["dialect"] == "sqlite":
                if same_file(file, entry["connect"].get("file")):
                    return None
                if same_file(file, entry["match"].get("file")):
                    return entry["connect"]["file"] if self.mode == DRY_RUN else None
        if self.ask_only:
            self.channel.send("wanted", dialect="sqlite", driver="", parts={"file": file})
        if self.mode == MIGRATE and any(same_file(file, os.path.realpath(name)) for name in self.allowed):
            return None
        self.refuse("a connection to the SQLite database " + file)

    def postgresql_target(self, driver, parts):
        """Replacements for host, port, database, user, password; {} to leave the arguments as they are."""
        parts = postgresql_defaults(parts)
        for entry in self.entries:
            if entry["dialect"] == "postgresql":
                if same_server(parts, entry["connect"]):
                    return {}
                if same_server(parts, entry["match"]):
                    return dict(entry["connect"]) if self.mode == DRY_RUN else {}
        place = "{host}:{port}/{database}".format(**parts)
        if self.ask_only:
            self.channel.send("wanted", dialect="postgresql", driver=driver, parts=parts)
        if self.mode == MIGRATE and place in self.allowed:
            return {}
        self.refuse("a connection to the PostgreSQL database " + place)

    # -- SQLAlchemy's engines

    def do_connect(self, dialect, _record, cargs, cparams):
        wrap_dialect(dialect)
        if dialect.name == "sqlite":
            return  # sqlite3.connect itself is wrapped, for engines, pools and raw connections alike
        if dialect.name != "postgresql":
            if self.ask_only:
                url = {k: str(v) for k, v in cparams.items() if isinstance(v, (str, int))}
                self.channel.send("wanted", dialect=dialect.name, driver=dialect.driver, parts=url)
            self.refuse("a connection to a {} database".format(dialect.name))
        arguments = dict(cparams)
        dsn = cargs[0] if cargs and isinstance(cargs[0], str) else ""
        if dsn:
            arguments = {**parse_dsn(dsn), **arguments}
        self.redirect_postgresql(dialect.driver, arguments)
        if dsn:
            cargs[:] = cargs[1:]
        cparams.clear()
        cparams.update(arguments)

    def redirect_postgresql(self, driver, arguments):
        """Change the arguments of one connect in place: only single keys, everything else is kept."""
        key = "database" if driver in ("asyncpg", "pg8000") else "dbname"
        other = "dbname" if key == "database" else "database"
        if other in arguments and driver != "asyncpg":
            arguments[key] = arguments.pop(other)
        for name in ("service", "hostaddr"):
            if arguments.get(name):
                self.refuse("a connection by libpq's {}, which can't be told apart from others".format(name))
        parts = {
            "host": arguments.get("host"),
            "port": arguments.get("port"),
            "database": arguments.get(key),
            "user": arguments.get("user"),
            "password": arguments.get("password"),
        }
        new = self.postgresql_target(driver, parts)
        for name, value in new.items():
            name = key if name == "database" else name
            if value == "" and name in ("password", "host"):
                arguments.pop(name, None)
            else:
                arguments[name] = int(value) if name == "port" else value
        self.session_options(driver, arguments)

    def session_options(self, driver, arguments):
        """Timeouts, name and read-only as connection options: a revision's own RESET can't undo them."""
        options = dict(self.session.get("options", {}))
        name = self.session.get("application_name")
        if self.mode == READ:
            options["default_transaction_read_only"] = "on"
        if driver == "asyncpg":
            settings = dict(arguments.get("server_settings") or {})
            for key, value in options.items():
                settings.setdefault(key, value)
            if name:
                settings["application_name"] = name
            arguments["server_settings"] = settings
        elif driver == "pg8000":
            arguments["application_name"] = name
        else:
            given = arguments.get("options") or ""
            ours = " ".join("-c {}={}".format(k, v) for k, v in options.items() if k + "=" not in given)
            arguments["options"] = (given + " " + ours).strip()
            if name:
                arguments["application_name"] = name

    def session_opened(self, driver, connection, cursor):
        """Compare the identity of a new session with the one that is allowed. Returns the entry's name."""
        if driver == "sqlite":
            cursor.execute("PRAGMA database_list")
            files = [row[2] for row in cursor.fetchall() if row[1] == "main"]
            file = files[0] if files else ""
            if not file:
                return None
            for entry in self.entries:
                if same_file(file, entry["identity"].get("file")):
                    return entry["name"]
            if any(same_file(file, os.path.realpath(name)) for name in self.allowed):
                return None
            self.refuse("a session on the SQLite database " + file)
        cursor.execute("SELECT current_database(), oid, pg_backend_pid() FROM pg_database WHERE datname = current_database()")
        database, oid, pid = cursor.fetchone()
        self.channel.send("session", pid=pid, database=str(database))
        for entry in self.entries:
            if entry["dialect"] == "postgresql":
                wanted = entry["identity"]
                if wanted.get("database") == database and wanted.get("oid", str(oid)) == str(oid):
                    return entry["name"]
        if self.mode == MIGRATE and any(name.endswith("/" + str(database)) for name in self.allowed):
            return None
        self.refuse("a session on the PostgreSQL database {}".format(database))

    # -- the drivers themselves: creator=, pool=, raw connections

    def wrap_sqlite3(self, module):
        wall, original = self, module.connect

        def connect(database, *args, **kwargs):
            if not wall.entries and not wall.ask_only:
                return original(database, *args, **kwargs)
            uri = kwargs.get("uri", False)
            file = wall.sqlite_file(database, uri)
            target = wall.sqlite_target(file)
            if target is not None:
                database = target
                kwargs["uri"] = False
            elif file and wall.mode == READ and not os.path.exists(file):
                database = ":memory:"  # reading must not create the file
                kwargs["uri"] = False
            connection = original(database, *args, **kwargs)
            opened = target or file
            if opened:
                prepare_sqlite(wall, connection)
            return connection

        module.connect = connect

    def wrap_psycopg2(self, module):
        wall, original = self, module.connect

        def connect(dsn=None, connection_factory=None, cursor_factory=None, **kwargs):
            arguments = {**parse_dsn(dsn or ""), **kwargs}
            wall.redirect_postgresql("psycopg2", arguments)
            return original(None, connection_factory, cursor_factory, **arguments)

        module.connect = connect

    def wrap_psycopg(self, module):
        wall = self
        for owner in (module.Connection, module.AsyncConnection):
            original = owner.connect.__func__

            def connect(cls, conninfo="", *args, _original=original, **kwargs):
                own = {k: kwargs.pop(k) for k in list(kwargs) if k in PSYCOPG_OWN}
                arguments = {**parse_dsn(conninfo), **kwargs}
                wall.redirect_postgresql("psycopg", arguments)
                return _original(cls, "", *args, **arguments, **own)

            owner.connect = classmethod(connect)
        module.connect = module.Connection.connect

    def wrap_asyncpg(self, module):
        wall, original = self, module.connection.connect

        def connect(dsn=None, **kwargs):
            arguments = {**parse_dsn(dsn or ""), **kwargs}
            if "dbname" in arguments:
                arguments["database"] = arguments.pop("dbname")
            wall.redirect_postgresql("asyncpg", arguments)
            return original(None, **arguments)

        module.connect = module.connection.connect = connect

    def wrap_pg8000(self, module):
        wall, original = self, module.core.CoreConnection.__init__

        def init(self, user, host="localhost", database=None, port=5432, password=None, *args, **kwargs):
            arguments = {"user": user, "host": host, "database": database, "port": port, "password": password}
            wall.redirect_postgresql("pg8000", arguments)
            arguments.pop("application_name", None)
            kwargs.setdefault("application_name", wall.session.get("application_name"))
            original(self, *args, **arguments, **kwargs)

        module.core.CoreConnection.__init__ = init

    def wrap_other(self, module):
        """Drivers of databases that are not the target's: no connection at all."""
        name = module.__name__

        def connect(*_args, **_kwargs):
            self.refuse("a connection by the driver " + name)

        module.connect = connect

    def build(self):
        """Listen to every engine and wrap every driver, now or when it is imported."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.pool import Pool

        event.listen(Engine, "do_connect", self.do_connect)
        event.listen(Pool, "connect", on_pool_connect)
        wrappers = {
            "sqlite3.dbapi2": self.wrap_sqlite3,
            "psycopg2": self.wrap_psycopg2,
            "psycopg": self.wrap_psycopg,
            "asyncpg": self.wrap_asyncpg,
            "pg8000": self.wrap_pg8000,
            "pymysql": self.wrap_other,
            "MySQLdb": self.wrap_other,
            "mysql.connector": self.wrap_other,
            "oracledb": self.wrap_other,
            "pyodbc": self.wrap_other,
        }
        import sqlite3

        self.wrap_sqlite3(sqlite3.dbapi2)
        sqlite3.connect = sqlite3.dbapi2.connect
        del wrappers["sqlite3.dbapi2"]
        for name in list(wrappers):
            if name in sys.modules:
                wrappers.pop(name)(sys.modules[name])
        sys.meta_path.insert(0, AfterImport(wrappers))


PSYCOPG_OWN = {"autocommit", "prepare_threshold", "context", "row_factory", "cursor_factory"}


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function on a module right after its first import."""

    def __init__(self, functions):
        self.functions = functions

    def find_spec(self, name, path=None, target=None):
        function = self.functions.pop(name, None)
        if function is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        original = spec.loader.exec_module

        def exec_module(module):
            original(module)
            function(module)

        spec.loader.exec_module = exec_module
        return spec


def same_file(one, other):
    if not one or not other:
        return False
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def parse_dsn(dsn):
    """A libpq connection string or URL as keyword arguments, without help of the driver."""
    if not dsn:
        return {}
    if "://" in dsn:
        from sqlalchemy.engine import make_url

        url = make_url(dsn.replace("postgres://", "postgresql://", 1))
        parts = {"host": url.host, "port": url.port, "dbname": url.database, "user": url.username}
        parts["password"] = str(url.password) if url.password is not None else None
        parts.update(url.query)
        return {k: v for k, v in parts.items() if v is not None}
    pairs = re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']+)", dsn)
    return {k: re.sub(r"\\(.)", r"\1", v[1:-1] if v.startswith("'") else v) for k, v in pairs}


def postgresql_defaults(parts):
    """What libpq would use where an argument is missing."""
    user = parts.get("user") or os.environ.get("PGUSER") or os.environ.get("USER") or "postgres"
    host = parts.get("host") or os.environ.get("PGHOST") or ""
    return {
        "host": str(host),
        "port": str(parts.get("port") or os.environ.get("PGPORT") or 5432),
        "database": str(parts.get("database") or os.environ.get("PGDATABASE") or user),
        "user": str(user),
        "password": str(parts.get("password") or ""),
    }


LOCAL = {"", "localhost", "127.0.0.1", "::1"}


def same_server(one, other):
    """Whether two sets of arguments mean the same database. In doubt they don't: then it is refused."""
    hosts = [str(o.get("host") or "") for o in (one, other)]
    same_host = hosts[0] == hosts[1] or all(h in LOCAL or h.startswith("/") for h in hosts)
    return (
        same_host
        and str(one.get("port") or 5432) == str(other.get("port") or 5432)
        and one.get("database") == other.get("database")
    )


def prepare_sqlite(wall, connection):
    """ATTACH is refused by SQLite's own authorizer, so that raw connections can't do it either."""
    import sqlite3

    attach, ok, deny = 24, sqlite3.SQLITE_OK, sqlite3.SQLITE_DENY

    def authorize(action, argument, *_rest):
        if action == attach and argument not in (None, "", ":memory:"):
            file = wall.sqlite_file(argument, argument.startswith("file:"))
            known = any(same_file(file, e["connect"].get("file")) for e in wall.entries if e["dialect"] == "sqlite")
            allowed = wall.mode == MIGRATE and any(same_file(file, os.path.realpath(n)) for n in wall.allowed)
            if file and not known and not allowed:
                words = "ATTACH of the SQLite database " + file
                wall.refused.append(words)
                wall.channel.send("refused", words=words)
                return deny
        return ok

    connection.set_authorizer(authorize)
    if wall.session.get("busy_timeout"):
        connection.execute("PRAGMA busy_timeout={:d}".format(wall.session["busy_timeout"]))
    if wall.mode == READ:
        connection.execute("PRAGMA query_only=ON")
    elif wall.mode == DRY_RUN:
        connection.execute("PRAGMA synchronous=OFF")  # a scratch copy need not survive a power cut


# --------------------------------------------------------------------------------------- what runs, statement by statement


class Session:
    """What is known of one driver's connection."""

    def __init__(self, entry):
        self.entry = entry
        self.autocommit = False
        self.dirty = False
        self.foreign_keys_off = None


class State:
    """The one run of this process."""

    channel = None
    wall = None
    request = None
    sessions = {}
    position = 0
    context = 0
    revision = None
    revision_file = None
    stamped = True
    started = {}
    internal = False


def raw_connection(connection):
    """The driver's connection inside SQLAlchemy's proxies (the adapted one for async drivers)."""
    return getattr(connection, "dbapi_connection", None) or connection


def driver_connection(connection):
    return getattr(connection, "driver_connection", None) or getattr(connection, "_connection", connection)


def session_of(connection):
    return State.sessions.get(id(raw_connection(connection)))


def on_pool_connect(dbapi_connection, record):
    module = type(driver_connection(dbapi_connection)).__module__
    is_sqlite = "sqlite" in module or hasattr(dbapi_connection, "isolation_level") and "sqlite" in type(dbapi_connection).__module__
    cursor = dbapi_connection.cursor()
    try:
        entry = State.wall.session_opened("sqlite" if is_sqlite else "postgresql", dbapi_connection, cursor)
    finally:
        cursor.close()
        if not is_sqlite:
            dbapi_connection.rollback()
    session = Session(entry)
    session.keep = dbapi_connection  # so that its id is not used again
    State.sessions[id(dbapi_connection)] = session
    if is_sqlite:
        dbapi_connection.isolation_level = None


def in_transaction(connection):
    """Whether the driver is inside a transaction; None where it does not say."""
    driver = driver_connection(raw_connection(connection))
    try:
        if hasattr(driver, "in_transaction"):
            return bool(driver.in_transaction)
        if hasattr(driver, "is_in_transaction"):
            return bool(driver.is_in_transaction())
        if hasattr(driver, "get_transaction_status"):
            return driver.get_transaction_status() != 0
        if hasattr(driver, "info"):
            return int(driver.info.transaction_status) != 0
    except Exception:
        return None
    return None


def wrap_dialect(dialect):
    """Know of each commit, and keep SQLite's transactions ours, by the dialect's documented methods."""
    if getattr(dialect, "_ci_migrate", False):
        return
    dialect._ci_migrate = True
    do_commit, do_rollback, set_level = dialect.do_commit, dialect.do_rollback, dialect.set_isolation_level

    def commit(connection):
        session = session_of(connection)
        if session is None or not session.dirty or session.entry is None:
            return do_commit(connection)
        before_commit(dialect, connection, session)
        do_commit(connection)
        committed(session)

    def rollback(connection):
        session = session_of(connection)
        if session is not None and session.dirty:
            session.dirty = False
            session.foreign_keys_off = None
            State.channel.send("rolled-back", revision=State.revision, statements=State.position)
        return do_rollback(connection)

    def set_isolation_level(connection, level):
        set_level(connection, level)
        session = session_of(connection)
        if session is not None:
            session.autocommit = str(level).upper() == "AUTOCOMMIT"
            if dialect.name == "sqlite":
                raw_connection(connection).isolation_level = None

    dialect.do_commit, dialect.do_rollback, dialect.set_isolation_level = commit, rollback, set_isolation_level


def before_commit(dialect, connection, session):
    fields = {}
    raw = raw_connection(connection)
    if dialect.name == "sqlite" and session.foreign_keys_off is not None:
        new = violations(raw) - session.foreign_keys_off
        if new:
            table = sorted(new)[0][0]
            raise Refused(
                "{} rows of {} refer to rows that are gone (PRAGMA foreign_key_check; the revision switched "
                "foreign keys off)".format(len(new), table)
            )
    if dialect.name == "postgresql":
        cursor = raw.cursor()
        try:
            cursor.execute("SELECT pg_current_xact_id_if_assigned()::text")
            fields["xid"] = cursor.fetchone()[0]
        finally:
            cursor.close()
    State.channel.ask("committing", statements=State.position, revision=State.revision, **fields)


def committed(session):
    session.dirty = False
    session.foreign_keys_off = None
    State.channel.ask(
        "committed",
        statements=State.position,
        context=State.context,
        revision=State.revision,
        complete=State.stamped,
    )


def violations(raw):
    cursor = raw.cursor()
    cursor.execute("PRAGMA foreign_key_check")
    rows = {tuple(row) for row in cursor.fetchall()}
    cursor.close()
    return rows


def site():
    """File and line in the revision script (or outside SQLAlchemy and Alembic) that sent this statement."""
    frame = sys._getframe(2)
    fallback = (None, None)
    while frame is not None:
        name = frame.f_code.co_filename
        if State.revision_file and name == State.revision_file:
            return name, frame.f_lineno
        if fallback[0] is None and not INTERNAL.search(name):
            fallback = (name, frame.f_lineno)
        frame = frame.f_back
    return fallback if State.revision is None else (None, None)


INTERNAL = re.compile(r"[/\\](sqlalchemy|alembic|asyncio|greenlet|runpy|concurrent)[/\\.]|^<|[/\\]runpy\.py$|threading\.py$")


def before_execute(conn, cursor, statement, parameters, context, executemany):
    session = session_of(conn.connection)
    if State.internal or session is None or session.entry is None:
        return statement, parameters
    wall = State.wall
    sqlite = conn.dialect.name == "sqlite"
    if wall.mode == READ:
        if WRITES.match(statement):
            State.channel.send("write-at-load", sql=statement[:2000])
            return ("SELECT 1 WHERE 1 = 0", ())
        return statement, parameters
    if wall.mode == DRY_RUN and not sqlite and LEAVES_DATABASE.match(statement):
        wall.refuse("a statement that leaves the scratch copy: " + " ".join(statement.split())[:120])
    raw = raw_connection(conn.connection)
    if sqlite:
        prepare_statement(raw, session, statement)
    if READS.match(statement):
        return statement, parameters  # the stream is of what changes the database
    file, line = site()
    State.channel.ask(
        "statement", position=State.position + 1, context=State.context, revision=State.revision, file=file, line=line,
        sql=statement[:20000], digest=sha256(statement.encode("utf-8", "replace")).hexdigest(),
    )  # fmt: skip
    State.position += 1
    if not TRANSACTION.match(statement):
        session.dirty = True
    State.started[id(cursor)] = (State.position, time.monotonic())
    return statement, parameters


def prepare_statement(raw, session, statement):
    """SQLite: a real transaction, begun before the first statement that is neither PRAGMA nor transaction control."""
    match = FOREIGN_KEYS.match(statement)
    if match:
        cursor = raw.cursor()
        cursor.execute("PRAGMA foreign_keys")
        on = cursor.fetchone()[0]
        cursor.close()
        if in_transaction(raw):
            State.channel.send("pragma-in-transaction", revision=State.revision, sql=statement[:200])
        elif on and match.group(1).lower() in ("off", "0", "false", "no"):
            session.foreign_keys_off = violations(raw)
    if NO_BEGIN.match(statement) or READS.match(statement) or session.autocommit or in_transaction(raw):
        return
    if raw.isolation_level is not None:
        raw.isolation_level = None
    cursor = raw.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    cursor.close()


def after_execute(conn, cursor, statement, parameters, context, executemany):
    started = State.started.pop(id(cursor), None)
    if started is None:
        return
    position, begun = started
    seconds = time.monotonic() - begun
    rows = getattr(cursor, "rowcount", -1)
    rows = rows if isinstance(rows, int) and rows >= 0 else None
    State.channel.send("done", position=position, seconds=seconds, rows=rows)
    session = session_of(conn.connection)
    if session is not None and session.dirty and (session.autocommit or in_transaction(conn.connection) is False):
        committed(session)


def on_error(context):
    cursor = getattr(context, "cursor", None)
    started = State.started.pop(id(cursor), None)
    if started is not None:
        error = context.original_exception
        State.channel.send(
            "statement-failed", position=started[0], seconds=time.monotonic() - started[1], error=error_words(error),
            sqlstate=sqlstate(error),
        )  # fmt: skip


def sqlstate(error):
    error = getattr(error, "orig", None) or error
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        value = getattr(error, name, None)
        if value:
            return str(value)
    return "SQLITE_BUSY" if "database is locked" in str(error) else None


def error_words(error):
    """One line without bound values and without the server's DETAIL."""
    error = getattr(error, "orig", None) or error
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    if primary is None:
        lines = [text for text in str(error).splitlines() if text.strip() and not text.startswith(("DETAIL", "[SQL", "[par"))]
        primary = lines[0] if lines else ""
    return "{}: {}".format(type(error).__name__, primary)[:2000] if primary else type(error).__name__


# --------------------------------------------------------------------------------------- Alembic


class Attributes(dict):
    """Config.attributes: a connection for those env.py that insist on one, and for nobody else."""

    def __init__(self, url):
        super().__init__()
        self.url = url

    def __missing__(self, key):
        if key != "connection" or not self.url:
            raise KeyError(key)
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        self[key] = create_engine(self.url, poolclass=NullPool).connect()
        return self[key]


def make_config(request):
    from argparse import Namespace

    from alembic.config import Config

    options = Namespace(x=request.get("x") or None, config=request.get("ini"), name=request["section"], raiseerr=True)
    keywords = {"ini_section": request["section"], "cmd_opts": options}
    if request.get("toml"):
        keywords["toml_file"] = request["toml"]
    config = Config(request.get("ini"), **keywords)
    url = request.get("url")
    if url:
        config.set_main_option("sqlalchemy.url", keep_driver(config, url).replace("%", "%%"))
    config.attributes = Attributes(url)
    if request.get("script_location"):
        config.set_main_option("script_location", request["script_location"])
    if request.get("configure"):
        module, _, function = request["configure"].partition(":")
        getattr(importlib.import_module(module), function)(config)
    return config


def keep_driver(config, url):
    """The target's URL with the driver that the project wrote (an async env.py needs its async driver)."""
    from sqlalchemy.engine import make_url

    try:
        theirs = make_url(config.get_main_option("sqlalchemy.url") or "")
    except Exception:
        return url
    ours = make_url(url)
    if theirs.get_backend_name() == ours.get_backend_name():
        ours = ours.set(drivername=theirs.drivername)
    return ours.render_as_string(hide_password=False)


def describe_graph(script):
    revisions = []
    for revision in script.walk_revisions():
        function = getattr(revision.module, "downgrade", None)
        code = getattr(function, "__code__", None)
        names = set(getattr(code, "co_names", ())) | set(getattr(code, "co_freevars", ()))
        allow = getattr(revision.module, "ci_migrate", None)
        revisions.append({
            "id": revision.revision,
            "file": revision.path,
            "message": (revision.doc or "").strip(),
            "down_revisions": list(as_tuple(revision.down_revision)),
            "depends_on": list(as_tuple(revision.dependencies)),
            "branch_labels": sorted(revision.branch_labels or ()),
            "has_downgrade": function is not None and (code is None or bool(names - {"NotImplementedError"})),
            "allow": {str(k): str(v) for k, v in (allow or {}).get("allow", {}).items()} if isinstance(allow, dict) else {},
        })  # fmt: skip
    return {"revisions": revisions, "heads": list(script.get_heads()), "env_file": script.env_py_location}


def as_tuple(value):
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def wrap_steps(steps, context, number):
    """Announce each revision before its upgrade() or downgrade() runs."""
    for step in steps:
        revision = getattr(step, "revision", None)
        original = step.migration_fn

        def run(*args, _original=original, _revision=revision, **kwargs):
            State.context = number
            if _revision is not None:
                State.revision = _revision.revision
                State.revision_file = _revision.path
            State.stamped = False
            State.channel.send("revision", context=number, revision=State.revision, file=State.revision_file)
            return _original(*args, **kwargs)

        step.migration_fn = run
    context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, on_stamped)
    return steps


def on_stamped(heads=(), **_rest):
    State.stamped = True
    State.channel.send("stamped", context=State.context, revision=State.revision, heads=sorted(heads))


class Contexts:
    """The `fn` of EnvironmentContext: called once for each version table that env.py configures."""

    def __init__(self, script, request):
        self.script = script
        self.request = request
        self.planned = {c["key"]: c for c in request.get("contexts", [])}
        self.seen = []

    def key(self, context):
        connection = context.connection
        session = session_of(connection.connection) if connection is not None else None
        path = None
        if connection is not None and connection.dialect.name == "postgresql":
            State.internal = True
            try:
                path = connection.exec_driver_sql("SELECT current_schema()").scalar()
            finally:
                State.internal = False
        return {
            "name": context.version_table,
            "schema": context.version_table_schema,
            "database": (session.entry if session is not None else "") or "",
            "search_path": path,
        }

    def __call__(self, heads, context):
        table = self.key(context)
        key = "|".join(str(table[k] or "") for k in ("database", "schema", "search_path", "name"))
        heads = sorted(heads)
        number = self.seen.index(key) if key in self.seen else len(self.seen)
        again = key in self.seen
        if not again:
            self.seen.append(key)
        if self.request["action"] == "inspect":
            revisions = [] if again else self.pending(tuple(heads))
            if not again:
                State.channel.send("context", key=key, number=number, table=table, heads=heads, revisions=revisions)
            return []
        if again:
            return []
        planned = self.planned.get(key)
        if planned is None:
            raise Refused("a version table that is not in the plan: " + (table["schema"] or "") + " " + table["name"])
        if sorted(planned["from_heads"]) != heads:
            raise Refused(
                "the plan is stale: {} is at {}, planned was {}".format(
                    table["name"], ", ".join(heads) or "base", ", ".join(planned["from_heads"]) or "base"
                )
            )
        State.context = number
        State.channel.send("context", key=key, number=number, table=table, heads=heads, revisions=planned["revisions"])
        if self.request["direction"] == "stamp":
            return wrap_steps(list(self.script._stamp_revs(self.request["destination"], tuple(heads))), context, number)
        return wrap_steps(self.steps(planned["revisions"]), context, number)

    def pending(self, heads):
        """Alembic's own answer to what would run. Its private names: here and in `steps`, nowhere else."""
        destination, direction = self.request["destination"], self.request["direction"]
        if direction == "stamp":
            return []
        function = self.script._upgrade_revs if direction == "upgrade" else self.script._downgrade_revs
        return [step.revision.revision for step in function(destination, heads)]

    def steps(self, revisions):
        from alembic.runtime.migration import MigrationStep

        map_ = self.script.revision_map
        make = (
            MigrationStep.upgrade_from_script
            if self.request["direction"] == "upgrade"
            else MigrationStep.downgrade_from_script
        )
        return [make(map_, map_.get_revision(revision)) for revision in revisions]


def run_env(config, script, request):
    from alembic.runtime.environment import EnvironmentContext

    contexts = Contexts(script, request)
    reading = request["mode"] == READ
    environment = EnvironmentContext(
        config, script, fn=contexts, as_sql=False, destination_rev=request["destination"], dont_mutate=reading
    )
    original = environment.configure

    def configure(connection=None, *args, **keywords):
        if connection is not None:
            wrap_dialect(connection.dialect)
            if connection.dialect.name == "sqlite":
                # whatever env.py says (it passes its own default): each revision in a real transaction
                keywords["transactional_ddl"] = True
                keywords["transaction_per_migration"] = True
        return original(connection, *args, **keywords)

    environment.configure = configure
    with environment:
        script.run_env()


def listen():
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "before_cursor_execute", before_execute, retval=True)
    event.listen(Engine, "after_cursor_execute", after_execute)
    event.listen(Engine, "handle_error", on_error)
    event.listen(Engine, "engine_connect", lambda conn, *_: wrap_dialect(conn.dialect))


def prepend_sys_path(config):
    """What `alembic` on the command line does with `prepend_sys_path` in the ini file."""
    value = config.get_main_option("prepend_sys_path")
    if not value:
        return
    folders = getattr(config, "get_prepend_sys_paths_list", lambda: re.split(r",|;|:|\s+", value))()
    sys.path[:0] = [str(folder) for folder in folders or ()]


def failure(error):
    """What went wrong, and where in the project."""
    if isinstance(error, Stopped):
        return {"kind": "stopped", "message": "stopped at a statement boundary"}
    kinds = {"CommandError": "command", "Refused": "refused"}
    kind = kinds.get(type(error).__name__, "exit" if isinstance(error, SystemExit) else "error")
    if State.wall is not None and State.wall.refused and kind == "error":
        kind = "refused"
    frames = traceback.extract_tb(error.__traceback__)
    places = [f for f in frames if State.revision_file and f.filename == State.revision_file]
    places = places or [f for f in frames if not INTERNAL.search(f.filename)]
    place = places[-1] if places else None
    message = "sys.exit({})".format(error.code) if kind == "exit" else error_words(error)
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
        "trace": "".join(traceback.format_list(frames))[-16000:],
    }


def main():
    channel = State.channel = Channel()
    import alembic
    import alembic.config
    import alembic.script
    import sqlalchemy

    channel.send(
        "hello", pid=os.getpid(), python=sys.version.split()[0], executable=sys.executable,
        alembic=alembic.__version__, sqlalchemy=sqlalchemy.__version__,
    )  # fmt: skip
    request = State.request = json.loads(channel.line().decode("utf-8"))
    os.environ.update(request.get("environ", {}))
    for name in request.get("unset", []):
        os.environ.pop(name, None)
    State.wall = Wall(channel, request)
    try:
        State.wall.build()
        listen()
        config = make_config(request)
        prepend_sys_path(config)
        script = alembic.script.ScriptDirectory.from_config(config)
        if request["action"] == "inspect":
            channel.send("graph", **describe_graph(script))
        run_env(config, script, request)
    except BaseException as error:  # env.py may raise anything, SystemExit and KeyboardInterrupt included
        if isinstance(error, SystemExit) and error.code in (None, 0):
            channel.send("finished", exited=True)
            return
        channel.send("failed", **failure(error))
    else:
        channel.send("finished", exited=False)


main()
sys.stderr.flush()
os._exit(0)  # threads and atexit handlers of the application have no say
