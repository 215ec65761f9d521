"""Batch after batch, from the checkpoint to the end."""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.dml import Delete, Update

from .checkpoints import exists, find, records
from .connection import LOCK_TIMEOUTS, MYSQL, Commits, own_transactions, state_of, text
from .keys import Table, Values, dump_key, load_key, look_at_table
from .pace import SQLITE_REST, Brakes, Pace
from .problems import BackfillError
from .progress import Progress

TELL_SECONDS = 10.0
"""Between two lines in the log."""

PASSES = 5

# a child of Alembic's logger: the stock alembic.ini shows it, and its fileConfig does not disable it
log = logging.getLogger("alembic.backfill")

Fill = Callable[[Connection, Any], "int | None"]


def backfill(
    connection: Connection,
    name: str,
    statement: str | Update | Delete | Fill,
    *,
    table: str,
    key: str | Sequence[str] | None = None,
    schema: str | None = None,
    remaining: str | None = None,
    seconds_per_batch: float = 0.5,
    batch_size: int = 1000,
    max_batch_size: int = 50_000,
    rest: float = 0.1,
    max_replica_lag: float | None = None,
    max_lock_waits: int | None = None,
    throttle: Callable[[Connection], bool] | None = None,
    lock_timeout: float = 2.0,
    tries: int = 10,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Run a statement for all rows of a table, in batches along a unique key; go on where an earlier try stopped.

    Each row that is there from the beginning to the end, and whose key stays as it is, is in exactly one batch. A row
    that is inserted meanwhile may be in one or in none: whoever writes it must fill it.

    Args:
        connection: `op.get_bind()` inside of `with op.get_context().autocommit_block():`, or one without a transaction.
        name: of the checkpoint, at most 200 characters; each backfill of a database has its own.
        statement: SQL with `{batch}` where the condition on the key goes; or an UPDATE or DELETE of SQLAlchemy's; or a
            function `(connection, batch)` which sends what it likes with `.where(batch)` and may return how many rows.
        table: whose rows are divided into batches.
        key: one column or several, unique and NOT NULL; by default the primary key.
        schema: of the table; by default the one that unqualified names mean.
        remaining: a condition that no row meets at the end; while one does, another pass is made, five at most.
        seconds_per_batch: the size of the batches is adapted so that each takes as long.
        batch_size: rows in the first batch.
        max_batch_size: rows in any batch.
        rest: pause after each batch, as a share of its seconds; on SQLite at least 0.1 s, unless it is 0.
        max_replica_lag: PostgreSQL: wait while a replica is later than that, in seconds.
        max_lock_waits: wait while more sessions of the server than that wait for a lock.
        throttle: called before each batch, outside of a transaction: wait while it returns true.
        lock_timeout: seconds that a batch waits for a lock on PostgreSQL, MySQL and MariaDB, before it is taken back.
        tries: how often a batch is tried that met a lock timeout or a deadlock, with half the rows each time.
        on_progress: called after each batch.

    Returns:
        How far it is: at its end.

    Raises:
        BackfillError: it can't run here, or another process runs it, or rows are left after five passes.
        sqlalchemy.exc.DBAPIError: what the statement raised. What was committed stays, and the next try goes on there.
    """
    if connection is None:
        raise BackfillError(
            f"Backfill {name!r} can't be written as SQL (alembic upgrade --sql): it reads its keys."
        )
    if not 0 < len(name) <= 200:
        raise BackfillError(f"Backfill {name!r}: a name has 1 to 200 characters.")
    if isinstance(statement, str) and "{batch}" not in statement:
        raise BackfillError(
            f"Backfill {name!r}: its statement has no {{batch}}. Write it where the condition on the key goes, "
            "as in: UPDATE users SET email_lower = lower(email) WHERE {batch}"
        )
    _demand_forgetting(name, sys._getframe(1))
    with own_transactions(connection, name) as commits:
        facts = look_at_table(commits, name, table, schema, key)
        run = _Run(commits, name, statement, facts, remaining, lock_timeout)
        least = SQLITE_REST if connection.dialect.name == "sqlite" else 0.0
        pace = Pace(seconds_per_batch, batch_size, max_batch_size, rest, tries, least)
        brakes = Brakes(commits, max_replica_lag, max_lock_waits, throttle)
        return run.to_the_end(pace, brakes, on_progress)


def _demand_forgetting(name: str, frame: Any) -> None:
    """The way back of a revision must forget its backfill, if it does something. Raises BackfillError."""
    while frame is not None and not {"revision", "down_revision"} <= frame.f_globals.keys():
        frame = frame.f_back
    if frame is None:
        return
    script, called = frame.f_globals, "upgrade"
    while frame is not None:
        if frame.f_globals is script and frame.f_code.co_name.startswith(("upgrade", "downgrade")):
            called = frame.f_code.co_name  # upgrade_engine1 in several databases
        frame = frame.f_back
    other = called.replace("down", "up", 1) if called.startswith("down") else called.replace("up", "down", 1)
    code = getattr(script.get(other), "__code__", None)
    names = set(getattr(code, "co_names", ())) | set(getattr(code, "co_freevars", ()))
    if names - {"NotImplementedError"} and "forget_backfill" not in names:
        raise BackfillError(
            f"Backfill {name!r}: {other}() of revision {script['revision']} does not forget it, so that the next "
            f"{called} would take the rows for filled. No row was changed. Write in {other}(): "
            f"forget_backfill(op.get_bind(), {name!r})"
        )


class _Run:
    """One backfill, from its checkpoint to its end."""

    def __init__(
        self,
        commits: Commits,
        name: str,
        statement: str | Update | Delete | Fill,
        table: Table,
        remaining: str | None,
        lock_timeout: float,
    ) -> None:
        self.commits = commits
        self.name = name
        self.statement = statement
        self.table = table
        self.remaining = remaining
        self.lock_timeout = lock_timeout
        self.records = records(commits.connection)
        self.passes = 1
        self.last: Values | None = None
        self.end: Values | None = None
        self.batches = self.rows = self.changed = self.before = 0
        self.started = time.monotonic()

    @property
    def progress(self) -> Progress:
        seconds = time.monotonic() - self.started
        done = self.rows - self.before
        table = self.table
        return Progress(
            self.name, table.name, self.rows, self.changed, self.batches, table.total, seconds, done / seconds
        )

    def to_the_end(
        self, pace: Pace, brakes: Brakes, on_progress: Callable[[Progress], None] | None
    ) -> Progress:
        """All batches that are left."""
        self._mark()
        while True:
            try:
                ended = self._begin()
                break
            except sa.exc.DBAPIError as error:
                if not self._wait_for_lock(error, pace):
                    raise
        if ended:
            log.info("backfill %s has come to its end before", self.name)
            return self.progress
        self._wait_for_locks_shortly()
        told = time.monotonic()
        while True:
            self._wait(brakes)
            begun = time.monotonic()
            try:
                going = self._batch(pace.size)
            except sa.exc.DBAPIError as error:
                if not self._wait_for_lock(error, pace):
                    raise
                continue
            if on_progress is not None:
                on_progress(self.progress)
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                log.info("%s", self.progress)
            if not going and self._finish():
                log.info("%s; finished", self.progress)
                return self.progress
            pause = pace.after(time.monotonic() - begun)
            if not brakes.off:
                time.sleep(pause)

    def _mark(self) -> None:
        self.commits.mark(vars(self.progress))

    def _begin(self) -> bool:
        """Find or make the checkpoint; returns whether the backfill has ended already."""
        if not exists(self.commits.connection, self.records):
            self.commits.rollback()
            self.records.create(self.commits.connection, checkfirst=False)
            self.commits.commit()
        digest = hashlib.sha256(
            "\0".join((_words(self.statement), self.table.full, self.table.order)).encode()
        ).hexdigest()
        found = self.commits.execute(find(self.records, self.name)).mappings().first()
        if found is None:
            self.end = self._find_key("", {}, self.table.backwards)
            counts = dict.fromkeys(("batch_count", "seen_count", "row_count"), 0)
            now = sa.func.current_timestamp()
            self.commits.execute(
                self.records.insert().values(
                    name=self.name, digest=digest, end_key=dump_key(self.end), started_at=now, **counts
                )
            )
            self.commits.commit()
            return False
        self.commits.rollback()
        if found["digest"] != digest:
            raise BackfillError(
                f"Backfill {self.name!r} was begun with another statement, table or key, and has covered "
                f"{found['seen_count']:,} rows. Give this one another name; or, if those rows are to be done again, "
                f"call first: forget_backfill(op.get_bind(), {self.name!r})"
            )
        self.last, self.end = load_key(found["last_key"]), load_key(found["end_key"])
        self.batches, self.rows, self.changed = (
            int(found[c]) for c in ("batch_count", "seen_count", "row_count")
        )
        self.before = self.rows
        self._mark()
        if self.batches and found["finished_at"] is None:
            log.info("backfill %s goes on after %s rows", self.name, f"{self.rows:,}")
        return found["finished_at"] is not None

    def _wait_for_locks_shortly(self) -> None:
        if self.commits.dialect.name not in MYSQL:
            return
        before = self.commits.execute("SELECT @@SESSION.innodb_lock_wait_timeout").scalar()
        self.commits.restores.append(f"SET SESSION innodb_lock_wait_timeout = {int(before)}")
        self.commits.execute(f"SET SESSION innodb_lock_wait_timeout = {max(1, round(self.lock_timeout))}")
        self.commits.commit()

    def _wait_for_lock(self, error: sa.exc.DBAPIError, pace: Pace) -> bool:
        """Take back what met a lock, and wait; False where it was none, or was tried often enough."""
        pause = pace.after_failure() if state_of(error) in LOCK_TIMEOUTS else None
        if pause is None:
            return False
        self.commits.rollback()
        log.warning("backfill %s met a lock (%s) and tries again", self.name, state_of(error))
        time.sleep(pause)
        return True

    def _wait(self, brakes: Brakes) -> None:
        seconds, told = 0.5, ""
        while why := brakes.why():
            if why != told:
                log.info("backfill %s waits: %s", self.name, why)
            seconds, told = min(2.0, seconds * 2), why
            time.sleep(seconds)
            # ci-migrate hears of it, and knows that it does not hang
            self._mark()
            self.commits.execute(find(self.records, self.name)).first()
            self.commits.rollback()

    def _find_key(self, where: str, values: Mapping[str, Any], order: str, skip: int = 0) -> Values | None:
        sql = f"SELECT {self.table.order} FROM {self.table.full}{where} ORDER BY {order} LIMIT 1"
        if skip:
            sql, values = sql + " OFFSET :bf_skip", {**values, "bf_skip": skip}
        row = self.commits.execute(sql, values).first()
        return None if row is None else tuple(row)

    def _batch(self, size: int) -> bool:
        """The next batch; returns whether another one may follow."""
        table, ends = self.table, _bind("bf_e", self.end)
        first = upto = None
        if self.end is not None:
            where, values = " WHERE " + table.compare("<=", "bf_e"), dict(ends)
            if self.last is not None:
                where += " AND " + table.compare(">", "bf_l")
                values.update(_bind("bf_l", self.last))
            first = self._find_key(where, values, table.order)
            if first is None and self.batches:
                self.commits.rollback()
                return False
        if first is not None:
            where = f" WHERE {table.compare('>=', 'bf_f')} AND {table.compare('<=', 'bf_e')}"
            upto = self._find_key(where, {**_bind("bf_f", first), **ends}, table.order, size - 1)
        last = upto is None
        # an empty table has one batch, of no rows: a statement that is wrong shows there too
        nothing: Values = (None,) * len(table.key)
        first, upto = first or nothing, upto or self.end or nothing
        where = f"{table.compare('>=', 'bf_f')} AND {table.compare('<=', 'bf_t')}"
        values = {**_bind("bf_f", first), **_bind("bf_t", upto)}
        covered = size
        if last:
            covered = int(
                self.commits.execute(f"SELECT count(*) FROM {table.full} WHERE {where}", values).scalar()
            )
        if self.commits.dialect.name == "postgresql":
            self.commits.execute(f"SET LOCAL lock_timeout = {round(self.lock_timeout * 1000)}")
        # first: whoever runs the same backfill waits here, and finds the number of batches changed
        self._save(None if upto == nothing else upto, covered)
        changed = self._fill(where, values)
        self._note(changed)
        self.commits.commit()
        self.last, self.batches = None if upto == nothing else upto, self.batches + 1
        self.rows, self.changed = self.rows + covered, self.changed + changed
        self._mark()
        return not last

    def _fill(self, where: str, values: Mapping[str, Any]) -> int:
        if isinstance(self.statement, str):
            result = self.commits.execute(self.statement.replace("{batch}", f"({where})"), values)
        else:
            batch = text(f"({where})", values)
            if not isinstance(self.statement, (Update, Delete)):
                return int(self.statement(self.commits.connection, batch) or 0)
            result = self.commits.execute(self.statement.where(batch))
        return max(0, int(result.rowcount))

    def _save(self, last: Values | None, covered: int, *, done: bool = False, more: int = 1) -> None:
        """Write the checkpoint. Raises BackfillError where it is not as this process left it."""
        c, now = self.records.c, sa.func.current_timestamp()
        finished = sa.case((sa.bindparam("bf_done", int(done), type_=sa.Integer()) == 1, now))
        saved = self.commits.execute(
            self.records.update()
            .where(c.name == self.name, c.batch_count == self.batches, c.finished_at.is_(None))
            .values(
                last_key=dump_key(last),
                end_key=dump_key(self.end),
                batch_count=self.batches + more,
                seen_count=self.rows + covered,
                updated_at=now,
                finished_at=finished,
            )
        )
        if saved.rowcount != 1:
            raise BackfillError(
                f"Another process runs backfill {self.name!r}, or has forgotten it. This one stops; its last batch was "
                "taken back."
            )

    def _note(self, changed: int) -> None:
        c = self.records.c
        self.commits.execute(
            self.records.update().where(c.name == self.name).values(row_count=self.changed + changed)
        )

    def _finish(self) -> bool:
        """Write that it has ended; False where rows remain and another pass begins."""
        remains = (
            self.remaining is not None
            and self.commits.execute(
                f"SELECT 1 FROM {self.table.full} WHERE ({self.remaining}) LIMIT 1"
            ).first()
        )
        if not remains:
            self._save(self.last, 0, done=True, more=0)
            self.commits.commit()
            return True
        if self.passes == PASSES:
            raise BackfillError(
                f"Backfill {self.name!r}: after {PASSES} passes there are still rows with {self.remaining}. Its "
                "statement does not fill them, or somebody writes new ones. What it did stays."
            )
        self.passes += 1
        self.end = self._find_key("", {}, self.table.backwards)
        self._save(None, 0, more=1)
        self.commits.commit()
        self.last, self.batches = None, self.batches + 1
        return False


def _bind(prefix: str, values: Values | None) -> dict[str, Any]:
    return {f"{prefix}{n}": value for n, value in enumerate(values or ())}


def _words(statement: str | Update | Delete | Fill) -> str:
    """What a backfill is held against when it goes on: the text of its statement, or the name of its function."""
    if isinstance(statement, (str, Update, Delete)):
        return str(statement)
    return str(getattr(statement, "__qualname__", type(statement).__qualname__))
