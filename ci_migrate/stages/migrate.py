"""migrate: runs the plan on the target, journalled, held against the rehearsed stream."""

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ci_migrate.errors import CiMigrateError
from ci_migrate.ledger.journal import Journal
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import relative, request_contexts
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
    TargetState,
    sha256_hex,
)
from ci_migrate.stages.base import Run, bare_schema, child_request, heads_of, show_heads

LOCK_TIMEOUT_STATES = {"55P03", "1205", "1213", "SQLITE_BUSY", "SQLITE_LOCKED"}
"""What a lock timeout is called: PostgreSQL, MySQL/MariaDB, SQLite. Nothing else is retried."""

LOCK_CHECK_SECONDS = 5.0


def run_stage(run: Run, report: Report) -> StageResult:
    """Migrate the target, unless it is no longer what the plan was made for."""
    plan = report.plan
    assert plan is not None
    assert run.ledger is not None
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
    try:
        ended = _with_retries(run, plan, report.evidence, journal, before)
    finally:
        journal.close()
    return _judge(run, plan, ended)


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
) -> Ended:
    """Try again after a lock timeout that left nothing behind, with growing pauses."""
    for attempt in range(1, run.settings.lock_tries + 1):
        watcher = Watcher(run, plan, evidence, journal)
        request = child_request(run, "migrate")
        request.update(action="run", mode="migrate", contexts=request_contexts(plan))
        ended = run.workers.run(request, watcher.handle)
        watcher.flush()
        failed = ended.failed
        if failed is None or failed.sqlstate not in LOCK_TIMEOUT_STATES or attempt == run.settings.lock_tries:
            return ended
        if (
            run.interrupt.number is not None
            or watcher.commits
            or heads_of(run.database, plan) != tuple(c.from_heads for c in plan.contexts)
        ):
            return ended
        if Fingerprint.of(bare_schema(run.database, plan)) != before:
            return ended
        pause = min(30.0, 0.5 * 2**attempt) * (0.5 + random.random())  # noqa: S311 - a pause, not a secret
        blockers = run.database.sessions_of("") or ["another session"]
        run.tell(
            f"lock timeout in {failed.revision or 'env.py'} (try {attempt} of {run.settings.lock_tries}), rolled back; "
            f"again in {pause:.0f} s. Sessions: {'; '.join(blockers[:3])}"
        )
        time.sleep(pause)
    raise AssertionError("unreachable: the last attempt returns")


@dataclass
class Watcher:
    """Answers the child while it migrates the target: journal first, then the word to go on."""

    run: Run
    plan: Plan
    evidence: Evidence | None
    journal: Journal
    commits: int = 0
    _pending: list[JournalEntry] = field(default_factory=list)
    _prefix: str = ""
    _follower: Follower | None = None
    _lock_checked: float = field(default_factory=time.monotonic)
    _started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.evidence is not None:
            self._follower = Follower(self.run.settings.project_dir, self.evidence.statements)

    def handle(self, event: events.AnyEvent) -> str | None:
        """Write down what is about to happen, then let it happen."""
        match event:
            case events.StatementStarted():
                return self._statement(event)
            case events.StatementDone():
                self._note("done", position=event.position, rows=event.rows)
            case events.StatementFailed():
                self._note("failed", position=event.position, note=event.error)
            case events.Committing():
                self._note(
                    "committing", position=event.statements, revision=event.revision, note=event.xid or ""
                )
                self.flush()
            case events.Committed():
                self.commits += 1
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
        if limit and time.monotonic() - self._started > limit:
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


def _judge(run: Run, plan: Plan, ended: Ended) -> StageResult:
    heads = heads_of(run.database, plan)
    planned = tuple(c.to_heads for c in plan.contexts)
    failed = ended.failed
    if ended.ok and heads == planned:
        message = f"{plan.pending} revisions run, now at {show_heads(heads)}"
        return StageResult(
            stage="migrate", outcome=Outcome.PASSED, message=message, state=TargetState.MIGRATED
        )
    if ended.ok:
        message = f"env.py ended without an error, but the target is at {show_heads(heads)} instead of {show_heads(planned)}."
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
    return StageResult(
        stage="migrate",
        outcome=Outcome.FAILED,
        message=f"{where}: {failed.message}"
        if failed.kind != "stopped"
        else "Stopped at a statement boundary: interrupted.",
        details=f"{failed.trace}\n{failed.message}\n\n{ended.output}",
        file=relative(failed.file, run.settings.project_dir) if failed.file else None,
        line=failed.line,
        state=TargetState.UNKNOWN,
    )
