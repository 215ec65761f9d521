"""migrate: runs the plan on the target, journalled, held against the rehearsed stream."""

import random
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from ci_migrate.errors import CiMigrateError
from ci_migrate.ledger.journal import Journal
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import context_key, relative, request_contexts
from ci_migrate.migrations.record import Follower, without_version_tables
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import (
    Backup,
    Evidence,
    Fingerprint,
    JournalEntry,
    Outcome,
    Plan,
    Report,
    StageResult,
    Statement,
    TargetState,
    sha256_hex,
)
from ci_migrate.stages.base import Run, bare_schema, child_request, heads_of, show_heads
from ci_migrate.stages.repair import diagnosis_of

LOCK_TIMEOUT_STATES = {"55P03", "1205", "1213", "SQLITE_BUSY", "SQLITE_LOCKED"}
"""What a lock timeout is called: PostgreSQL, MySQL/MariaDB, SQLite. Nothing else is retried."""

LOCK_CHECK_SECONDS = 5.0


def run_stage(run: Run, report: Report) -> StageResult:
    """Migrate the target, unless it is no longer what the plan was made for."""
    plan = report.plan
    assert plan is not None
    assert run.ledger is not None
    try:
        stale = _stale(run, plan, report.backup)
        if stale:
            return StageResult(
                stage="migrate", outcome=Outcome.FAILED, message=stale, state=TargetState.UNTOUCHED
            )
        before = Fingerprint.of(bare_schema(run.database, plan))
        run.ledger.update_run(
            run.id,
            phase="migrating",
            plan=plan,
            before=before,
            backup_id=report.backup.backup_id if report.backup else None,
            needs_repair=True,
        )
        journal = run.ledger.journal(run.id)
    except CiMigrateError as error:  # no child was started: nothing needs a repair
        return StageResult(
            stage="migrate",
            outcome=Outcome.ERROR,
            message="\n".join(line for line in (error.what, error.hint) if line),
            exit_code=int(error.exit_code),
            state=TargetState.UNTOUCHED,
        )
    try:
        ended, blocked = _with_retries(run, plan, report.evidence, journal, before)
    finally:
        journal.close()
    return _judge(run, plan, ended, blocked)


def _stale(run: Run, plan: Plan, backup: Backup | None) -> str:
    """Why the plan does not fit the target any more; "" where it does."""
    heads = heads_of(run.database, plan)
    planned = tuple(c.from_heads for c in plan.contexts)
    if heads != planned:
        return f"The plan is stale: the target is at {show_heads(heads)}, planned was {show_heads(planned)}. Run again."
    if backup is not None and backup.fingerprint is not None:
        recorded = without_version_tables(backup.fingerprint.objects, plan)
        if recorded != Fingerprint.of(bare_schema(run.database, plan)).objects:
            return "The plan is stale: the target's schema changed since the backup. Run again."
    return ""


def _with_retries(
    run: Run, plan: Plan, evidence: Evidence | None, journal: Journal, before: Fingerprint
) -> tuple[Ended, str]:
    """Try again after a lock timeout that rolled back cleanly, with growing pauses, from where the target is.

    Returns how the last try ended, and who was in the way.
    """
    rest = Rest.of(plan, evidence, rung=0)
    started = time.monotonic()
    for attempt in range(1, run.settings.lock_tries + 1):
        watcher = Watcher(run, plan, rest.rehearsed, journal, started)
        request = child_request(run, "migrate")
        request.update(action="run", mode="migrate", contexts=rest.contexts)
        ended = watcher.unmasked(run.workers.run(request, watcher.handle))
        watcher.flush()
        failed = ended.failed
        if failed is None or failed.sqlstate not in LOCK_TIMEOUT_STATES:
            return ended, ""
        blockers = "; ".join(run.database.blockers()[:3]) or "another session that holds a lock"
        where = Rest.after_rollback(run, plan, evidence, before)
        if attempt == run.settings.lock_tries or where is None:
            return ended, f"Tried {attempt} times. In the way: {blockers}"
        rest = where
        pause = min(30.0, 0.5 * 2**attempt) * (0.5 + random.random())  # noqa: S311 - a pause, not a secret
        run.tell(
            f"lock timeout in {failed.revision or 'env.py'} (try {attempt} of {run.settings.lock_tries}), "
            f"rolled back; again in {pause:.0f} s. In the way: {blockers}"
        )
        if not _paused(run, pause):
            return ended, f"Interrupted while waiting for {blockers}"
    raise AssertionError("unreachable: the last attempt returns")


