"""dry-run: restores this run's own backup into a scratch copy, runs the real migration there, measures, goes back."""

import dataclasses
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec.structs import replace

from ci_migrate.backups.comparison import compare_restored, describe_wrong
from ci_migrate.checks.base import Facts
from ci_migrate.databases.base import Database
from ci_migrate.databases.composite.changes import SchemaReaders, schema_readers
from ci_migrate.migrations import events
from ci_migrate.migrations.record import Recorder, version_table_names, without_version_tables
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import (
    Backup,
    Comparison,
    Direction,
    Evidence,
    Finding,
    Fingerprint,
    Outcome,
    Plan,
    Report,
    RowCount,
    Schema,
    StageResult,
    TableContent,
    TableEvidence,
    TargetState,
    WayBack,
    plural,
    schema_changes,
)
from ci_migrate.rehearsal.assertions import run_assertions
from ci_migrate.rehearsal.backfills import tell_backfills
from ci_migrate.rehearsal.copy_checks import look_after, look_before, note, with_changes
from ci_migrate.rehearsal.deployed.deployed_release import fit_of, reflect_copy
from ci_migrate.rehearsal.downgrade import try_way_back
from ci_migrate.rehearsal.judgement import judge
from ci_migrate.rehearsal.mask import mask_copy
from ci_migrate.rehearsal.measured import Duration, MeasuredRun, run_measured
from ci_migrate.rehearsal.model_drift import drift_of
from ci_migrate.rehearsal.outside import Outside, list_reaching_out
from ci_migrate.rehearsal.previous_release import try_previous_release
from ci_migrate.rehearsal.rows import RowsFollowed
from ci_migrate.rehearsal.second_run import rehearse_again
from ci_migrate.rehearsal.without_rows import (
    UNRESTORED,
    leaves_rows_out,
    make_copy,
    without_contents,
    without_rows,
)
from ci_migrate.run.expected import announce, announce_cost, cost_of, expect_restore, with_cost, worth_telling
from ci_migrate.run.inputs import rehearsed_inputs
from ci_migrate.run.reuse import find_rehearsal, with_rehearsal
from ci_migrate.run.run import Run, bare_schema, heads_of, schema_of, translate_errors
from ci_migrate.run.state import named_in
from ci_migrate.run.ways_back import not_as_it_was, with_other_way

WHOLE_LIMIT = 1_000_000_000
"""Bytes: up to this size the contents of all tables are compared, above it those that pending revisions name."""


def run_stage(run: Run, plan: Plan, report: Report) -> StageResult:
    """Rehearse the plan on the restored backup, unless an approved run may use what an earlier dry run measured."""
    backup = report.backup
    if run.settings.dry_run == "off":
        return StageResult(
            stage="dry-run", outcome=Outcome.SKIPPED, message="dry-run = off: nothing was rehearsed."
        )
    if backup is None:
        return StageResult(
            stage="dry-run", outcome=Outcome.SKIPPED, message="There is no backup to rehearse on."
        )
    if backup.provider_id is not None and not run.settings.provider_clone and not leaves_rows_out(run):
        return StageResult(
            stage="dry-run",
            outcome=Outcome.FAILED if run.settings.production else Outcome.SKIPPED,
            message=f"{backup.backup_id} is unproven, and nothing was rehearsed: the provider makes no clone of it "
            "(provider-clone).",
        )
    found = find_rehearsal(run, plan, report, backup)
    if isinstance(found, StageResult):
        return found
    lasting = announce_cost(run, backup)
    try:
        result = _rehearse_on_copy(run, plan, backup, report.findings)
    except BaseException:
        if cost := cost_of(run, backup, lasting):
            run.tell(cost)
        raise
    result = with_cost(run, result, backup, lasting)
    if not found:
        return result
    why = f"Rehearsed again: {found}"
    if result.outcome is Outcome.PASSED:
        return replace(result, message=f"{result.message}. {why}")
    return replace(result, details=f"{why}\n{result.details}")


