"""Wraps every driver, so that the wall sees each connection before and after it is made.

`creator=`, `pool=` and raw connections do not go through SQLAlchemy's do_connect.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from .destinations import parse_dsn, sqlite_file
from .statements import MYSQL
from .wall import DRY_RUN, MIGRATE, STANDS_IN, Questions, Wall, ask


def redirect_engine(wall: Wall, dialect: Any, cargs: list[Any], cparams: dict[str, Any]) -> None:
    """An engine is about to connect."""
    if dialect.name == "sqlite" or (dialect.name in MYSQL and dialect.driver in WRAPPED_MYSQL):
        return  # the driver itself is wrapped, for engines, pools and raw connections alike
    if dialect.name != "postgresql":
        url = {k: str(v) for k, v in cparams.items() if isinstance(v, (str, int))}
        wall.tell_wanted(dialect.name, dialect.driver, url)
        by = " by the driver " + dialect.driver if dialect.name in MYSQL else ""  # one that is not wrapped
        wall.refuse(f"a connection to a {dialect.name} database{by}")
    arguments = dict(cparams)
    if cargs and isinstance(cargs[0], str):
        arguments = {**parse_dsn(cargs.pop(0)), **arguments}
    wall.postgresql.redirect(dialect.driver, arguments)
    cparams.clear()
    cparams.update(arguments)


def wrap_sqlite3(wall: Wall, module: Any) -> None:
    """`connect` of sqlite3, or of one of those that applications put in its place (`sys.modules["sqlite3"] = ...`)."""
    original = module.connect

    def connect(database: Any, *args: Any, **kwargs: Any) -> Any:
        file = sqlite_file(database, kwargs.get("uri", False) or args[6:7] == (True,))
        target = wall.sqlite.target(file)
        if target is None and wall.sqlite.only_reads(file) and not os.path.exists(file):
            target = ":memory:"  # reading must not create the file
        if target is not None:
            database, args = target, args[:6]
            kwargs.pop("uri", None)
        meant = wall.sqlite.entry_number(file)
        if meant is not None:
            wall.sqlite.on_connect(str(wall.entries[meant]["name"]))
        connection = original(database, *args, **kwargs)
        if target == ":memory:" and meant is not None:
            connection.execute(f"PRAGMA application_id={STANDS_IN + meant:d}")
        authorize(wall, connection, reading=wall.sqlite.only_reads(target or file))
        if file:
            prepare_sqlite(wall, connection, target or file)
        return connection

    module.connect = connect


def watch_sqlite3(wall: Wall) -> None:
    """By an audit hook what goes past `sqlite3.connect`, as `sqlite3.Connection(...)` does."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "sqlite3.connect" and not wall.channel.forked:
            file = sqlite_file(arguments[0], str(arguments[0]).startswith("file:"))
            if wall.sqlite.target(file) is not None:
                wall.refuse(f"a connection to {file} that was not made by sqlite3.connect")

    sys.addaudithook(audit)


def authorize(wall: Wall, connection: Any, *, reading: bool) -> None:
    """Refuse ATTACH (and VACUUM INTO) by SQLite's own authorizer, which sees raw connections too.

    In a session that only reads it also ignores what `query_only` does not tolerate (BEGIN IMMEDIATE is an error
    there) or does not hold back (journal_mode is kept in the file). Many an env.py sends both when it connects.
    """
    import sqlite3

    # SQLITE_PRAGMA and so on: the module names them since Python 3.11
    pragma, transaction, attach = 19, 22, 24

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
        if (
            file
            and not wall.sqlite.is_entry(file)
            and not (wall.mode == MIGRATE and wall.sqlite.allows_file(file))
        ):
            wall.note("ATTACH of the SQLite database " + file)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    connection.set_authorizer(decide)


def prepare_sqlite(wall: Wall, connection: Any, file: str) -> None:
    """Timeout and read-only for a new connection."""
    if wall.session.get("busy_timeout"):
        connection.execute("PRAGMA busy_timeout={:d}".format(wall.session["busy_timeout"]))
    if wall.sqlite.only_reads(file):
        connection.execute("PRAGMA query_only=ON")
    elif wall.mode == DRY_RUN and not connection.in_transaction:
        connection.execute("PRAGMA synchronous=OFF")  # a scratch copy need not survive a power cut


