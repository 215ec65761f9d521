"""A migration of the target as it runs: what is still to run, and who answers the child: journal first, then go."""

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec

from ci_migrate.errors import CiMigrateError
from ci_migrate.ledger.journal import Journal
from ci_migrate.migrations import events
from ci_migrate.migrations.record import Follower
from ci_migrate.migrations.requests import PlannedTable, RunRequest, make_table, make_tables
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import (
    BACKFILL,
    EntryKind,
    Evidence,
    JournalEntry,
    Plan,
    Progress,
    Statement,
    sha256_hex,
)
from ci_migrate.repairs.context import RepairContext
from ci_migrate.repairs.diagnosis import revisions_done
from ci_migrate.run.heartbeat import Heartbeat
from ci_migrate.run.patience import Patience
from ci_migrate.run.run import LedgerRun
from ci_migrate.settings.secrets import hide_secrets

LOCK_CHECK_SECONDS = 5.0
PROGRESS_SECONDS = 10.0


@dataclass(frozen=True)
class Rest:
    """What is still to run: as a request names it, and as the dry run rehearsed it (None: there was none)."""

    contexts: tuple[PlannedTable, ...]
    rehearsed: tuple[Statement, ...] | None

    @classmethod
    def of(cls, plan: Plan, evidence: Evidence | None, commit_point: int) -> "Rest":
        """The rest of the plan above a commit point; 0 is all of it."""
        if evidence is None or not commit_point:
            return cls(make_tables(plan), evidence.statements if evidence else None)
        done = {(n, r) for n, some in enumerate(revisions_done(plan, evidence, commit_point)) for r in some}
        heads = evidence.commit_points[commit_point - 1].heads
        contexts = tuple(
            make_table(c, heads[n], [r for r in c.revisions if (n, r) not in done])
            for n, c in enumerate(plan.contexts)
        )
        # they are there by now: nobody makes them again
        tables = [c.version_table.name for c in plan.contexts]
        rehearsed = tuple(
            s
            for s in evidence.statements
            if (s.context, s.revision) not in done
            and (s.revision is not None or not any(t in s.sql for t in tables))
        )
        return cls(contexts, rehearsed)

    @classmethod
    def after_rollback(cls, context: RepairContext) -> "Rest | None":
        """What is to run after a failure; None where that failure may have left something behind."""
        diagnosis = context.diagnose()
        clean = diagnosis.found in (Progress.NOT_STARTED, Progress.ROLLED_BACK, Progress.COMMITTED)
        if clean and not diagnosis.commit_point and context.compare_with_before().wrong:
            return None  # what it wrote past its transaction would be written once more
        return cls.of(context.plan, context.evidence, diagnosis.commit_point or 0) if clean else None


