"""The wall: decides for each connection where it goes, or that it goes nowhere.

It is a safety net, not a sandbox: it sees every connection that SQLAlchemy's engines and the known drivers make
(`drivers.py`), sends those for the target where the stage wants them, and refuses all others.

Arguments only tell where a connection is meant to go: an address has many names, and drivers take what is missing from
the environment, from service files and from option files. So each new session is asked which server it has come to,
before anybody else can use it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Any, NoReturn

from .channel import Channel, Refused, Stopped
from .destinations import (
    mysql_defaults,
    postgresql_defaults,
    replace_mysql,
    same_file,
    same_mysql,
    same_server,
    text_of,
)

READ, DRY_RUN, MIGRATE = "read", "dry-run", "migrate"

TOLD_POSTGRESQL = ("sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs")
TOLD_MYSQL = ("ssl_ca", "ssl_cert", "ssl_key")
"""Arguments of a connect without which the parent might not get there; files and words, no secrets."""

STANDS_IN = 0x43494D00
"""The application_id, plus the number of the request's database, of the empty database in memory that a reader gets
for a file that does not exist."""


Questions = Generator[str, Any, Any]
"""Yields statements and is sent their rows: a session is asked alike by drivers that wait and by those that don't."""


def ask(questions: Questions, cursor: Any) -> Any:
    """Let a session answer; returns what follows from it."""
    try:
        statement = next(questions)
        while True:
            cursor.execute(statement)
            statement = questions.send(cursor.fetchall())
    except StopIteration as end:
        return end.value


class Wall:
    """What the parts for each engine share: the databases of the request, and how to say no."""

    def __init__(self, channel: Channel, request: dict[str, Any]) -> None:
        # whether anybody wanted to connect; it stays so in a forked process: rows may have been read before
        self.asked = False
        self.turn_to(channel, request)

    def turn_to(self, channel: Channel, request: dict[str, Any]) -> None:
        """Whose databases it is about from now on; drivers stay wrapped."""
        setup = request["setup"]
        self.channel = channel
        self.mode: str = request["mode"]
        self.asks_url: bool = request["action"] == "ask-url"
        self.entries: list[dict[str, Any]] = setup["databases"]
        self.allowed: list[str] = setup["allow_connections"]
        self.elsewhere: list[str] = setup["elsewhere"]
        """Revisions of which somebody means that they reach beyond the database: such statements are not rehearsed."""
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
        """The request's databases of one engine, for a connection."""
        self.asked = True
        return [entry for entry in self.entries if entry["dialect"] == dialect]

    def leads_elsewhere(self, entry: dict[str, Any], ours: bool) -> bool:
        """Whether a connection to this database goes by other arguments than it was asked for.

        In a dry run those to the target go to the copy. Where a stage reads, and the target has a login for that
        alone, each is made with that one: the login that env.py has may write.
        """
        if self.mode == DRY_RUN:
            return not ours
        return self.mode == READ and entry["connect"] != entry["match"]

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
        return ask(self.postgresql.questions(), cursor)  # type: ignore[no-any-return]


class SQLiteWall:
    """SQLite: which file is meant."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.on_connect: Callable[[str], None] = lambda _entry: None
        """Called with the name of a database ahead of each connection to it."""

    def target(self, file: str) -> str | None:
        """The file to open instead, None for the one asked for."""
        if not file:
            return None
        for entry in self.wall.entries_of("sqlite"):
            if same_file(file, entry["connect"].get("file")):
                return None
            if same_file(file, entry["match"].get("file")):
                elsewhere = self.wall.leads_elsewhere(entry, ours=False)
                return str(entry["connect"]["file"]) if elsewhere else None
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
                # the name may lead to another file since the parent looked
                expected = entry["identity"].get("inode")
                if expected and expected != inode_of(file):
                    self.wall.refuse(
                        f"a session on {file}, which is another file than the one that was there"
                    )
                return str(entry["name"])
        if self.allows_file(file):
            return None
        self.wall.refuse("a session on the SQLite database " + file)


KEEP_ALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60000,
}
"""Of libpq: a dead network ends a session within a minute or so, as it does ours."""


class PostgreSQLWall:
    """PostgreSQL: which database is meant."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall

    def target(self, driver: str, parts: dict[str, str], told: dict[str, str]) -> dict[str, str]:
        """Replacements for host, port, database, user, password; {} to leave the arguments as they are."""
        for entry in self.wall.entries_of("postgresql"):
            ours = same_server(parts, entry["connect"])
            # of several hosts the copy is on the one that answered; env.py is told all of them
            named = {**entry["match"], "database": entry["connect"]["database"]}
            if ours or same_server(parts, entry["match"]) or same_server(parts, named):
                return dict(entry["connect"]) if self.wall.leads_elsewhere(entry, ours) else {}
        place = "{host}:{port}/{database}".format(**parts)
        self.wall.tell_wanted("postgresql", driver, {**parts, **told})
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
        told = {k: str(v) for k, v in arguments.items() if k in TOLD_POSTGRESQL and isinstance(v, (str, int))}
        new = self.target(driver, parts, told)
        for name, value in new.items():
            if value == "" and name in ("password", "host"):  # left out, libpq looks where it always does
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
            if arguments.get("target_session_attrs") == "read-write":  # no session that only reads would do
                arguments["target_session_attrs"] = "primary"
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
            for key, seconds in KEEP_ALIVE.items():
                arguments.setdefault(key, seconds)
            if name:
                arguments["application_name"] = name

    def questions(self) -> Questions:
        """As `Wall.check_session`."""
        rows = yield POSTGRESQL_SESSION
        database, oid, pid, started = (str(value) for value in tuple(rows[0]))
        self.wall.channel.send("session", pid=int(pid), database=database)
        elsewhere = ""
        for entry in self.wall.entries_of("postgresql"):
            wanted = entry["identity"]
            if wanted.get("database") == database:
                if (wanted.get("oid"), wanted.get("started")) == (oid, started):
                    return str(entry["name"])
                elsewhere = " on another server"
        if self.wall.allows_session(database):
            return None
        self.wall.refuse(f"a session on the PostgreSQL database {database}{elsewhere}")