def _rehearse_on_copy(run: Run, plan: Plan, backup: Backup, checked: Sequence[Finding]) -> StageResult:
    heads_before = heads_of(run.reader, plan)
    schema_before = bare_schema(run.reader, plan)
    outside = Outside.of(run)
    expected = None if leaves_rows_out(run) else expect_restore(run, backup)
    announce(run, "restore of the backup", expected)
    started = time.monotonic()
    for last in (False, True):
        try:
            with make_copy(run, plan, backup) as scratch:
                seconds = time.monotonic() - started
                result, failed = _rehearse(run, plan, backup, scratch, seconds, checked, whole=last)
        except _OverlookedError:
            run.tell("a change was overlooked; once more on a fresh copy, which is read whole each time")
        else:
            locked = failed is not None and failed.sqlstate in events.LOCK_TIMEOUT_STATES
            if last or failed is None or not locked or failed.waits_for_itself:
                break
            # nobody else is in the copy: what is in the way is the server's own, or another copy's
            run.tell(f"lock timeout in {failed.revision or 'env.py'} on the copy; once more on a fresh one")
        started = time.monotonic()
    # the last thing that could be wrong with all of the above: that it did not happen on the copy
    if heads_of(run.reader, plan) != heads_before or bare_schema(run.reader, plan) != schema_before:
        return StageResult(
            stage="dry-run",
            outcome=Outcome.ERROR,
            message="The target changed while the dry run ran on its copy: somebody else migrates it, or the dry run "
            "got past the wall.",
            evidence=result.evidence,
            state=TargetState.UNKNOWN,
        )
    result = with_rehearsal(run, plan, backup, with_other_way(run, plan, outside.compare(run, result)))
    if result.outcome is Outcome.PASSED and worth_telling(expected):
        result = replace(
            result, message=f"{result.message}; the restore was expected to take about {expected:.0f} s"
        )
    return result