@dataclass
class Watcher:
    """Answers the child while it migrates the target: journal first, then the word to go on."""

    run: LedgerRun
    plan: Plan
    rehearsed: tuple[Statement, ...] | None
    journal: Journal
    started: float  # of the first try, on the monotonic clock
    patience: Patience
    attempts: int = 1  # of the last statement
    failed: events.StatementFailed | None = None  # the last statement, if it failed
    committed: bool = False  # something of the migration is committed already
    other: list[str] = field(default_factory=list)  # statements with other values than rehearsed, in words
    _pending: list[JournalEntry] = field(default_factory=list)
    _prefix: str = ""
    _revision: str | None = None
    _follower: Follower | None = None
    _lock_checked: float = field(default_factory=time.monotonic)
    _backfill_told: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.rehearsed is not None:
            self._follower = Follower(self.run.settings.project_dir, self.rehearsed)
        if self.committed:
            self._overlook()

    @property
    def waited_long(self) -> bool:
        """Whether the statement that failed had waited for as long as any may."""
        limit = self.run.settings.lock_policy.concurrent
        return self.failed is not None and self.failed.seconds >= limit

    def handle(self, event: events.AnyEvent) -> str | None:
        """Write down what is about to happen, then let it happen."""
        match event:
            case events.StatementStarted():
                self.attempts = 1
                return self._statement(event)
            case events.StatementDone():
                self.failed = None
                # written with the next entry: one write to the disk per statement. Where it is missing, the database
                # itself tells whether the last statement ran
                self._note(EntryKind.DONE, position=event.position, rows=event.rows)
            case events.StatementFailed():
                self.failed = event
                self._note(EntryKind.FAILED, position=event.position, note=event.error)
            case events.LockTimedOut():
                self.attempts = event.attempt + 1
                # in this process: a stop is what the child hears next, if the pause was interrupted
                self.patience.pause(
                    f"{self._revision or 'env.py'}, statement {event.position}", event.attempt, "nothing done"
                )
            case events.InvalidIndexDropped():
                self._dropped(event)
            case events.BackfillProgress():
                self._tell_progress(event)
            case events.Committing():
                self._note(
                    EntryKind.COMMITTING,
                    position=event.statements,
                    revision=event.revision,
                    note=event.xid or "",
                    digest=BACKFILL + event.backfill if event.backfill else "",
                )
                self.flush()
            case events.Committed():
                self._overlook()
                note = "complete" if event.complete else "partial"
                note = BACKFILL + event.backfill if event.backfill else note
                self._note(
                    EntryKind.COMMITTED,
                    position=event.statements,
                    revision=event.revision,
                    context=event.context,
                    note=note,
                )
                self.flush()
            case events.Session():
                self._note(EntryKind.SESSION, note=f"{event.database} pid {event.pid}")
            case events.Stamped():
                self._note(
                    EntryKind.STAMPED,
                    revision=event.revision,
                    context=event.context,
                    note=" ".join(event.heads),
                )
            case events.RevisionStarted() if event.revision:
                self._revision = event.revision
                script = self.plan.revision(event.revision)
                self.run.tell(f"{event.revision} {script.message if script else ''}".rstrip())
            case events.Finished():
                self._note(EntryKind.FINISHED)
            case _:
                pass
        return None

    def _tell_progress(self, event: events.BackfillProgress) -> None:
        if time.monotonic() - self._backfill_told < PROGRESS_SECONDS:
            return
        self._backfill_told = time.monotonic()
        of = f" of about {max(event.total, event.rows):,}" if event.total is not None else ""
        done = f"{event.rows:,}{of} rows in {event.batches:,} batches"
        self.run.tell(f"backfill {event.name}: {done}, {event.seconds:,.0f} s")

    def _overlook(self) -> None:
        """From here on a stop would leave a revision half done, where no transaction takes DDL back.

        So what differs in its values alone is told, and goes on.
        """
        if self._follower is not None and not self.run.database.capabilities.transactional_ddl:
            self._follower.overlook = self._tell_other

    def _tell_other(self, words: str) -> None:
        self.other.append(words)
        self.run.tell(f"{words}. It goes on: what is committed can't be taken back by a stop")

    def migrate(self, request: RunRequest) -> Ended:
        """Have a child migrate the target; how it ended, with the error that came first."""
        heart = Heartbeat(self.run, self.run.database)
        try:
            ended = self.run.workers.run(request, heart.around(self.handle), tick=heart.beat)
            self.flush()
            for position, words in heart.held_up.items():
                self.patience.note(f"statement {position} waited: {words}")
        except CiMigrateError:
            silent = self.run.interrupt.silent
            if not silent:
                raise
            ended = Ended(hello=None, finished=None, failed=None, died=silent, output="")
        if self.run.interrupt.silent and ended.died:
            return replace(ended, died=f"{ended.died}; {heart.under_way}")
        return self._unmask(ended)

    def _unmask(self, ended: Ended) -> Ended:
        """The end with the error that came first.

        Alembic's batch mode cleans up after an error by a statement that no dry run has seen: the refusal of that
        statement must not hide the error.
        """
        if self.failed is None or ended.failed is None or ended.failed.kind not in ("refused", "input"):
            return ended
        message = hide_secrets(self.failed.error)
        return replace(
            ended,
            failed=msgspec.structs.replace(
                ended.failed, kind="error", message=message, sqlstate=self.failed.sqlstate
            ),
        )

    def _dropped(self, event: events.InvalidIndexDropped) -> None:
        whose = "an earlier build had left it" if event.earlier else "its build had failed"
        words = f"the INVALID index {event.name} was dropped ({whose})"
        self.run.tell(words)
        self.patience.note(words)

    def _statement(self, event: events.StatementStarted) -> str | None:
        refusal = self._refusal(event)
        if refusal:
            return f"refuse {refusal}".replace("\n", " ")
        self._prefix = sha256_hex((self._prefix + event.digest).encode())
        self._note(
            EntryKind.STATEMENT,
            position=event.position,
            context=event.context,
            revision=event.revision,
            # a repair finds it again by it; what is no loop over rows may have other values by then
            digest=event.form if self._follower and self._follower.runs_once(event) else event.digest,
            prefix=self._prefix,
            note=BACKFILL + event.backfill if event.backfill else "",
        )
        self.flush()  # before the child gets its word: no statement ran that the journal does not know
        return None

    def _refusal(self, event: events.StatementStarted) -> str | None:
        # a round trip each: a loop over rows can't pay for it at each of its statements
        if self.run.lock is not None and time.monotonic() - self._lock_checked > LOCK_CHECK_SECONDS:
            self._lock_checked = time.monotonic()
            try:
                self.run.lock.check()
            except CiMigrateError as error:
                return error.what
        limit = self.run.settings.max_duration
        if limit and time.monotonic() - self.started > limit:
            return f"max-duration ({limit:.0f} s) is over"
        return self._follower.check(event) if self._follower else None

    def _note(
        self,
        kind: EntryKind,
        *,
        position: int = 0,
        context: int = 0,
        revision: str | None = None,
        digest: str = "",
        prefix: str = "",
        rows: int | None = None,
        note: str = "",
    ) -> None:
        self._pending.append(
            JournalEntry(
                kind=kind,
                position=position,
                context=context,
                revision=revision,
                digest=digest,
                prefix=prefix,
                rows=rows,
                note=note[:500],
                at=datetime.now(UTC),
            )
        )

    def flush(self) -> None:
        """Write what was noted, in one transaction."""
        if self._pending:
            self.journal.append(*self._pending)
            self._pending.clear()