POSTGRESQL_SESSION = (
    "SELECT pg_catalog.current_database(), d.oid, pg_catalog.pg_backend_pid(),"
    " (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint"
    " FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
)
"""The first database of a fresh cluster has the same oid everywhere, and a cluster that was copied as files has the
same `system_identifier`: the microsecond in which the server started is its own."""


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
            told = {k: str(v) for k, v in arguments.items() if k in TOLD_MYSQL and isinstance(v, str)}
            self.wall.tell_wanted("mysql", driver, {**parts, **told})
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
            # for locks on tables. Rows are the application's matter, and DDL waits for the server's own statistics too
            settings.append(f"SET SESSION lock_wait_timeout={max(1, round(int(wait) / 1000))}")
        return settings + (
            ["SET SESSION TRANSACTION READ ONLY"] if read_only and self.wall.mode != MIGRATE else []
        )

    def questions(self) -> Questions:
        """Which entry a session belongs to, as `Wall.check_session`."""
        ((database, pid, now),) = yield "SELECT DATABASE(), CONNECTION_ID(), UNIX_TIMESTAMP()"
        database = text_of(database)
        variables = yield MYSQL_SERVER
        ((_, uptime),) = yield "SHOW GLOBAL STATUS LIKE 'Uptime'"
        server, started = mysql_server(variables), int(now) - int(text_of(uptime))
        self.wall.channel.send("session", pid=int(pid), database=database)
        elsewhere = ""
        for entry in self.wall.entries_of("mysql"):
            wanted = entry["identity"]
            if wanted.get("database") != database:
                continue
            if wanted.get("server") != server or abs(int(wanted["started"]) - started) > CLOCK:
                elsewhere = " on another server"
                continue
            for name in wanted.get("marks", "").split() if self.wall.mode == MIGRATE else ():
                # the first one that is free: the next run sees by it that this session is still there
                ((taken,),) = yield f"SELECT GET_LOCK('{name}', 0)"
                if taken == 1:
                    break
            return str(entry["name"])
        if self.wall.allows_session(database):
            return None
        self.wall.refuse(f"a session on the MySQL database {database}{elsewhere}")

    def check_session(self, cursor: Any) -> str | None:
        """As `Wall.check_session`; sets the session up, too."""
        found: str | None = ask(self.questions(), cursor)
        cursor.execute("SELECT DATABASE(), VERSION()")
        database, version = (text_of(value) for value in cursor.fetchone())
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


MYSQL_SERVER = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
    " ('server_uid', 'server_uuid', 'hostname', 'port', 'datadir')"
)
CLOCK = 3
"""Seconds by which the start of a server of MySQL's may seem to differ: it tells whole seconds, in two answers."""


def mysql_server(variables: Any) -> str:
    """What tells one server from another: the uid that it was given, else where it lives."""
    found = {text_of(name): text_of(value) for name, value in variables}
    known = found.get("server_uuid") or found.get("server_uid")
    return known or "{hostname}:{port}:{datadir}".format(**found)


def inode_of(file: str) -> str:
    """Which file it is, whatever it is called; '' where it is not there."""
    try:
        found = os.stat(file)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"
