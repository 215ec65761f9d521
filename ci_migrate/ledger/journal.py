"""The statement journal: before each statement its intent, after it its outcome. Survives a kill -9.

It is written for every statement of a migration, so it goes straight to the driver on one open connection.
"""

from collections.abc import Callable
from typing import Any, Self

from sqlalchemy import URL, Engine, insert, select

from ci_migrate.ledger.connect import READS
from ci_migrate.ledger.problems import translate_errors
from ci_migrate.ledger.tables import journal, utc_text
from ci_migrate.model import EntryKind, JournalEntry

_FIELDS = tuple(column.name for column in journal.columns if column.name not in ("sequence", "run_id"))


class Journal:
    """The journal of one run. Use it from one thread at a time; `close` it when the migration is over."""

    def __init__(self, engine: Engine, url: URL, run_id: str) -> None:
        self._engine = engine
        self._url = url
        self._run_id = run_id
        self._connection: Any = None
        self._sql, self._bound = _insert_for(engine)

    def append(self, *entries: JournalEntry) -> None:
        """Write the entries in one transaction; they are durable when this returns. `sequence` is ignored.

        Raises:
            LedgerError: nothing of them was written. The statement that they announce must not be sent.
        """
        rows = [self._bound({**_values(entry), "run_id": self._run_id}) for entry in entries]
        state = "No statement was sent after that; `ci-migrate repair --dry-run` tells how far the run got."
        with translate_errors(self._url, "written", state=state, raw=self._engine.dialect.loaded_dbapi.Error):
            if self._connection is None:
                self._connection = self._open()
            connection = self._connection
            try:
                # the others' drivers begin by themselves; sqlite3 commits each row here unless it is told
                if self._engine.dialect.name == "sqlite" and len(rows) > 1:
                    connection.execute("BEGIN IMMEDIATE")
                connection.cursor().executemany(self._sql, rows)
                connection.commit()
            except BaseException:
                self.close()  # which rolls back; the next append begins with a connection that is sound
                raise

    def entries(self) -> tuple[JournalEntry, ...]:
        """All entries of this run, in order; written by whichever process."""
        query = select(journal).where(journal.c.run_id == self._run_id).order_by(journal.c.sequence)
        with (
            translate_errors(self._url, "read"),
            self._engine.connect().execution_options(**READS[self._engine.dialect.name]) as connection,
        ):
            rows = connection.execute(query).all()
            return tuple(
                JournalEntry(
                    sequence=row.sequence,
                    **{name: getattr(row, name) for name in _FIELDS} | {"kind": EntryKind(row.kind)},
                )
                for row in rows
            )

    def close(self) -> None:
        """Close the connection. May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Any:
        proxied = self._engine.raw_connection()
        connection: Any = proxied.driver_connection
        proxied.detach()  # ours from now on: never back into the pool
        if self._engine.dialect.name == "sqlite":
            # With WAL that survives a kill of the process; for a power cut there are the commit points.
            connection.execute("PRAGMA synchronous=NORMAL")
        return connection


def _values(entry: JournalEntry) -> dict[str, Any]:
    # the bare text: psycopg has a dumper of its own for enums
    bare = {"kind": str(entry.kind), "at": utc_text(entry.at)}
    return {name: getattr(entry, name) for name in _FIELDS} | bare


def _insert_for(engine: Engine) -> tuple[str, Callable[[dict[str, Any]], Any]]:
    """The INSERT as the driver wants it, and what makes its parameters of a row."""
    columns = [column.name for column in journal.columns if column.name != "sequence"]
    compiled = insert(journal).compile(dialect=engine.dialect, column_keys=columns)
    order = compiled.positiontup
    if order is None:
        return str(compiled), dict
    return str(compiled), lambda row: tuple(row[name] for name in order)
