"""What a dry run comes to: passed, failed (the migration said no) or error (it could not be told)."""

import re
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from ci_migrate.checks.base import Facts
from ci_migrate.checks.unfit_acknowledgement import find_unused
from ci_migrate.databases.names import parts
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import relative
from ci_migrate.migrations.record import Recorder
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import (
    Comparison,
    Direction,
    Evidence,
    Finding,
    Outcome,
    Plan,
    Severity,
    StageResult,
    TargetState,
    list_some,
    plural,
    show_heads,
)
from ci_migrate.rehearsal.copy_checks import find_left_out, find_named
from ci_migrate.rehearsal.without_rows import find_without_rows, leaves_rows_out
from ci_migrate.run.inputs import refused_words
from ci_migrate.run.run import Run

FIXES = {
    "55P04": "\nA new value of an enum must be committed before it is used: add it inside of "
    "`with op.get_context().autocommit_block():`",
    "25001": "\nIt can't run in a transaction: put it into `with op.get_context().autocommit_block():`",
}
"""By PostgreSQL's SQLSTATE: what to write instead."""


def judge(
    run: Run,
    facts: Facts,
    evidence: Evidence,
    ended: Ended,
    heads: tuple[tuple[str, ...], ...],
    recorder: Recorder,
    checked: Sequence[Finding],
    looked: tuple[Finding, ...],
) -> StageResult:
    """The result of the stage.

    Args:
        run: this one.
        facts: what the copy showed, for the checks.
        evidence: the same, as the report keeps it.
        ended: how the migration on the copy ended.
        heads: of the copy at the end.
        recorder: of its statements.
        checked: findings of the stage check.
        looked: findings of the looks at the copy before and after.
    """
    plan = facts.plan
    base = StageResult(
        stage="dry-run", outcome=Outcome.PASSED, evidence=evidence, state=TargetState.UNTOUCHED
    )
    if ended.died is not None:
        return replace(
            base,
            outcome=Outcome.ERROR,
            message=f"The dry run did not end: {ended.died}.",
            details=ended.output,
        )
    if ended.failed is not None:
        return _failure(run, plan, base, ended, ended.failed, recorder)
    planned = tuple(c.to_heads for c in plan.contexts)
    if heads != planned:
        message = (
            f"env.py ended without an error, but the copy is at {show_heads(heads)} instead of {show_heads(planned)}: "
            "an error was swallowed, or env.py did not commit."
        )
        base = replace(base, outcome=Outcome.FAILED, message=message, details=ended.output)
        if recorder.failed is None:
            return base
        key, error = recorder.failed
        statement = recorder.statements[key]
        message = f"{message}\nThe last statement that failed: {error}"
        return replace(base, message=message, file=statement.file, line=statement.line, sql=statement.sql)
    if not evidence.comparison.equal:
        message = f"The backup does not restore to what it was taken from: {evidence.unproven_reason}."
        if evidence.without_rows:
            message = f"The copy of the schema is another than the backup's: {evidence.unproven_reason}."
        return replace(base, outcome=Outcome.ERROR, message=message)
    findings = looked + run.look(
        facts,
        measured=True,
        more=[
            *_pragmas(recorder, plan),
            *find_named(recorder, plan, run.settings.project_dir),
            *find_left_out(recorder, run.settings.project_dir),
            *find_without_rows(run, evidence),
        ],
    )
    pending = [r.id for r in plan.revisions]
    findings += tuple(find_unused(run.grading(plan).allowed, (*checked, *findings), pending))
    refused = [f for f in findings if f.refuses]
    if refused:
        first = refused[0]
        message = f"{first.code} {first.name}: {first.message}"
        return replace(
            base,
            outcome=Outcome.FAILED,
            message=message,
            file=first.file,
            line=first.line,
            findings=findings,
        )
    back = "rollback path proven" if evidence.way_back.proven else "rollback path: only the backup"
    if plan.direction is Direction.DOWNGRADE:
        lost = [f.message.rstrip(".") for f in findings if f.code == "CM403"]
        kept = "nothing that was compared" if evidence.comparison.not_compared else "nothing"
        loses = "nobody knows whether it loses rows" if evidence.without_rows else f"it loses {kept}"
        back = f"accepted: {'; '.join(lost)}" if lost else loses
    if evidence.without_rows:
        rehearsed = (
            f"{plural(plan.pending, 'revision')} rehearsed without rows ({evidence.migrate_seconds:.1f} s)"
        )
        return replace(base, message=f"{rehearsed}, backup not restored, {back}", findings=findings)
    message = (
        f"Backup proven by restoring it ({evidence.restore_seconds:.1f} s), "
        f"{plural(plan.pending, 'revision')} rehearsed on it ({evidence.migrate_seconds:.1f} s), {back}"
    )
    return replace(base, message=message, findings=findings)