def wrap_psycopg2(wall: Wall, module: Any) -> None:
    """`psycopg2.connect`: all others lead to it."""
    original = module.connect

    def connect(
        dsn: Any = None, connection_factory: Any = None, cursor_factory: Any = None, **kwargs: Any
    ) -> Any:
        arguments = {**parse_dsn(dsn or ""), **kwargs}
        wall.postgresql.redirect("psycopg2", arguments)
        connection = original(None, connection_factory, cursor_factory, **arguments)
        with closed_if_refused(connection.close):
            if connection.async_:
                wall.refuse("an asynchronous connection of psycopg2, which can't be asked where it leads")
            ask(wall.postgresql.questions(), connection.cursor(cursor_factory=module.extensions.cursor))
            if not connection.autocommit:
                connection.rollback()
        return connection

    module.connect = connect


@contextmanager
def closed_if_refused(close: Callable[[], Any]) -> Iterator[None]:
    """A session that is no good is closed at once."""
    try:
        yield
    except BaseException:
        close()
        raise


async def ask_async(questions: Questions, cursor: Any) -> Any:
    """As `ask`."""
    try:
        statement = next(questions)
        while True:
            await cursor.execute(statement)
            statement = questions.send(await cursor.fetchall())
    except StopIteration as end:
        return end.value


PSYCOPG_OWN = {"autocommit", "prepare_threshold", "context", "row_factory", "cursor_factory"}


