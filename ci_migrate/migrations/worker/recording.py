"""Statement by statement: each one is announced before it is sent, and so is each commit."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any

from .backfills import Backfills
from .channel import Refused
from .failure import error_words, find_known, sqlstate
from .forms import form
from .lock_waits import LockWaits
from .probes import Probes
from .reach import OF_OTHERS, OWN_DATABASE, SHARED_WRITES, leaves_mysql, leaves_postgresql, shorten
from .sqlite_transactions import SQLiteTransactions, foreign_key_violations
from .state import (
    Session,
    State,
    driver_connection,
    in_transaction,
    raw_connection,
    read_dialect,
    tell_transaction,
)
from .statements import (
    ENDS,
    MYSQL,
    NO_CHANGE,
    OF_SESSION,
    PROGRAM,
    SETS_READING,
    TRANSACTION,
    WRITES,
    asks_by_name,
    commits_first,
    only_reads,
    send_nothing,
)
from .wall import DRY_RUN, READ, Wall

LOCK_TIMEOUTS = ("55P03", "1205")


class Recorder:
    """Hears of each statement of each engine, and of each commit and rollback."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.transactions = SQLiteTransactions(state)
        self.lock_waits = LockWaits(state)
        self.backfills = Backfills()
        self.started: dict[int, tuple[int, float, bool]] = {}  # by the id of a cursor
        self.sending: dict[int, Session] = {}  # likewise
        self.probes = Probes(state)

    def turn_to(self, state: State) -> None:
        """Another request is served, in a fork of the process that listened; no connection was made before."""
        self.state = state
        self.transactions.state = self.probes.state = state
        state.wall.sqlite.on_connect = self.transactions.give_way

    def listen(self) -> None:
        """From here on."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.pool import Pool

        event.listen(Engine, "do_connect", lambda dialect, *_: self.wrap_dialect(dialect))
        event.listen(Engine, "engine_connect", lambda conn, *_: self.wrap_dialect(conn.dialect))
        event.listen(Pool, "connect", self.on_pool_connect)
        event.listen(Engine, "before_cursor_execute", self.before_execute, retval=True)
        event.listen(Engine, "after_cursor_execute", self.after_execute)
        event.listen(Engine, "handle_error", self.on_error)
        self.state.wall.sqlite.on_connect = self.transactions.give_way

    def on_pool_connect(self, connection: Any, _record: Any) -> None:
        """A pool has a new connection: is it one to a database that it may be?"""
        names = type(driver_connection(connection)).__module__, type(connection).__module__
        sqlite = any("sqlite" in name or "sqlean" in name for name in names)
        mysql = any("mysql" in name.lower() or "asyncmy" in name for name in names)
        cursor = connection.cursor()
        try:
            engine = "sqlite" if sqlite else "mysql" if mysql else "postgresql"
            entry = self.state.wall.check_session(engine, cursor)
            sql = read_dialect(engine, cursor)
            others = ""
            if engine == "postgresql" and self.state.wall.mode == DRY_RUN:
                cursor.execute(OF_OTHERS)
                others = cursor.fetchone()[0]
        finally:
            cursor.close()
            if not sqlite:  # the look began a transaction; sqlite3 begins none for what only reads
                connection.rollback()
        autocommit = self.state.levels.pop(id(connection), "").upper() == "AUTOCOMMIT"
        self.state.sessions[id(connection)] = Session(entry, connection, autocommit, sql, others)

    # -- commits and rollbacks

    def wrap_dialect(self, dialect: Any) -> None:
        """Hear of each commit, and keep SQLite's transactions ours, by the dialect's documented methods."""
        if getattr(dialect, "_ci_migrate", False):
            return
        dialect._ci_migrate = True
        sqlite = dialect.name == "sqlite"
        if sqlite:
            self.transactions.dialect = dialect
        do_commit, do_rollback, set_level = (
            dialect.do_commit,
            dialect.do_rollback,
            dialect.set_isolation_level,
        )

        def patient(send: Any) -> Any:
            def execute(cursor: Any, statement: str, *rest: Any, **named: Any) -> Any:
                session = self.sending.get(id(cursor))
                if session is None:
                    return send(cursor, statement, *rest, **named)
                return self.lock_waits.send(
                    lambda: send(cursor, statement, *rest, **named), dialect.name, session, statement
                )

            return execute

        for name in ("do_execute", "do_execute_no_params"):
            setattr(dialect, name, patient(getattr(dialect, name)))

        def commit(connection: Any) -> None:
            session = self.state.session_of(connection)
            if session is not None:
                session.probed.clear()
                session.pending = False
            if session is None or session.entry is None or self.state.wall.mode == READ:
                do_commit(connection)
            elif self.before_commit(dialect, raw_connection(connection), session):
                do_commit(connection)
                self.report_commit(session)
            else:
                do_commit(connection)
                self.transactions.forget(session)

        def rollback(connection: Any) -> None:
            session = self.state.session_of(connection)
            if session is not None:
                session.probed.clear()
                session.pending = False
            if session is not None and session.dirty:
                session.dirty = False
                self.state.channel.send(
                    "rolled-back",
                    revision=self.state.place_of(session)[1],
                    statements=self.state.position,
                    contexts=session.contexts,
                    database=session.entry or "",
                    at=self.state.clock(),
                )
            do_rollback(connection)
            if session is not None:
                self.transactions.forget(session)

        def set_isolation_level(connection: Any, level: str) -> None:
            set_level(connection, level)
            raw = raw_connection(connection)
            session = self.state.session_of(raw)
            if session is None:  # set ahead of the pool's event, in which the session is made
                self.state.levels[id(raw)] = str(level)
            else:
                session.autocommit = str(level).upper() == "AUTOCOMMIT"

        dialect.do_commit, dialect.do_rollback, dialect.set_isolation_level = (
            commit,
            rollback,
            set_isolation_level,
        )

    def before_commit(self, dialect: Any, raw: Any, session: Session) -> bool:
        """Ask before something is committed; False where there is nothing to commit."""
        self.state.inputs.refuse_again()
        if self.state.wall.mode == DRY_RUN:
            self.refuse_shared(raw, session)
        fields: dict[str, Any] = {}
        if dialect.name == "postgresql" and in_transaction(raw) is not False:
            # asked before: once the connection is lost, the server still tells by this id what became of the commit
            cursor = raw.cursor()
            try:
                cursor.execute("SELECT pg_current_xact_id_if_assigned()::text")
                fields["xid"] = cursor.fetchone()[0]
            finally:
                cursor.close()
            # it has one without a statement that we saw where a function or a raw cursor has written
            session.dirty = session.dirty or fields["xid"] is not None
        if dialect.name == "sqlite":
            session.dirty = self.transactions.has_changed(raw, session)
        if not session.dirty:
            return False
        if dialect.name in MYSQL and self.state.marker:
            fields["xid"] = self.mark(raw)
        if session.entry and fields.get("xid"):
            fields["xid"] = "{}/{}".format(session.entry, fields["xid"])  # which of several databases to ask
        fields["changed"] = self.probes.before_commit(raw)
        if dialect.name == "sqlite" and session.violations is not None:
            now = foreign_key_violations(raw)
            new = now - session.violations
            if new:
                table = min(new, key=str)[0]
                raise Refused(
                    f"{len(new)} rows of {table} refer to rows that are gone (PRAGMA foreign_key_check; "
                    "the revision switched foreign keys off)"
                )
            session.violations = now
        self.state.channel.ask(
            "committing",
            statements=self.state.position,
            revision=self.state.place_of(session)[1],
            backfill=session.backfill,
            **fields,
        )
        return True

    def mark(self, raw: Any) -> str | None:
        """MySQL and MariaDB: a row beside the ledger, in the very transaction that is about to be committed.

        Asked later it tells whether that was committed. None where the row can't be written: then nobody can tell.
        """
        marker = self.state.marker
        name = str(marker["database"]).replace("`", "``")
        cursor = raw.cursor()
        try:
            cursor.execute(
                "INSERT INTO `{}`.ci_migrate_commits (run_id, position) VALUES ('{}', {:d})".format(
                    name.replace("%", "%%"), marker["run"], self.state.position
                )
            )
        except Exception:
            return None
        finally:
            cursor.close()
        return "{}:{}:{}".format(marker["database"], marker["run"], self.state.position)

    def report_commit(self, session: Session) -> None:
        """It is committed: tell the parent, and wait for its word."""
        session.dirty = False
        session.probed.clear()
        self.transactions.forget(session)
        context, revision, complete = self.state.place_of(session)
        self.state.channel.ask(
            "committed",
            statements=self.state.position,
            context=context,
            contexts=session.contexts,
            database=session.entry or "",
            revision=revision,
            complete=complete,
            backfill=session.backfill,
            at=self.state.clock(),
        )
        if complete:  # what comes now is env.py's, until the next revision starts
            session.revision = None
        if self.state.stamped:
            self.state.revision = self.state.blame.revision_file = None

    def report_if_changed(self, dialect: Any, session: Session) -> None:
        """It is committed by itself."""
        if dialect.name != "sqlite" or self.transactions.has_changed(session.connection, session):
            self.report_commit(session)
        else:
            session.dirty = False
            self.transactions.forget(session)

    # -- statements

    def before_execute(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        """A statement is about to be sent: held back, refused, or announced."""
        session = self.state.session_of(conn.connection)
        if self.state.internal or session is None or session.entry is None:
            return statement, parameters
        self.state.inputs.refuse_again()  # an env.py that catches the refusal must not get any further
        backfill = self.backfills.name_of(self.state, context)
        session.last, session.pending = shorten(statement), not session.autocommit
        wall = self.state.wall
        sqlite, mysql = conn.dialect.name == "sqlite", conn.dialect.name in MYSQL
        if wall.mode == READ:
            if not WRITES.match(statement):
                return statement, parameters
            self.state.channel.send("write-at-load", sql=statement[:2000])
            return send_nothing(statement, mysql, executemany, context)
        leaves = wall.mode == DRY_RUN and not sqlite and self.is_to_be_left_out(conn, session, statement)
        if wall.mode == DRY_RUN and not sqlite and not executemany:
            self.tell_named(session, statement, parameters)
        if mysql:
            self.settle(conn.dialect, session)
        raw = raw_connection(conn.connection)
        if (session.dirty or sqlite) and in_transaction(raw) is False:
            self.report_if_changed(conn.dialect, session)  # by a raw cursor, behind SQLAlchemy's back
        if sqlite:
            self.transactions.prepare_statement(raw, session, statement)
        if mysql and session.dirty and not session.autocommit and commits_first(statement, session.sql):
            conn.dialect.do_commit(conn.connection)  # the server would do it anyway, and nobody would be told
        if only_reads(statement, conn.dialect.name):
            return statement, parameters
        file, line = self.state.blame.find_site(outside=self.state.revision is None)
        own, digest = self.state.names_of(session), sha256(statement.encode("utf-8", "replace")).hexdigest()
        shape = form(statement, session.sql, own)
        revision = self.state.revision
        if self.state.stamped and self.state.of_context.get(self.state.context, session) is not session:
            revision = None  # it has come to its end, on another connection: this is env.py's
        # a repair goes on in the middle of a revision: its script runs from the top, what is committed is not sent
        committed_before = self.state.skip.get((self.state.context, revision))
        if committed_before and not backfill:  # which knows by itself what it has left
            if committed_before.pop(0) not in (shape, digest):  # the whole text's is version 0.1.0's
                raise Refused("what is committed of the revision begins otherwise: " + shorten(statement))
            if OF_SESSION.match(statement):
                return statement, parameters  # its effect ended with the session that sent it
            return send_nothing(statement, mysql, executemany, context)
        # waits for the parent's word; counted only then, so that both number what was sent alike
        self.state.channel.ask(
            "statement",
            position=self.state.position + 1,
            context=self.state.context,
            revision=revision,
            file=file,
            line=line,
            sql=statement[:20000],
            digest=digest,
            form=shape,
            backfill=backfill,
            exact=self.state.constants.bind(file, statement, session.sql, parameters, executemany, own),
        )
        self.state.position += 1
        if leaves:  # and is meant: on the target alone
            self.state.channel.send(
                "left-out", revision=revision, file=file, line=line, sql=shorten(statement)
            )
            self.started[id(cursor)] = (self.state.position, time.monotonic(), False)
            return send_nothing(statement, mysql, executemany, context)
        session.first, session.backfill = not session.dirty, backfill
        if sqlite:
            self.transactions.note(session, statement)
        elif not TRANSACTION.match(statement) and not (mysql and NO_CHANGE.match(statement)):
            session.dirty = True
        self.started[id(cursor)] = (self.state.position, time.monotonic(), file is not None)
        self.sending[id(cursor)] = session
        if mysql and not executemany:  # PyMySQL sends many rows at once only where INSERT comes first
            # the process list shows no other name of a session: by this one an orphaned statement is found
            statement = wall.mysql.caption + statement
        return statement, parameters

    def is_to_be_left_out(self, conn: Any, session: Session, statement: str) -> bool:
        """In a dry run: whether a statement reaches beyond the copy and is meant so; one that is not is refused."""
        wall = self.state.wall
        leaves = leaves_copy(wall, session, statement, conn.dialect.name in MYSQL)
        if leaves and self.state.revision not in wall.elsewhere:
            wall.refuse("a statement that leaves the scratch copy: " + shorten(statement))
        if ENDS.match(statement):
            self.refuse_shared(raw_connection(conn.connection), session)
        return leaves

    def refuse_shared(self, raw: Any, session: Session) -> None:
        """PostgreSQL, in a dry run: refuse what the open transaction has written for the whole server.

        Whatever it was asked by: a function, a DO block, a text that was put together. The server itself tells.
        """
        if session.sql.engine != "postgresql" or session.entry is None or in_transaction(raw) is False:
            return
        cursor = raw.cursor()
        try:
            cursor.execute(SHARED_WRITES)
            written = {str(row[0]) for row in cursor.fetchall()}
            if written and written <= OWN_DATABASE:
                cursor.execute(OF_OTHERS)
                written = set() if cursor.fetchone()[0] == session.others else written
        finally:
            cursor.close()
        if written:
            self.state.wall.refuse(
                "a change of what the whole server shares ({}), which no copy can take back; a statement that is "
                "meant so must stand by itself, and be acknowledged as CM108".format(
                    ", ".join(sorted(written))
                )
            )

    def tell_named(self, session: Session, statement: str, parameters: Any) -> None:
        """Who asks by the target's name gets another answer here than on the target, or the target's own."""
        wall = self.state.wall
        entry = next((e for e in wall.entries if e["name"] == session.entry), None)
        name = entry["match"].get("database", "") if entry is not None else ""
        if entry is None or name == entry["connect"].get("database"):
            return
        if asks_by_name(statement, parameters, name, session.sql):
            file, line = self.state.blame.find_site(outside=self.state.revision is None)
            if file is not None:
                revision = self.state.revision
                self.state.channel.send("asks-by-name", revision=revision, name=name, file=file, line=line)

    def settle(self, dialect: Any, session: Session) -> None:
        """MySQL and MariaDB: env.py goes on with another database, so what ran on the one before it is committed first.

        Its DDL is there already: a failure further on would take back the version row alone.
        """
        earlier = self.state.of_context.get(self.state.context)
        if earlier is not None and self.state.stamped and earlier.dirty and earlier.entry != session.entry:
            dialect.do_commit(earlier.connection)

    def after_execute(
        self, conn: Any, cursor: Any, statement: str, _parameters: Any, _context: Any, _executemany: bool
    ) -> None:
        """It ran."""
        started = self.started.pop(id(cursor), None)
        self.sending.pop(id(cursor), None)
        if started is None:
            return
        position, begun, scripted = started
        seconds = time.monotonic() - begun
        rows = getattr(cursor, "rowcount", -1)
        rows = rows if isinstance(rows, int) and rows >= 0 else None
        session = self.state.session_of(conn.connection)
        ended = self.state.clock()
        probed = None
        if scripted and session is not None:  # not of Alembic's own UPDATE of its version table
            probed = self.probes.after_statement(conn, session, statement)
        self.state.channel.send(
            "done", position=position, seconds=seconds, rows=rows, at=ended, probed=probed
        )
        if session is not None and self.state.wall.mode == DRY_RUN and PROGRAM.match(statement):
            self.refuse_shared(raw_connection(conn.connection), session)  # here, so that its line is named
        if session is not None and SETS_READING.search(statement):
            other = raw_connection(conn.connection).cursor()
            try:
                session.sql = read_dialect(session.sql.engine, other)
            finally:
                other.close()
        if conn.dialect.name in MYSQL and getattr(cursor, "description", None):
            tell_transaction(driver_connection(raw_connection(conn.connection)))
        sent = session is not None and (session.dirty or conn.dialect.name == "sqlite")
        if session is not None and sent and is_committed_by_itself(conn, session, statement):
            self.report_if_changed(conn.dialect, session)

    def on_error(self, context: Any) -> None:
        """It failed."""
        # `context.cursor` is documented, and missing
        cursor = getattr(context.execution_context, "cursor", None)
        started = self.started.pop(id(cursor), None)
        self.sending.pop(id(cursor), None)
        error = context.original_exception
        if sqlstate(error) == "SQLITE_BUSY" and context.connection is not None:
            self.transactions.look_for_lock(self.state.session_of(context.connection.connection))
        if sqlstate(error) in LOCK_TIMEOUTS and context.connection is not None:
            self.state.waits_for = self.state.find_own_lock(
                self.state.session_of(context.connection.connection)
            )
        if started is not None:
            self.state.channel.send(
                "statement-failed",
                position=started[0],
                seconds=time.monotonic() - started[1],
                error=error_words(
                    error,
                    find_known(error, self.state.blame),
                    self.state.blame.read_loaded,
                    shown=self.state.shows_values,
                ),
                sqlstate=sqlstate(error),
            )


def leaves_copy(wall: Wall, session: Session, statement: str, mysql: bool) -> bool:
    """Whether a statement reaches beyond the scratch copy."""
    entry = next(e for e in wall.entries if str(e["name"]) == session.entry)
    database = str(entry["connect"].get("database"))
    if not mysql:
        return leaves_postgresql(statement, database, session.sql)
    return bool(leaves_mysql(statement, database, wall.mysql.others, session.sql))


def is_committed_by_itself(conn: Any, session: Session, statement: str) -> bool:
    """Whether what was sent is committed without anybody's COMMIT."""
    inside = in_transaction(conn.connection)
    if inside is None and conn.dialect.name in MYSQL:  # mysqlclient does not say
        return session.autocommit or commits_first(statement, session.sql)
    return session.autocommit or inside is False