def _failure(
    run: Run, plan: Plan, base: StageResult, ended: Ended, failed: events.Failed, recorder: Recorder
) -> StageResult:
    file = relative(failed.file, run.settings.project_dir) if failed.file else None
    copy = "a copy without rows" if leaves_rows_out(run) else "a copy of the data"
    if failed.kind == "stopped":
        return replace(base, outcome=Outcome.ERROR, message="The dry run was interrupted.")
    if failed.kind == "input":
        message = refused_words(failed.message)
    elif failed.kind == "refused" and recorder.refused:
        message = f"The dry run asked for {recorder.refused[0]}: refused, nothing was sent there."
        if recorder.refused[0].startswith("a statement") and failed.revision:
            message += (
                " If the target is meant to get it, acknowledge CM108 in the revision, with a reason: "
                'ci_migrate = {"allow": {"CM108": "..."}}. The dry run then leaves it out.'
            )
    elif failed.revision:
        fix = FIXES.get(failed.sqlstate or "", "")
        where = plan.place_of(failed.context)
        message = f"Revision {failed.revision} fails on {copy}{where}: {failed.message}{fix}"
    else:
        message = f"env.py fails on {copy}: {failed.message}"
    if failed.kind == "error" and base.evidence is not None:
        message += _describe_lacks(base.evidence.comparison, failed.sql or "")
    return replace(
        base,
        outcome=Outcome.FAILED,
        message=message,
        file=file,
        line=failed.line,
        sql=failed.sql,
        details=f"{failed.trace}\n{failed.message}\n\n{ended.output}",
    )


def _describe_lacks(comparison: Comparison, sql: str) -> str:
    """What the copy rightly lacks and the failed statement may need, the things that it names first; "" for nothing."""
    lacking = [words for words in comparison.exceptions if words.partition(": ")[0].endswith(" is missing")]
    if not lacking:
        return ""
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    named = [w for w in lacking if parts(w.partition(" is missing")[0].split()[-1])[-1].lower() in words]
    shown = named or lacking
    told = "names" if named else "may need"
    return (
        f"\nThe copy lacks what the statement {told}, so the revision may be right: {list_some(shown, 3)}."
        '\nRehearse where all of it can be made: scratch = "URL" of a role that may.'
    )


def _pragmas(recorder: Recorder, plan: Plan) -> Iterable[Finding]:
    for event in {(e.revision, e.first): e for e in recorder.pragmas}.values():
        script = plan.revision(event.revision) if event.revision else None
        yield Finding(
            code="CM103",
            name="pragma-in-transaction",
            severity=Severity.WARNING,
            message="PRAGMA foreign_keys inside a transaction does nothing on SQLite. "
            + (
                "env.py has begun one before the revision starts: send the PRAGMA in env.py, on the connection, "
                "ahead of context.begin_transaction()."
                if event.first
                else "Put it first in the revision."
            ),
            revision=event.revision,
            file=script.file if script else None,
            line=(event.line or 1) if script else None,
        )
