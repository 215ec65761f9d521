"""migrate: runs the plan on the target, journalled, held against the rehearsed stream."""

import time

from msgspec.structs import replace

from ci_migrate.errors import CiMigrateError
from ci_migrate.ledger.journal import Journal
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import relative
from ci_migrate.migrations.record import without_version_tables
from ci_migrate.migrations.requests import RunRequest, migrate_request
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import (
    Backup,
    Direction,
    EntryKind,
    Fingerprint,
    Outcome,
    Permit,
    Plan,
    Report,
    StageResult,
    TargetState,
    list_some,
    plural,
    show_heads,
)
from ci_migrate.repairs.context import RepairContext
from ci_migrate.repairs.watcher import Rest, Watcher
from ci_migrate.run.approvals import evidence_of
from ci_migrate.run.authorization import Intent, authorize
from ci_migrate.run.expected import announce, took
from ci_migrate.run.inputs import approved_inputs, expected_inputs, refused_words
from ci_migrate.run.patience import Patience
from ci_migrate.run.run import Run, WritingRun, bare_schema, child_setup, heads_of
from ci_migrate.run.traffic import look_at_traffic


def run_stage(run: WritingRun, plan: Plan, report: Report) -> StageResult:
    """Migrate the target, unless it is no longer what the plan was made for."""
    try:
        run.lock.check()  # backup and dry run may have taken hours
        stale = _stale(run, plan, report.backup)
        if stale:
            return StageResult(
                stage="migrate", outcome=Outcome.FAILED, message=stale, state=TargetState.UNTOUCHED
            )
        named = look_at_traffic(run, report.evidence)
        inputs = approved_inputs(plan, report.evidence)
        permit = authorize(run, Intent.migrate(plan, inputs), evidence_of(report))
        before = Fingerprint.of(bare_schema(run.database, plan))
        # before the child is started: whoever is killed from here on leaves a run that asks for a repair
        run.ledger.update_run(
            run.id,
            phase="migrating",
            plan=plan,
            before=before,
            backup_id=report.backup.backup_id if report.backup else None,
            needs_repair=True,
        )
        if plan.direction is Direction.STAMP:
            run.ledger.audit("stamp begun", run.id, rows=[c.from_heads for c in plan.contexts])
        journal = run.ledger.journal(run.id)
    except CiMigrateError as error:  # no child was started: nothing needs a repair
        return StageResult(
            stage="migrate",
            outcome=Outcome.ERROR,
            message="\n".join(line for line in (error.what, error.hint) if line),
            exit_code=int(error.exit_code),
            state=TargetState.UNTOUCHED,
        )
    context = RepairContext(run, plan, before, report.evidence, report.backup)
    rehearsed = report.evidence if report.evidence is not None and not report.evidence.without_rows else None
    expected = rehearsed.migrate_seconds if rehearsed is not None else None
    announce(run, f"migrate: {plural(plan.pending, 'revision')}", expected, ", as on the copy")
    started = time.monotonic()
    with journal:
        other: list[str] = []
        ended, patience, blocked = _try_patiently(context, permit, journal, other)
    spent = took(time.monotonic() - started, expected)
    result = with_other_values(run, _judge(run, plan, ended, blocked, spent), other)
    if patience.words and not blocked:
        result = replace(result, message=f"{result.message}\n{patience.words}")
    lines = [*(f"before: {words}" for words in named), *patience.notes]
    if lines:
        result = replace(result, details="\n".join((*lines, result.details)).rstrip())
    if ended.failed is not None and ended.failed.kind == "input" and _sent_nothing(context):
        return replace(result, state=TargetState.UNTOUCHED)
    return result


def with_other_values(run: WritingRun, result: StageResult, other: list[str]) -> StageResult:
    """The result, with what was sent that differs from the rehearsal in its values alone."""
    if not other:
        return result
    run.ledger.audit("other values", run.id, statements=other[:20], count=len(other))
    told = f"Not as rehearsed, in values alone: {list_some(other, 3)}"
    return replace(result, message=f"{result.message.rstrip('.')}. {told}")


