"""Tables that go from one database to another with their triggers: nobody writes to one before its triggers stand.

`RENAME TABLE` takes no trigger along. So the tables are locked from before it until the triggers are made again, and
what the server needs for that is sent to it in one packet: a server runs such a packet to its end whether its client
still lives or not.

MySQL renames tables that the session has locked (since 8.0.13), and keeps the locks:
https://dev.mysql.com/doc/refman/8.4/en/rename-table.html. MariaDB refuses (error 1192). There the locks pass from one
session to the next: RENAME has all tables and waits for a table of ours, which comes last; the sessions that will make
the triggers wait for their tables meanwhile; and then it is let go. A lock that waits to write is served before others
(https://dev.mysql.com/doc/refman/8.4/en/metadata-locking.html, "priority"; MariaDB has the same code). Its first table
is made in the last moment: if our process dies before, RENAME finds no such table and does nothing.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.mysql.catalog import quote_name, read_flavour
from ci_migrate.databases.mysql.objects import Stored, making_statements
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.errors import DatabaseError

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

OURS = "\uffdcci_migrate_"
"""What our own tables begin with: the lock of a name that comes last in its order is taken last."""

WAITING, GO, GONE, WAITED = (OURS + word for word in ("1", "2", "3", "4"))
"""RENAME waits for the first; renames the second, which we make at last, to the third, and the first to the last."""

WAIT = 10.0
"""Seconds until all sessions stand where they should: mostly some hundredths."""

Move = tuple[str, str, str]
"""A table, the database it is in, the one it goes to."""


@dataclass(frozen=True)
class Triggers:
    """Triggers as they were in a database of the name `named`, and the table of each."""

    stored: tuple[Stored, ...]
    named: str
    tables: Mapping[str, str]

    def of(self, table: str) -> list[Stored]:
        """Those of one table, in their order."""
        return [one for one in self.stored if self.tables.get(one.name) == table]

    def without(self, names: Collection[str]) -> "Triggers":
        """All but those."""
        return replace(self, stored=tuple(one for one in self.stored if one.name not in names))

    def on(self, tables: Sequence[str]) -> list[str]:
        """The tables among these that have any."""
        return [table for table in tables if self.of(table)]


def read_trigger_tables(cursor: "Cursor", database: str) -> dict[str, str]:
    """The table of each trigger."""
    cursor.execute(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
        [database],
    )
    return {str(name): str(table) for name, table in cursor.fetchall()}


def move_tables(access: Access, moves: Sequence[Move], old: Triggers, new: Triggers) -> None:
    """Move tables by one RENAME. Others wait, or find no such table for a moment; then all triggers stand.

    Args:
        access: the database that some leave and others come to.
        moves: from it, and to it; their triggers have been dropped in the databases that they come from.
        old: the triggers of those that leave it, which are dropped.
        new: the triggers of those that come to it, which are made.

    Raises:
        DatabaseError: a table stayed locked, or a right is missing. What had left is in the other database then,
            without its triggers, on MariaDB; on MySQL all is as it was.
    """
    leaving = old.on([name for name, source, _ in moves if source == access.database])
    coming = new.on([name for name, _, to in moves if to == access.database])
    with access.session() as cursor:
        mariadb = read_flavour(cursor).mariadb
    if not leaving and not coming:
        with access.session() as cursor:
            cursor.execute(_rename(moves))
    elif mariadb:
        if leaving:
            _leave(access, [move for move in moves if move[0] in leaving and move[1] == access.database], old)
        _arrive(access, [m for m in moves if m[0] not in leaving or m[1] != access.database], coming, new)
    else:
        _move_locked(access, moves, leaving, coming, old, new)


def make_triggers(access: Access, triggers: Triggers) -> None:
    """Make triggers of tables that are there; each table is locked until all of its triggers stand."""
    for table in dict.fromkeys(triggers.tables.values()):
        made = [text for one in triggers.of(table) for text in making_statements(access, one, triggers.named)]
        if made:
            with _several(access) as connection:
                _send(
                    connection,
                    [f"LOCK TABLES {quote_name(access.database, table)} WRITE", *made, "UNLOCK TABLES"],
                )


# --------------------------------------------------------------------------- MySQL


def _move_locked(
    access: Access,
    moves: Sequence[Move],
    leaving: Sequence[str],
    coming: Sequence[str],
    old: Triggers,
    new: Triggers,
) -> None:
    """All of it in one packet of one session, which holds all tables."""
    locks = ", ".join(f"{quote_name(source, name)} WRITE" for name, source, _ in moves)
    dropped = [one for table in leaving for one in old.of(table)]
    made = [
        text
        for table in coming
        for one in new.of(table)
        for text in making_statements(access, one, new.named)
    ]
    with _several(access) as connection:
        _send(connection, [f"LOCK TABLES {locks}"])
        with _made_again(access, connection, moves, dropped, old.named):
            _send(connection, [*_drops(access, dropped), _rename(moves), *made, "UNLOCK TABLES"])


# --------------------------------------------------------------------------- MariaDB


def _leave(access: Access, moves: Sequence[Move], old: Triggers) -> None:
    """Tables leave the database without their triggers, under locks that end when they are gone."""
    dropped = [one for name, _, _ in moves for one in old.of(name)]
    locks = ", ".join(f"{quote_name(source, name)} WRITE" for name, source, _ in moves)
    gone = [
        f"ALTER TABLE {quote_name(source, name)} RENAME TO {quote_name(to, name)}"
        for name, source, to in moves
    ]
    with _several(access) as connection:
        _send(connection, [f"LOCK TABLES {locks}"])
        with _made_again(access, connection, moves, dropped, old.named):
            _send(connection, [*_drops(access, dropped), *gone, "UNLOCK TABLES"])


def _arrive(access: Access, moves: Sequence[Move], coming: Sequence[str], new: Triggers) -> None:
    """RENAME, and a session for each table that will have triggers."""
    place = max({name for _, source, to in moves for name in (source, to)}, key=str.encode)
    waiting, go, gone, waited = (quote_name(place, name) for name in (WAITING, GO, GONE, WAITED))
    if not coming:
        with access.session() as cursor:
            cursor.execute(_rename(moves))
        return
    with ExitStack() as stack:
        cursor = stack.enter_context(access.session())
        _clear(cursor, place)
        stack.callback(_clear, cursor, place)
        cursor.execute(f"CREATE TABLE {waiting} (a INT PRIMARY KEY) ENGINE = InnoDB")
        holder = stack.enter_context(access.session())
        holder.execute(f"LOCK TABLES {waiting} WRITE")
        # first, RENAME gets all tables but the one that we hold
        rename = _rename(moves).replace(
            "RENAME TABLE ", f"RENAME TABLE {go} TO {gone}, {waiting} TO {waited}, ", 1
        )
        sent = [_Sent(stack.enter_context(_several(access)), [rename])]
        try:
            _wait_until_all_wait(cursor, sent, "RENAME")
            # second, who makes the triggers queues behind it, ahead of everybody who comes later
            for table in coming:
                made = [text for one in new.of(table) for text in making_statements(access, one, new.named)]
                lock = f"LOCK TABLES {quote_name(access.database, table)} WRITE, {gone} READ"
                sent.append(_Sent(stack.enter_context(_several(access)), [lock, *made, "UNLOCK TABLES"]))
            _wait_until_all_wait(cursor, sent, "")
            # third: what RENAME begins with. Had we died before, it would find no such table and do nothing
            cursor.execute(f"CREATE TABLE {go} (a INT PRIMARY KEY) ENGINE = InnoDB")
        finally:
            holder.execute("UNLOCK TABLES")
            errors = [error for one in sent if (error := one.end()) is not None]
        for error in errors:  # that of RENAME is the first, and the cause of the others
            with access.translate_errors():
                raise error


class _Sent:
    """A packet that a session is at work on."""

    def __init__(self, connection: "Connection[Cursor]", statements: Sequence[str | bytes]) -> None:
        self.session: int = connection.thread_id()  # type: ignore[no-untyped-call]
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(connection, statements), daemon=True)
        self._thread.start()

    def _run(self, connection: "Connection[Cursor]", statements: Sequence[str | bytes]) -> None:
        try:
            _send(connection, statements)
        except BaseException as error:  # noqa: BLE001 - raised by who waits for it
            self._error = error

    @property
    def ended(self) -> bool:
        """Whether the server has answered."""
        return not self._thread.is_alive()

    def end(self) -> BaseException | None:
        """Wait for its end; what went wrong."""
        self._thread.join()
        return self._error


def _wait_until_all_wait(cursor: "Cursor", sent: Sequence[_Sent], doing: str) -> None:
    """Return once each of them waits for a table. Raises DatabaseError where one does not."""
    deadline = time.monotonic() + WAIT
    numbers = ", ".join(str(one.session) for one in sent)
    while True:
        cursor.execute(
            f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID IN ({numbers})"
            " AND STATE = 'Waiting for table metadata lock' AND INFO LIKE %s",
            [f"{doing}%"],
        )
        if (cursor.fetchone() or (0,))[0] == len(sent):
            return
        if any(one.ended for one in sent) or time.monotonic() > deadline:
            raise DatabaseError(
                "The tables could not be locked to be swapped: other sessions use them.",
                hint="Stop what uses the database, and try again.",
            )
        time.sleep(0.005)


def _clear(cursor: "Cursor", place: str) -> None:
    for name in (WAITING, GO, GONE, WAITED):
        cursor.execute(f"DROP TABLE IF EXISTS {quote_name(place, name)}")


# --------------------------------------------------------------------------- both


def _rename(moves: Sequence[Move]) -> str:
    each = (f"{quote_name(source, name)} TO {quote_name(to, name)}" for name, source, to in moves)
    return f"RENAME TABLE {', '.join(each)}"


def _drops(access: Access, triggers: Sequence[Stored]) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {quote_name(access.database, one.name)}" for one in triggers]


@contextmanager
def _several(access: Access) -> "Iterator[Connection[Cursor]]":
    """A session that takes several statements at once."""
    with closing(access.connect(several=True)) as connection, access.translate_errors():
        yield connection


@contextmanager
def _made_again(
    access: Access,
    connection: "Connection[Cursor]",
    moves: Sequence[Move],
    dropped: Sequence[Stored],
    named: str,
) -> Iterator[None]:
    """Where the block fails before the tables have left, the triggers that it dropped come back before the locks go."""
    import pymysql

    try:
        yield
    except pymysql.MySQLError:
        name, source, _ = moves[0]
        here = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
        with access.session() as cursor:
            stayed = bool(cursor.execute(here, [source, name]))
            there = read_trigger_tables(cursor, access.database)
        gone = [one for one in dropped if one.name not in there] if stayed else []
        _send(
            connection, [*(t for one in gone for t in making_statements(access, one, named)), "UNLOCK TABLES"]
        )
        raise


def _send(connection: "Connection[Cursor]", statements: Sequence[str | bytes]) -> None:
    """Run statements that go to the server together. It stops at the first that fails, whose error is raised."""
    each = [one.encode() if isinstance(one, str) else one for one in statements]
    cursor: Any = connection.cursor()  # whose types know no bytes
    # a statement may end in a comment, which a semicolon on its line would belong to
    cursor.execute(b"\n;\n".join(each))
    while cursor.nextset():  # the error of a later statement comes with its result
        pass