def wrap_psycopg(wall: Wall, module: Any) -> None:
    """`connect` of both kinds of connection."""
    plain = module.rows.tuple_row
    originals = module.Connection.connect.__func__, module.AsyncConnection.connect.__func__

    def lead(conninfo: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        own = {k: kwargs.pop(k) for k in list(kwargs) if k in PSYCOPG_OWN}
        arguments = {**parse_dsn(conninfo), **kwargs}
        wall.postgresql.redirect("psycopg", arguments)
        return {**arguments, **own}

    def connect(cls: Any, /, conninfo: str = "", **kwargs: Any) -> Any:
        connection = originals[0](cls, "", **lead(conninfo, kwargs))
        with closed_if_refused(connection.close):
            ask(wall.postgresql.questions(), module.Cursor(connection, row_factory=plain))
            if not connection.autocommit:
                connection.rollback()
        return connection

    async def connect_async(cls: Any, /, conninfo: str = "", **kwargs: Any) -> Any:
        connection = await originals[1](cls, "", **lead(conninfo, kwargs))
        with closed_if_refused(connection.pgconn.finish):
            await ask_async(wall.postgresql.questions(), module.AsyncCursor(connection, row_factory=plain))
            if not connection.autocommit:
                await connection.rollback()
        return connection

    module.Connection.connect = classmethod(connect)
    module.AsyncConnection.connect = classmethod(connect_async)
    module.connect = module.Connection.connect


def wrap_asyncpg(wall: Wall, module: Any) -> None:
    """`asyncpg.connect` under both of its names."""
    original = module.connection.connect

    async def connect(dsn: Any = None, **kwargs: Any) -> Any:
        arguments = {**parse_dsn(dsn or ""), **kwargs}
        wall.postgresql.redirect("asyncpg", arguments)
        for name, kind in (("host", str), ("port", int)):  # it knows lists alone
            several = arguments.get(name)
            if isinstance(several, str) and several:
                values = [kind(one) for one in several.split(",") if one]
                arguments[name] = values if len(values) > 1 else values[0]
        connection = await original(None, **arguments)
        with closed_if_refused(connection.terminate):
            questions = wall.postgresql.questions()
            row = await connection.fetchrow(next(questions))
            with suppress(StopIteration):
                questions.send([tuple(row)])
        return connection

    module.connect = module.connection.connect = connect


def wrap_pg8000(wall: Wall, module: Any) -> None:
    """The class below both of its interfaces."""
    original = module.core.CoreConnection.__init__

    def init(
        self: Any, user: Any, host: Any = "localhost", database: Any = None, port: Any = 5432, password: Any = None,
        *args: Any, **kwargs: Any
    ) -> None:  # fmt: skip
        arguments = {"user": user, "host": host, "database": database, "port": port, "password": password}
        wall.postgresql.redirect("pg8000", arguments)
        kwargs.setdefault("application_name", arguments.pop("application_name", None))
        original(self, *args, **arguments, **kwargs)
        with closed_if_refused(self.close):
            questions = wall.postgresql.questions()
            rows = self.execute_simple(next(questions)).rows
            with suppress(StopIteration):
                questions.send(rows)

    module.core.CoreConnection.__init__ = init


WRAPPED_MYSQL = ("pymysql", "mysqldb", "aiomysql", "asyncmy")
MYSQL_POSITIONS = ("host", "user", "password", "database", "port", "unix_socket")


def wrap_mysql(wall: Wall, module: Any) -> None:
    """Every driver of MySQL has a class Connection that all ways to connect lead to."""
    driver = module.__name__.partition(".")[0]
    cursor_of = importlib.import_module(driver + ".cursors").Cursor
    original = module.Connection.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        arguments = {**dict(zip(MYSQL_POSITIONS, args)), **kwargs}
        wall.mysql.redirect(driver, arguments)
        original(self, *args[len(MYSQL_POSITIONS) :], **{k: v for k, v in arguments.items() if v is not None})
        if driver == "MySQLdb":
            with closed_if_refused(self.close):
                ask(wall.mysql.questions(), cursor_of(self))

    module.Connection.__init__ = init
    if driver != "MySQLdb":
        wrap_mysql_connect(
            wall, module.Connection, "_connect" if driver == "aiomysql" else "connect", cursor_of
        )


def wrap_mysql_connect(wall: Wall, owner: Any, name: str, cursor_of: Callable[[Any], Any]) -> None:
    """The method that connects, also for the second time: PyMySQL, aiomysql and asyncmy have one."""
    original = getattr(owner, name)

    def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        done = original(self, *args, **kwargs)
        if hasattr(done, "__await__"):
            return finish(self, done)
        keep_alive(self)
        with closed_if_refused(self._force_close):
            ask(wall.mysql.questions(), cursor_of(self))
        return done

    async def finish(self: Any, connecting: Any) -> Any:
        done = await connecting
        with closed_if_refused(self.close):
            await ask_async(wall.mysql.questions(), cursor_of(self))
        return done

    setattr(owner, name, connect)


def keep_alive(connection: Any) -> None:
    """A dead network ends a session of PyMySQL within a minute or so, as it does ours."""
    own = getattr(connection, "_sock", None)
    if own is None or own.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 60000),
    ):
        if hasattr(socket, name):
            own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def wrap_other(wall: Wall, module: Any) -> None:
    """Drivers of databases that are not the target's: no connection at all."""
    name = module.__name__

    def connect(*_args: Any, **_kwargs: Any) -> NoReturn:
        wall.refuse("a connection by the driver " + name)

    module.connect = connect


DRIVERS: dict[str, Callable[[Wall, Any], None]] = {
    "pysqlite3.dbapi2": wrap_sqlite3,
    "sqlean.dbapi2": wrap_sqlite3,
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

    def on_do_connect(dialect: Any, _record: Any, cargs: list[Any], cparams: dict[str, Any]) -> None:
        redirect_engine(wall, dialect, cargs, cparams)

    event.listen(Engine, "do_connect", on_do_connect)
    wrap_sqlite3(wall, sqlite3.dbapi2)
    sqlite3.connect = sqlite3.dbapi2.connect
    watch_sqlite3(wall)
    for name, wrap in DRIVERS.items():
        if name in sys.modules:
            wrap(wall, sys.modules[name])
    sys.meta_path.insert(0, AfterImport(wall))


class AfterImport(importlib.abc.MetaPathFinder):
    """Wraps a driver right after its first import."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.looking = threading.local()

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
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