class _OverlookedError(Exception):
    """What was followed from commit point to commit point is not what the copy came to."""


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What the copy holds at one moment, without version tables; contents are of the tables that are watched."""

    schema: Schema
    counts: dict[str, RowCount]
    contents: dict[str, TableContent]


@dataclasses.dataclass(frozen=True)
class _Played:
    """How the migration ran on the copy."""

    recorder: Recorder
    rows: RowsFollowed
    measured: MeasuredRun
    has_models: bool
    too_long: float  # seconds that had gone at the first statement above `max-duration`; 0 if none was


def _rehearse(
    run: Run,
    plan: Plan,
    backup: Backup,
    scratch: Database,
    restore_seconds: float,
    checked: Sequence[Finding],
    *,
    whole: bool,
) -> tuple[StageResult, events.Failed | None]:
    """With `whole` all of the schema is read at each commit point.

    Raises _OverlookedError: without it something was missed.
    """
    start = schema_of(scratch)
    before, comparison = _look_first(run, plan, backup, scratch, start)
    copied = "schema copied, without rows," if leaves_rows_out(run) else "backup restored"
    run.tell(f"{copied} in {restore_seconds:.1f} s; running {plural(plan.pending, 'revision')} on the copy")
    facts = Facts(plan=plan, target_rows=backup.row_counts, sequences=backup.sequences)
    bare = leaves_rows_out(run)
    looked = () if bare else look_before(run, facts, scratch)
    with translate_errors(scratch):
        failing = [] if bare else run_assertions(run, scratch, "before")
        noted = note(scratch)
    tables = reflect_copy(run, plan, scratch)
    with schema_readers(scratch, whole=whole) as readers:
        played = _play(run, plan, scratch, before, start, readers)
    ended = played.measured.ended
    with translate_errors(scratch):
        after = _look_after(scratch, plan, before)
        facts = with_changes(facts, noted, scratch)
        heads = heads_of(scratch, plan)
    if ended.ok and not whole and _overlooked(plan, played, after):
        raise _OverlookedError
    arrived = ended.ok and heads == tuple(c.to_heads for c in plan.contexts)
    evidence = _evidence(run, plan, backup, played, before, after)
    evidence = replace(
        evidence,
        proven=comparison.equal and not bare,
        unproven_reason=UNRESTORED if bare and comparison.equal else describe_wrong(comparison),
        comparison=comparison,
        restore_seconds=restore_seconds,
        way_back=WayBack(
            tried=False,
            reason="it is tried after this check" if arrived else "the dry run did not get to the end",
        ),
    )
    output = ""
    if arrived:
        why = ""
        if not bare:
            looked += look_after(run, dataclasses.replace(facts, evidence=evidence), backup, scratch)
            failing += run_assertions(run, scratch, "after")
            why, output = try_previous_release(run, plan, backup)
        drift = drift_of(run, plan, scratch) if played.has_models else []
        evidence = replace(evidence, release=fit_of(run, plan, scratch, tables, evidence.statements))
        facts = dataclasses.replace(facts, drift=drift, previous_release=why)
        back: list[Ended] = []
        way_back = try_way_back(run, plan, scratch, before.schema, before.contents, back.append)
        inputs, made = rehearsed_inputs(plan, run.settings, *(e.inputs for e in (ended, *back)))
        evidence = replace(evidence, way_back=way_back, inputs=inputs, made=made)
    if bare:
        evidence = without_rows(run, evidence)
    elsewhere = []
    if plan.direction is Direction.DOWNGRADE and ended.ok:
        elsewhere = not_as_it_was(run, plan, evidence.before, after.schema)
    facts = dataclasses.replace(
        facts,
        evidence=evidence,
        require_downgrade=run.settings.require_downgrade,
        lock_budget=run.settings.lock_budget,
        transactional_ddl=run.database.capabilities.transactional_ddl,
        not_as_it_was=elsewhere,
        failed_assertions=failing,
        squawk=run.settings.squawk,
    )
    judged = judge(run, facts, evidence, ended, heads, played.recorder, checked, looked)
    if played.too_long and judged.outcome is Outcome.PASSED:
        judged = replace(judged, outcome=Outcome.FAILED, message=_describe_too_long(run, played))
    judged = replace(judged, details=f"{judged.details}{output}")
    return judged if judged.findings else replace(judged, findings=looked), ended.failed


def _look_first(
    run: Run, plan: Plan, backup: Backup, scratch: Database, start: Schema
) -> tuple[_Seen, Comparison]:
    """What the copy holds as the migration will meet it, and what came of holding it against the backup."""
    schema = without_version_tables(start, plan)
    with translate_errors(scratch):
        counts = _counts(scratch, plan)
        watched = _watch(run, plan, scratch, counts)
        before = _Seen(schema, counts, scratch.contents(watched))
        tables = [c.version_table for c in plan.contexts]
        held = without_contents(backup) if leaves_rows_out(run) else run.catalog.with_digests(backup)
        comparison = compare_restored(scratch, held, version_tables=tables, known=before.contents)
        comparison = comparison.plus(Comparison(not_compared=tuple(list_reaching_out(schema))))
        masked = mask_copy(run.settings, scratch, run.masks)
        if masked:  # after the comparison: the backup was proved by what it holds, not by what was masked
            comparison = comparison.plus(Comparison(exceptions=(masked,)))
            before = _Seen(schema, counts, scratch.contents(watched))
    return before, comparison


def _describe_too_long(run: Run, played: _Played) -> str:
    return (
        f"max-duration is {run.settings.max_duration:g} s, and after {played.too_long:.1f} s the dry run still began "
        f"statements ({played.measured.seconds:.1f} s in all): the target would be stopped before one of them. "
        "Set a longer max-duration, or split the migration."
    )


def _play(
    run: Run, plan: Plan, scratch: Database, before: _Seen, start: Schema, readers: SchemaReaders
) -> _Played:
    """Run the pending revisions on the copy; `start` is its schema with version tables."""
    rows = RowsFollowed(scratch, before.contents, before.counts, frozenset(version_table_names(plan)))

    def measure(last: Schema, committed: str, statements: Sequence[str]) -> Schema:
        rows.note(readers.written(last, committed, statements))
        with translate_errors(scratch):
            return readers.read(last, committed, statements)

    recorder = Recorder(
        project=run.settings.project_dir,
        plan=plan,
        measure=measure,
        contents=rows.look,
        keep=run.settings.restore == "auto",
        start=before.contents,
        last=start,
    )
    has_models: list[bool] = []

    def hear(event: events.AnyEvent) -> str | None:
        if isinstance(event, events.Context):
            has_models.append(event.models)
        return recorder.handle(event)

    duration = Duration(run.settings.max_duration)
    measured = run_measured(run, plan, scratch, recorder, duration.around(hear))
    return _Played(recorder, rows, measured, any(has_models), duration.over)


def _overlooked(plan: Plan, played: _Played, after: _Seen) -> bool:
    followed = without_version_tables(played.recorder.last, plan)
    return followed != after.schema or played.rows.missed(after.contents)


def _look_after(scratch: Database, plan: Plan, before: _Seen) -> _Seen:
    return _Seen(bare_schema(scratch, plan), _counts(scratch, plan), _contents(scratch, plan, before))


def _contents(scratch: Database, plan: Plan, before: _Seen) -> dict[str, TableContent]:
    """Of the tables that were watched from the start, and of those that came since."""
    return scratch.contents({*before.contents, *(set(_counts(scratch, plan)) - set(before.counts))})


def _evidence(run: Run, plan: Plan, backup: Backup, played: _Played, before: _Seen, after: _Seen) -> Evidence:
    """What was measured, without what is known of the backup and of the rollback path."""
    recorder, measured = played.recorder, played.measured
    again = run.settings.rehearse_twice and measured.ended.ok
    divergence = None
    if again:
        divergence, varying = rehearse_again(run, plan, backup, recorder.statements.values())
        recorder.forget_exact(varying)
    return Evidence(
        proven=False,
        statements=tuple(recorder.statements.values()),
        stream_digest=recorder.stream_digest,
        commit_points=tuple(recorder.commit_points),
        backfills=tell_backfills(run, recorder.backfills.values(), backup),
        before=Fingerprint.of(before.schema),
        after=Fingerprint.of(after.schema),
        changes=schema_changes(before.schema, after.schema),
        tables=_tables(before.contents, after.contents),
        row_counts_before=before.counts,
        row_counts_after=after.counts,
        way_back=WayBack(tried=False),
        migrate_seconds=measured.seconds,
        measured=measured.measured,
        log_bytes=measured.log_bytes,
        size_before=measured.size_before,
        size_after=measured.size_after,
        rehearsals=2 if again else 1,
        divergence=divergence,
        refused_connections=tuple(recorder.refused),
        alembic_version=recorder.hello.alembic if recorder.hello else "",
        sqlalchemy_version=recorder.hello.sqlalchemy if recorder.hello else "",
    )


def _counts(scratch: Database, plan: Plan) -> dict[str, RowCount]:
    """Rows per table, without Alembic's version tables."""
    ours = version_table_names(plan)
    return {table: count for table, count in scratch.counts().items() if table not in ours}


def _watch(run: Run, plan: Plan, scratch: Database, counts: dict[str, RowCount]) -> list[str]:
    """The tables whose contents are compared before and after, the large ones first."""
    watched: Collection[str] = counts
    if scratch.size() > WHOLE_LIMIT:
        files = (run.settings.project_dir / r.file for r in plan.revisions if Path(r.file).suffix)
        watched = named_in(counts, (file.read_text(errors="replace") for file in files))
    return sorted(watched, key=lambda table: (-counts[table].rows, table))


def _tables(before: dict[str, TableContent], after: dict[str, TableContent]) -> dict[str, TableEvidence]:
    """Only the tables whose contents changed."""
    return {
        table: TableEvidence(before=before.get(table), after=after.get(table))
        for table in sorted(before.keys() | after.keys())
        if before.get(table) != after.get(table)
    }