def _paused(run: Run, seconds: float) -> bool:
    """Wait; False as soon as a signal comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if run.interrupt.number is not None:
            return False
        time.sleep(0.1)
    return True


@dataclass(frozen=True)
class Rest:
    """What is still to run: as a request names it, and as the dry run rehearsed it (None: there was none)."""

    contexts: list[dict[str, Any]]
    rehearsed: tuple[Statement, ...] | None

    @classmethod
    def of(cls, plan: Plan, evidence: Evidence | None, rung: int) -> "Rest":
        """The rest of the plan above a rung of the ladder; 0 is all of it."""
        if evidence is None or not rung:
            return cls(request_contexts(plan), evidence.statements if evidence else None)
        done = {(r.context, r.revision) for r in evidence.rungs[:rung] if r.complete}
        heads = evidence.rungs[rung - 1].heads
        contexts = [
            {
                "key": context_key(c),
                "from_heads": heads[n],
                "revisions": [r for r in c.revisions if (n, r) not in done],
            }
            for n, c in enumerate(plan.contexts)
        ]
        tables = [
            c.version_table.name for c in plan.contexts
        ]  # they are there by now: nobody makes them again
        rehearsed = tuple(
            s
            for s in evidence.statements
            if (s.context, s.revision) not in done
            and (s.revision is not None or not any(t in s.sql for t in tables))
        )
        return cls(contexts, rehearsed)

    @classmethod
    def after_rollback(
        cls, run: Run, plan: Plan, evidence: Evidence | None, before: Fingerprint
    ) -> "Rest | None":
        """What is to run after a failure; None where that failure may have left something behind."""
        diagnosis = diagnosis_of(run, plan, evidence, before)
        clean = diagnosis.found in ("not started", "rolled back", "revision committed")
        return cls.of(plan, evidence, diagnosis.rung or 0) if clean else None


@dataclass
class Watcher:
    """Answers the child while it migrates the target: journal first, then the word to go on."""

    run: Run
    plan: Plan
    rehearsed: tuple[Statement, ...] | None
    journal: Journal
    started: float  # of the first try, on the monotonic clock
    failed: events.StatementFailed | None = None  # the last statement, if it failed
    _pending: list[JournalEntry] = field(default_factory=list)
    _prefix: str = ""
    _follower: Follower | None = None
    _lock_checked: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.rehearsed is not None:
            self._follower = Follower(self.run.settings.project_dir, self.rehearsed)

    def handle(self, event: events.AnyEvent) -> str | None:
        """Write down what is about to happen, then let it happen."""
        match event:
            case events.StatementStarted():
                return self._statement(event)
            case events.StatementDone():
                self.failed = None
                self._note("done", position=event.position, rows=event.rows)
            case events.StatementFailed():
                self.failed = event
                self._note("failed", position=event.position, note=event.error)
            case events.Committing():
                self._note(
                    "committing", position=event.statements, revision=event.revision, note=event.xid or ""
                )
                self.flush()
            case events.Committed():
                note = "complete" if event.complete else "partial"
                self._note(
                    "committed",
                    position=event.statements,
                    revision=event.revision,
                    context=event.context,
                    note=note,
                )
                self.flush()
            case events.Session():
                self._note("session", note=f"{event.database} pid {event.pid}")
            case events.Stamped():
                self._note(
                    "stamped", revision=event.revision, context=event.context, note=" ".join(event.heads)
                )
            case events.RevisionStarted() if event.revision:
                script = self.plan.revision(event.revision)
                self.run.tell(f"{event.revision} {script.message if script else ''}".rstrip())
            case events.Finished():
                self._note("finished")
            case _:
                pass
        return None

    def unmasked(self, ended: Ended) -> Ended:
        """The end with the error that came first.

        Alembic's batch mode cleans up after an error by a statement that no dry run has seen: the refusal of that
        statement must not hide the error.
        """
        if self.failed is None or ended.failed is None or ended.failed.kind != "refused":
            return ended
        message = self.run.workers.redact(self.failed.error)
        return replace(
            ended,
            failed=msgspec.structs.replace(
                ended.failed, kind="error", message=message, sqlstate=self.failed.sqlstate
            ),
        )

    def _statement(self, event: events.StatementStarted) -> str | None:
        refusal = self._refusal(event)
        if refusal:
            return f"refuse {refusal}".replace("\n", " ")
        self._prefix = sha256_hex((self._prefix + event.digest).encode())
        self._note(
            "statement",
            position=event.position,
            context=event.context,
            revision=event.revision,
            digest=event.digest,
            prefix=self._prefix,
        )
        self.flush()
        return None

    def _refusal(self, event: events.StatementStarted) -> str | None:
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
        kind: str,
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


def _judge(run: Run, plan: Plan, ended: Ended, blocked: str) -> StageResult:
    heads = heads_of(run.database, plan)
    planned = tuple(c.to_heads for c in plan.contexts)
    failed = ended.failed
    if ended.ok and heads == planned:
        message = f"{plan.pending} revisions run, now at {show_heads(heads)}"
        return StageResult(
            stage="migrate", outcome=Outcome.PASSED, message=message, state=TargetState.MIGRATED
        )
    if ended.ok:
        at = f"the target is at {show_heads(heads)} instead of {show_heads(planned)}"
        message = f"env.py ended without an error, but {at}."
        return StageResult(
            stage="migrate",
            outcome=Outcome.FAILED,
            message=message,
            details=ended.output,
            state=TargetState.UNKNOWN,
        )
    if failed is None:
        return StageResult(
            stage="migrate",
            outcome=Outcome.ERROR,
            message=f"The migration did not end: {ended.died}.",
            details=ended.output,
            state=TargetState.UNKNOWN,
        )
    where = f"Revision {failed.revision} failed" if failed.revision else "The migration failed"
    message = f"{where}: {failed.message}"
    if failed.kind == "stopped":
        message = "Stopped at a statement boundary: interrupted."
    return StageResult(
        stage="migrate",
        outcome=Outcome.FAILED,
        message="\n".join(line for line in (message, blocked) if line),
        details=f"{failed.trace}\n{failed.message}\n\n{ended.output}",
        file=relative(failed.file, run.settings.project_dir) if failed.file else None,
        line=failed.line,
        state=TargetState.UNKNOWN,
    )
