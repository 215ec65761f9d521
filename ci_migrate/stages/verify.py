"""verify: the target's heads are the plan's, and its schema changed as the rehearsed one did."""

from msgspec.structs import replace

from ci_migrate.checks.assertion_fails import CHECK as ASSERTION
from ci_migrate.model import (
    Comparison,
    Diagnosis,
    Direction,
    Finding,
    Fingerprint,
    NextCommand,
    Outcome,
    Plan,
    Progress,
    Report,
    StageResult,
    TargetState,
    list_some,
    plural,
    show_heads,
)
from ci_migrate.rehearsal.assertions import run_assertions
from ci_migrate.repairs.choice import accept_command
from ci_migrate.repairs.foreign_ddl import SHOWN, find_foreign, with_foreign
from ci_migrate.run.run import Run, WritingRun, bare_schema, heads_of
from ci_migrate.run.since_last_run import differs_from_rehearsal, schema_diff

REHEARSED = Comparison(
    compared=("heads (with the plan)", "schema (its changes with those of the dry run)"),
    not_compared=("rows",),
)
UNREHEARSED = Comparison(
    compared=("heads (with the plan)",), not_compared=("schema: there was no dry run to compare with", "rows")
)
STAMPED = Comparison(compared=("heads (with the plan)", "schema (with that before)"), not_compared=("rows",))


def run_stage(run: WritingRun, plan: Plan, report: Report) -> StageResult:
    """Compare; repair nothing."""
    evidence, record = report.evidence, run.ledger.run(run.id)
    before = record.before if record is not None else None
    heads = heads_of(run.database, plan)
    planned = tuple(c.to_heads for c in plan.contexts)
    if heads != planned:
        message = f"The target is at {show_heads(heads)} instead of {show_heads(planned)}."
        return _failure(message, plan.target)
    if plan.direction is Direction.STAMP and before is not None:
        return _verify_stamp(run, plan, before)
    failing = _assertions(run, plan)
    if any(f.refuses for f in failing):
        words = next(f.message for f in failing if f.refuses)
        return replace(_failure(f"CM604 assertion-fails: {words}", plan.target), findings=failing)
    if evidence is None:
        return StageResult(
            stage="verify", outcome=Outcome.PASSED, message="Heads are right; there was no dry run to compare with.",
            state=TargetState.MIGRATED, proof=UNREHEARSED, findings=failing,
        )  # fmt: skip
    ground, schema = before or evidence.before, bare_schema(run.database, plan)
    found = differs_from_rehearsal(ground, schema, evidence)
    if found:
        foreign = find_foreign(ground, schema, evidence)
        ours = differs_from_rehearsal(with_foreign(ground, schema, foreign), schema, evidence)
        if not ours:
            return _foreign(tuple(foreign.values()), plan.target)
        return _failure(f"The schema did not change as rehearsed: {list_some(ours, SHOWN)}.", plan.target)
    return StageResult(
        stage="verify",
        outcome=Outcome.PASSED,
        message=f"At {show_heads(heads)}; {plural(len(evidence.changes), 'schema object')} changed as rehearsed",
        state=TargetState.MIGRATED,
        proof=REHEARSED,
        findings=failing,
    )


def _assertions(run: Run, plan: Plan) -> tuple[Finding, ...]:
    """What the project's own queries say of the migrated target; graded."""
    grade = run.grading(plan).apply
    found = (ASSERTION.finding(words) for words in run_assertions(run, run.database, "after"))
    return tuple(f for f in map(grade, found) if f is not None)


def _verify_stamp(run: Run, plan: Plan, before: Fingerprint) -> StageResult:
    """A stamp leaves the schema as it was; and what it wrote can be written back by another one."""
    changed = schema_diff(before, bare_schema(run.database, plan), {})
    if changed:
        return _failure(
            f"A stamp changes no schema, but something did: {'; '.join(changed[:3])}.", plan.target
        )
    was = show_heads([c.from_heads for c in plan.contexts])
    return StageResult(
        stage="verify",
        outcome=Outcome.PASSED,
        message=f"At {show_heads([c.to_heads for c in plan.contexts])}, the schema is untouched; it was at {was}",
        state=TargetState.MIGRATED,
        proof=STAMPED,
    )


def _foreign(foreign: tuple[str, ...], target: str) -> StageResult:
    """All that was rehearsed is there, and something besides that no statement of this run made."""
    words = f"somebody else changed the schema meanwhile: {list_some(foreign, SHOWN)}"
    return StageResult(
        stage="verify",
        outcome=Outcome.FAILED,
        message=f"The migration is complete, as rehearsed; {words}.\nIt stays as it is until a person accepts that.",
        state=TargetState.UNKNOWN,
        diagnosis=Diagnosis(
            found=Progress.FINISHED,
            words=f"the migration is complete, as rehearsed; {words}",
            commands=(accept_command(target),),
            foreign=foreign,
        ),
    )


def _failure(message: str, target: str) -> StageResult:
    return StageResult(
        stage="verify",
        outcome=Outcome.FAILED,
        message=message + "\nThe migration ended without an error; nothing was repaired.",
        state=TargetState.UNKNOWN,
        diagnosis=Diagnosis(
            found=Progress.FINISHED,
            words="the migration ended well, but the result is not the rehearsed one",
            commands=(
                NextCommand(
                    command=f"ci-migrate verify --target {target}", why="names all that is different"
                ),
                NextCommand(
                    command=f"ci-migrate backup list --target {target}", why="names what can be restored"
                ),
            ),
        ),
    )
