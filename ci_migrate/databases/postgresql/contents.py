"""Digests of what a dump shows: read by sessions of their own, in the dump's snapshot, while pg_dump runs."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.catalog import pin
from ci_migrate.databases.postgresql.lock import NO_LIMITS
from ci_migrate.databases.postgresql.rows import Table, read_content, with_columns
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.errors import CiMigrateError
from ci_migrate.model import TableContent

if TYPE_CHECKING:
    import psycopg


@dataclass
class Digested:
    """What was digested, and why the rest was not; filled when the block of `digesting` is left."""

    contents: dict[str, TableContent] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


@contextmanager
def digesting(access: Access, snapshot: str, tables: Sequence[Table]) -> Iterator[Digested]:
    """Digest tables meanwhile, as an exported snapshot shows them; whoever exported it keeps its transaction open.

    Args:
        access: the server that the snapshot is of.
        snapshot: its name.
        tables: which.
    """
    found = Digested()
    stop = threading.Event()

    def work() -> None:
        try:
            with _reading(access, snapshot) as connection:
                for table, columns in with_columns(connection, [t for t in tables if not t.unseen]):
                    if stop.is_set():
                        return
                    _digest(connection, access, table, columns, found)
        except CiMigrateError as error:
            left = {t.key for t in tables} - found.contents.keys()
            found.reasons.update(dict.fromkeys(left, error.what))

    found.reasons.update({table.key: table.unseen for table in tables if table.unseen})
    thread = threading.Thread(target=work, name="digests", daemon=True)
    thread.start()
    try:
        yield found
    except BaseException:
        stop.set()
        raise
    finally:
        thread.join()


@contextmanager
def _reading(access: Access, snapshot: str) -> "Iterator[psycopg.Connection[Any]]":
    from psycopg import sql

    with access.session(read_only=True) as connection:
        connection.execute(NO_LIMITS.replace("'statement_timeout', ", ""))
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
            pin(connection)
            yield connection


def _digest(
    connection: "psycopg.Connection[Any]",
    access: Access,
    table: Table,
    columns: Sequence[str],
    into: Digested,
) -> None:
    import psycopg

    try:
        with connection.transaction():
            into.contents[table.key] = read_content(connection, table, columns)
    except psycopg.Error as error:
        if connection.broken:
            raise
        into.reasons[table.key] = access.explain(error)