def _sent_nothing(context: RepairContext) -> bool:
    """Whether the child was stopped before its first statement, and the target is as it was."""
    sent = any(entry.kind is EntryKind.STATEMENT for entry in context.read_journal())
    return not sent and not context.prove_as_before()


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


def _try_patiently(
    context: RepairContext, permit: Permit, journal: Journal, other: list[str]
) -> tuple[Ended, Patience, str]:
    """Try again after a lock timeout that rolled back cleanly, with growing pauses, from where the target is.

    What did nothing by itself (a statement outside of a transaction, DDL on MySQL and MariaDB) the child sends again.

    Returns how the last try ended, what it waited for, and who was in the way; `other` takes the statements that had
    other values than rehearsed.
    """
    run, patience = context.run, Patience(context.run)
    rest = Rest.of(context.plan, context.evidence, commit_point=0)
    started, attempt = time.monotonic(), 0
    while True:
        attempt += 1
        watcher = Watcher(run, context.plan, rest.rehearsed, journal, started, patience, other=other)
        request = RunRequest(
            setup=child_setup(
                run, "migrate", inputs=expected_inputs(run.settings, context.plan, context.evidence)
            ),
            asks=events.JOURNALLED,
            contexts=rest.contexts,
            purge=run.purge,
        )
        request = migrate_request(permit, context.plan.digest, request)
        ended = watcher.migrate(request)
        failed = ended.failed
        if failed is None or failed.waits_for_itself or failed.sqlstate not in events.LOCK_TIMEOUT_STATES:
            return ended, patience, ""
        blocked = patience.in_the_way()
        next_rest = Rest.after_rollback(context)
        tried = max(attempt, watcher.attempts)
        if next_rest is None or watcher.waited_long or tried >= run.settings.lock_policy.tries:
            return ended, patience, f"Tried {plural(tried, 'time')}. In the way: {blocked}"
        if next_rest.contexts != rest.contexts:  # it has come further since
            attempt = 1
        rest = next_rest
        if not patience.pause(failed.revision or "env.py", attempt, "rolled back"):
            return ended, patience, f"Interrupted while waiting for {blocked}"


def _judge(run: Run, plan: Plan, ended: Ended, blocked: str, spent: str) -> StageResult:
    # its heads are not asked for: the server is what does not answer
    if run.interrupt.silent and not ended.ok:
        return StageResult(
            stage="migrate",
            outcome=Outcome.ERROR,
            message=f"The migration did not end: {ended.words}.\nWhat of it is committed, only the database knows.",
            details=ended.output,
            state=TargetState.UNKNOWN,
        )
    heads = heads_of(run.database, plan)
    planned = tuple(c.to_heads for c in plan.contexts)
    failed = ended.failed
    # an env.py may catch what a revision raises: that it ended well proves nothing by itself
    if ended.ok and heads == planned:
        ran = (
            "Nothing was run"
            if plan.direction is Direction.STAMP
            else f"{plural(plan.pending, 'revision')} run{spent}"
        )
        message = f"{ran}, now at {show_heads(heads)}"
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
    where = "The migration failed"
    if failed.revision:
        where = f"Revision {failed.revision} failed{plan.place_of(failed.context)}"
    message = f"{where}: {failed.message}"
    if failed.kind == "input":
        message = refused_words(failed.message)
    if failed.kind == "stopped":
        message = "Stopped at a statement boundary: interrupted."
    return StageResult(
        stage="migrate",
        outcome=Outcome.FAILED,
        message="\n".join(line for line in (message, blocked) if line),
        details=f"{failed.trace}\n{failed.message}\n\n{ended.output}",
        file=relative(failed.file, run.settings.project_dir) if failed.file else None,
        line=failed.line,
        sql=failed.sql,
        state=TargetState.UNKNOWN,
    )
