"""Digests of what a dump shows: read by sessions of their own, in the dump's snapshot, while pg_dump runs."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.digests import IN_RANGE, NO_KEY, OVER, RANGES, seconds_for
from ci_migrate.databases.postgresql.rows import Column, Table, read_content, read_sample, with_columns
from ci_migrate.databases.postgresql.snapshot import AT_ONCE, Snapshot
from ci_migrate.errors import CiMigrateError
from ci_migrate.model import Sample, TableContent

if TYPE_CHECKING:
    import psycopg

Work = tuple[Table, list[Column]]


class Digests:
    """What tables hold in a snapshot; whoever exported it keeps its transaction open.

    Args:
        connection: that one.
        snapshot: what is read.
        tables: which; the small ones come first.
        sessions: how many read at a time.
        budget: the setting `compare-budget`.

    `contents` and `samples` are filled when the block of `running` is left, and `reasons` why a table has neither.
    """

    def __init__(
        self,
        connection: "psycopg.Connection[Any]",
        snapshot: Snapshot,
        tables: Sequence[Table],
        *,
        sessions: int,
        budget: float | None,
    ) -> None:
        self.contents: dict[str, TableContent] = {}
        self.samples: dict[str, Sample] = {}
        self.reasons = {table.key: table.unseen for table in tables if table.unseen}
        # a name of their own, behind the run's: somebody may look for those of pg_dump
        access = snapshot.access
        self._access = replace(access, application_name=f"{access.application_name} digests")
        self._snapshot = snapshot
        self._budget = budget
        self._sessions = sessions
        seen = sorted((t for t in tables if not t.unseen), key=lambda t: t.rows)
        self._work = with_columns(connection, seen)
        self._queue: SimpleQueue[Work] = SimpleQueue()
        for table, columns in self._work:
            if budget != 0 or table.rows <= RANGES * IN_RANGE:
                self._queue.put((table, columns))
        self._stop = threading.Event()
        self._live: set[psycopg.Connection[Any]] = set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Digest while the dump runs in the block, and so long afterwards as the budget says."""
        threads = [
            threading.Thread(target=self._read, name=f"digests-{n}", daemon=True)
            for n in range(self._sessions)
        ]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            yield
            now = time.monotonic()
            # 0 leaves small tables, which take no longer than samples of them
            deadline = now + seconds_for(self._budget or None, now - started)
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        finally:
            self._stop.set()
            while any(thread.is_alive() for thread in threads):
                for session in list(self._live):
                    session.cancel()
                threads[0].join(0.1)
        done = self.contents.keys() | self.reasons.keys()
        if left := [work for work in self._work if work[0].key not in done]:
            self._take_samples(left)

    def _read(self) -> None:
        try:
            with self._session() as session:
                while not self._stop.is_set():
                    with self._snapshot.transaction(session):
                        for _ in range(AT_ONCE):
                            if self._stop.is_set():
                                break
                            self._digest(session, *self._queue.get_nowait())
        except Empty:
            pass
        except CiMigrateError as error:
            self.reasons.update({t.key: error.what for t, _ in self._work if t.key not in self.contents})

    @contextmanager
    def _session(self) -> "Iterator[psycopg.Connection[Any]]":
        with self._snapshot.session(self._access) as session:
            self._live.add(session)
            try:
                yield session
            finally:
                self._live.discard(session)

    def _digest(self, session: "psycopg.Connection[Any]", table: Table, columns: Sequence[Column]) -> None:
        import psycopg

        try:
            with session.transaction():
                self.contents[table.key] = read_content(session, table, columns)
        except psycopg.Error as error:
            if session.broken:
                raise
            if not self._stop.is_set():
                self.reasons[table.key] = self._access.explain(error)

    def _take_samples(self, left: "Sequence[Work]") -> None:
        import psycopg

        with self._session() as session:
            # without statistics the server might read all of the table
            session.execute("SELECT set_config('enable_seqscan', 'off', false)")
            for table, columns in left:
                try:
                    with self._snapshot.transaction(session):
                        sample = read_sample(session, table, columns)
                except psycopg.Error as error:
                    if session.broken:
                        raise
                    self.reasons[table.key] = f"{OVER}, and a sample: {self._access.explain(error)}"
                    continue
                if sample is None:
                    self.reasons[table.key] = NO_KEY
                else:
                    self.samples[table.key] = sample
