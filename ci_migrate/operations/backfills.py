"""Registered backfills, outside of a revision: run to their end, tried on a restored backup, asked how far they are."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from ci_migrate.backfill import BackfillError, Progress, backfill, forget_backfill
from ci_migrate.backfill.checkpoints import exists, records
from ci_migrate.databases.base import Database, session
from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.composite.names import MAIN
from ci_migrate.databases.hidden_values import hide_values
from ci_migrate.errors import CiMigrateError, DatabaseError, DirtyError, RefusedError, UsageError
from ci_migrate.model import BackfillRun, Backup, BackupStatus, Frozen, Permit, Purpose
from ci_migrate.operations.backups import complete
from ci_migrate.plugins import manager as plugins
from ci_migrate.rehearsal.mask import mask_copy
from ci_migrate.run.authorization import Intent, authorize
from ci_migrate.run.identity import owner_of
from ci_migrate.run.run import LedgerRun, Run, restore_copy, translate_errors
from ci_migrate.session import create_manager
from ci_migrate.settings.backfills import RegisteredBackfill
from ci_migrate.settings.settings import Settings

LOCK_CHECKED = 10.0
"""Seconds between two looks at the run lock: whoever lost it must not go on for long."""


class Checkpoint(Frozen, frozen=True, kw_only=True):
    """How far one backfill of the target is; `begun` is None where it has not run.

    Times are by the clock of the server, in the time zone of the session that wrote them: they have none of their own.

    `registered`: the settings know it; others are of revisions. `changed` counts rows that the statement changed.
    """

    name: str
    registered: bool
    required: bool = False
    rows: int = 0
    changed: int = 0
    batches: int = 0
    begun: datetime | None = None
    last_batch: datetime | None = None
    ended: datetime | None = None

    @property
    def words(self) -> str:
        """For people."""
        if self.begun is None:
            return "has not run"
        if self.ended is not None:
            return f"ended {self.ended:%Y-%m-%d %H:%M} after {self.rows:,} rows"
        last = f", the last batch at {self.last_batch:%Y-%m-%d %H:%M}" if self.last_batch else ""
        return f"is at {self.rows:,} rows{last}"


@dataclass(frozen=True)
class Filled:
    """What a run of a backfill came to. `stopped` is the number of the signal that ended it early.

    `progress` is None where that came before the first batch of this run: an earlier one may have made some.
    """

    progress: Progress | None
    stopped: int | None = None


def find_registered(settings: Settings, name: str) -> RegisteredBackfill:
    """The backfill of this name. Raises UsageError where the settings have none."""
    found = next((one for one in settings.backfills if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in settings.backfills) or "none"
        raise UsageError(
            f"No backfill {name!r} is registered for target {settings.target}; there are: {known}.",
            hint="It is a table [[tool.ci-migrate.backfills]] of the settings (docs/backfills.md).",
        )
    return found


def backfill_run_of(run: Run, registered: RegisteredBackfill, *, again: bool) -> BackfillRun:
    """What an approval is given for: this statement on this table of this database."""
    return BackfillRun(
        target=run.settings.target,
        identity=run.database.identity(),
        name=registered.name,
        table=registered.table,
        statement=registered.statement,
        key=registered.key,
        schema=registered.schema,
        remaining=registered.remaining,
        again=again,
    )


def run_backfill(run: LedgerRun, registered: RegisteredBackfill, *, again: bool = False) -> Filled:
    """Run a backfill on the target until its end, or until a signal comes: then it stops after the batch under way.

    Args:
        run: this run, which holds the run lock.
        registered: what is run.
        again: forget its checkpoint first.

    Raises:
        NotApprovedError: this target asks for an approval of it, and there is none.
        RefusedError, UnfinishedError: it can't run here, or a run must be repaired first; no row was changed.
        DirtyError: it failed after some of its batches; these stay.
        DatabaseError: its first batch failed.
    """
    approvable = backfill_run_of(run, registered, again=again)
    intent = Intent(
        Purpose.BACKFILL,
        (approvable.digest,),
        lambda: approvable,
        f"The backfill {registered.name} on target {run.settings.target}",
    )
    run.interrupt.defer_signals = True  # from here on it stops between two batches
    permit = authorize(run, intent)
    facts: dict[str, Any] = {
        "name": registered.name,
        "digest": approvable.digest,
        "approvalId": permit.approval_id,
    }
    run.ledger.audit("backfill begun", run.id, again=again, **facts)
    filled = fill(permit, run, approvable, registered)
    kind = "backfill ended" if filled.stopped is None else "backfill stopped"
    done = filled.progress
    counts = {} if done is None else {"rows": done.rows, "changed": done.changed}
    run.ledger.audit(kind, run.id, **counts, **facts)
    return filled


def fill(permit: Permit, run: LedgerRun, approvable: BackfillRun, registered: RegisteredBackfill) -> Filled:
    """Send the batches. Raises as `run_backfill`."""
    permit.require(Purpose.BACKFILL, subject=approvable.digest)
    brake = _Brake(run)
    with session(_main(run.database)) as connection, _told(run.tell), _explained(run, registered, brake):
        if approvable.again:
            forget_backfill(connection, registered.name)
            connection.commit()
        try:
            progress = _backfill(
                connection, registered, registered.pace, throttle=brake.throttle, on_progress=brake.note
            )
        except _StopError:
            number = run.interrupt.number or 0
            return Filled(brake.progress, stopped=number)
    return Filled(progress)


def rehearse_backfill(run: Run, registered: RegisteredBackfill, backup: Backup) -> Progress:
    """Run a backfill on a restored backup, masked, from its beginning and without pauses; the target is not written.

    Raises:
        RefusedError: the backup is not complete, the mask fails, or the backfill can't run there.
        BackupError, DatabaseError: the backup can't be restored, or a batch failed.
    """
    complete(backup)
    pace = {
        k: v for k, v in registered.pace.items() if not k.startswith("max_replica") and k != "max_lock_waits"
    }
    with restore_copy(run, backup) as copy, translate_errors(copy):
        mask_copy(run.settings, copy, plugins.masks(create_manager(run.settings), run.settings))
        return _rehearse(run, registered, _main(copy), {**pace, "rest": 0.0})


def _rehearse(run: Run, registered: RegisteredBackfill, copy: Database, pace: Mapping[str, Any]) -> Progress:
    with session(copy) as connection:
        forget_backfill(connection, registered.name)
        connection.commit()
        try:
            with _told(run.tell):
                return _backfill(connection, registered, pace)
        except BackfillError as error:
            raise RefusedError(str(error)) from error
        except DBAPIError as error:
            raise DatabaseError(_explain(run, registered, error, copy), state="") from error


def newest_backup(run: Run) -> Backup:
    """The newest finished backup of the target. Raises RefusedError where there is none."""
    found = [b for b in run.catalog.list(owner_of(run)) if b.status is BackupStatus.SUCCESS and not b.partial]
    if not found:
        target = run.settings.target
        raise RefusedError(
            f"There is no backup of target {target} to try it on.",
            hint=f"ci-migrate backup create --target {target}",
        )
    return found[-1]


def list_checkpoints(run: Run) -> tuple[Checkpoint, ...]:
    """All backfills that the settings name or the target has a checkpoint of, by their names."""
    registered = {one.name: one for one in run.settings.backfills}
    main = _main(run.database)
    with translate_errors(main), session(main, read_only=True) as connection:
        table = records(connection)
        rows = connection.execute(select(table)).mappings().all() if exists(connection, table) else []
    found = {
        row["name"]: Checkpoint(
            name=row["name"],
            registered=row["name"] in registered,
            required=row["name"] in registered and registered[row["name"]].required,
            rows=row["seen_count"],
            changed=row["row_count"],
            batches=row["batch_count"],
            begun=row["started_at"],
            last_batch=row["updated_at"],
            ended=row["finished_at"],
        )
        for row in rows
    }
    missing = {
        one.name: Checkpoint(name=one.name, registered=True, required=one.required)
        for one in registered.values()
        if one.name not in found
    }
    return tuple(sorted((found | missing).values(), key=lambda checkpoint: checkpoint.name))


def list_unended(run: Run) -> tuple[str, ...]:
    """The backfills that `required` demands and that have not come to their end, in words."""
    if not any(one.required for one in run.settings.backfills):
        return ()
    found = list_checkpoints(run)
    return tuple(f"backfill {c.name} {c.words}" for c in found if c.required and c.ended is None)


def _main(database: Database) -> Database:
    return members_of(database)[MAIN]


def _backfill(connection: Any, registered: RegisteredBackfill, pace: Any, **more: Any) -> Progress:
    return backfill(
        connection,
        registered.name,
        registered.statement,
        table=registered.table,
        key=registered.key or None,
        schema=registered.schema,
        remaining=registered.remaining,
        **pace,
        **more,
    )


class _StopError(Exception):
    """A signal came."""


class _Brake:
    """Between two batches: has a signal come, and is the run lock still ours?"""

    def __init__(self, run: LedgerRun) -> None:
        self.run = run
        self.progress: Progress | None = None
        self._checked = time.monotonic()

    def throttle(self, _connection: Any) -> bool:
        """Never waits. Raises _StopError, or LockedError where the run lock is lost."""
        if self.run.interrupt.number is not None:
            raise _StopError
        if self.run.lock is not None and time.monotonic() - self._checked > LOCK_CHECKED:
            self._checked = time.monotonic()
            self.run.lock.check()
        return False

    def note(self, progress: Progress) -> None:
        """After each batch."""
        self.progress = progress


@contextmanager
def _told(tell: Callable[[str], None]) -> Iterator[None]:
    """What the backfill logs, told as everything else here."""

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(record.getMessage())

    log, handler = logging.getLogger("alembic.backfill"), Telling(logging.INFO)
    level, propagates = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagates


@contextmanager
def _explained(run: Run, registered: RegisteredBackfill, brake: _Brake) -> Iterator[None]:
    """An error of a batch becomes one that says what stays and how to go on."""
    try:
        yield
    except (DBAPIError, BackfillError) as error:
        raise _failure(error, _explain(run, registered, error, run.database), run, brake) from error


def _explain(
    run: Run, registered: RegisteredBackfill, error: DBAPIError | BackfillError, database: Database
) -> str:
    """The error in one line, without what was in a row."""
    if isinstance(error, BackfillError):
        return str(error)
    words = database.explain(error)
    asked = f"{registered.statement} {registered.remaining or ''} {registered.table}"
    return words if run.settings.show_values else hide_values(error, words, asked)


def _failure(error: Exception, words: str, run: Run, brake: _Brake) -> CiMigrateError:
    progress = brake.progress
    if progress is None or not progress.batches:
        kind = RefusedError if isinstance(error, BackfillError) else DatabaseError
        return kind(words, state="No row was changed by this run.")
    return DirtyError(
        words,
        state=f"The batches before it stay: {progress.rows:,} rows. What failed was taken back.",
        hint=f"ci-migrate backfill run {progress.name} --target {run.settings.target}; it goes on there.",
    )
