"""One moment of a database, read in many transactions.

A transaction keeps its lock on each table that it has read, and on each index of it, until it ends, and the server has
one table of locks for all sessions (`max_locks_per_transaction`, 64 by default, times the connections). A database of
2,000 tables fits in there while pg_dump reads it; it does not a second time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ci_migrate.databases.postgresql.catalog import looks_for_names, pin
from ci_migrate.databases.postgresql.lock import NO_LIMITS
from ci_migrate.databases.postgresql.sessions import Access

if TYPE_CHECKING:
    import psycopg

Item = TypeVar("Item")

AT_ONCE = 50
"""Tables read in one transaction."""

_LOCKS = """
SELECT count(*) FILTER (WHERE relkind <> 'S'), count(*) FILTER (WHERE relkind = 'S'),
  current_setting('max_locks_per_transaction')::bigint
  * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)
FROM pg_class WHERE relkind IN ('r', 'p', 'm', 'S') AND oid >= 16384"""
"""The room: https://www.postgresql.org/docs/current/runtime-config-locks.html."""


class Snapshot:
    """What a transaction that stays open sees, for other sessions on the same server.

    Args:
        holder: that transaction, REPEATABLE READ and no savepoint in it.
        access: the database; the other sessions go to the very host that `holder` is on.
    """

    def __init__(self, holder: "psycopg.Connection[Any]", access: Access) -> None:
        row = holder.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
        self.name: str = row[0]
        self.access = access.same_server(holder)
        self._unpins = looks_for_names(holder)

    @contextmanager
    def session(self, access: Access | None = None) -> "Iterator[psycopg.Connection[Any]]":
        """A session without a transaction, and without limits of time; `access` where it has a name of its own."""
        with (access or self.access).session(read_only=True) as session:
            session.execute(NO_LIMITS.replace("'statement_timeout', ", ""))
            yield session

    @contextmanager
    def transaction(self, session: "psycopg.Connection[Any]", *, pinned: bool = True) -> Iterator[None]:
        """A transaction that sees the snapshot; `pinned`: with the settings that the text of values depends on."""
        from psycopg import sql

        with session.transaction():
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            session.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(self.name))
            if pinned:
                pin(session)
                if self._unpins:
                    session.execute("SET LOCAL search_path TO DEFAULT")
            yield


def in_parts(
    holder: "psycopg.Connection[Any]", access: Access, items: Sequence[Item], *, pinned: bool = True
) -> "Iterator[tuple[psycopg.Connection[Any], Sequence[Item]]]":
    """The items in parts, each with a session that reads what `holder` reads and forgets its locks after the part.

    A few of them are read by `holder` itself, as it is set; `pinned`: as for `Snapshot.transaction`.
    """
    if len(items) <= AT_ONCE:
        if items:
            yield holder, items
        return
    snapshot = Snapshot(holder, access)
    with snapshot.session() as session:
        for start in range(0, len(items), AT_ONCE):
            with snapshot.transaction(session, pinned=pinned):
                yield session, items[start : start + AT_ONCE]


@dataclass(frozen=True)
class Locks:
    """What pg_dump locks, and how many locks the server has room for.

    pg_dump keeps a lock on each table and each sequence to its end, and each worker one more on each table that it
    dumps. What others hold comes on top; the server has a little more room than it is set to.
    """

    tables: int
    sequences: int
    room: int

    @classmethod
    def look(cls, connection: "psycopg.Connection[Any]") -> "Locks":
        """Of the database that is read."""
        row = connection.execute(_LOCKS).fetchone()
        assert row is not None
        return cls(*row)

    def workers(self, wanted: int) -> int:
        """As many as wanted, or 1 where there is no room for what several of them lock."""
        return wanted if 2 * self.tables + self.sequences <= self.room * 3 // 4 else 1

    @property
    def hint(self) -> str:
        """What to do if pg_dump fails where it may lack room for its locks; "" where it does not."""
        wanted = self.tables + self.sequences
        if wanted <= self.room * 3 // 4:
            return ""
        return (
            f"pg_dump keeps {wanted:,} locks, and the server has room for {self.room:,}: raise"
            " max_locks_per_transaction in postgresql.conf, restart the server, then run again."
        )
