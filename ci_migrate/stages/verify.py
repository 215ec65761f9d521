"""verify: the target's heads are the plan's, and its schema changed as the rehearsed one did."""

from ci_migrate.model import (
    Diagnosis,
    Direction,
    Evidence,
    Fingerprint,
    Outcome,
    Plan,
    Report,
    StageResult,
    TargetState,
    delta,
)
from ci_migrate.stages.base import Run, bare_schema, heads_of, show_heads


def run_stage(run: Run, report: Report) -> StageResult:
    """Compare; repair nothing."""
    plan, evidence = report.plan, report.evidence
    assert plan is not None
    heads = heads_of(run.database, plan)
    planned = tuple(c.to_heads for c in plan.contexts)
    if heads != planned:
        message = f"The target is at {show_heads(heads)} instead of {show_heads(planned)}."
        return _failed(message)
    if plan.direction is Direction.STAMP and run.ledger is not None:
        return _stamped(run, plan)
    if evidence is None or run.ledger is None:
        return StageResult(
            stage="verify", outcome=Outcome.PASSED, message="Heads are right; there was no dry run to compare with.",
            state=TargetState.MIGRATED,
        )  # fmt: skip
    record = run.ledger.run(run.id)
    before = record.before if record is not None and record.before is not None else evidence.before
    now = Fingerprint.of(bare_schema(run.database, plan))
    differences = differs_from_rehearsal(before, now, evidence)
    if differences:
        message = (
            f"The schema did not change as rehearsed: {'; '.join(differences[:3])}"
            f"{f' and {len(differences) - 3} more' if len(differences) > 3 else ''}."
        )
        return _failed(message)
    return StageResult(
        stage="verify",
        outcome=Outcome.PASSED,
        message=f"At {show_heads(heads)}; {len(evidence.changes)} schema objects changed as rehearsed",
        state=TargetState.MIGRATED,
    )


def _stamped(run: Run, plan: Plan) -> StageResult:
    """A stamp leaves the schema as it was; and what it wrote can be written back by another one."""
    assert run.ledger is not None
    record = run.ledger.run(run.id)
    assert record is not None
    assert record.before is not None
    changed = sorted(delta(record.before, Fingerprint.of(bare_schema(run.database, plan))))
    if changed:
        return _failed(f"A stamp changes no schema, but something did: {', '.join(changed[:3])}.")
    was = show_heads([c.from_heads for c in plan.contexts])
    return StageResult(
        stage="verify",
        outcome=Outcome.PASSED,
        message=f"At {show_heads([c.to_heads for c in plan.contexts])}, the schema is untouched; it was at {was}",
        state=TargetState.MIGRATED,
    )


def differs_from_rehearsal(before: Fingerprint, now: Fingerprint, evidence: Evidence) -> list[str]:
    """In words, what is not as in the dry run; [] where the deltas agree.

    Texts may differ between a database and its restored copy, so changes are compared: what changed in the one
    must have changed in the other, and what differs after must already have differed before.
    """
    ours = delta(before, now)
    rehearsed = delta(evidence.before, evidence.after)
    words = [f"{name} changed, but not in the dry run" for name in sorted(ours.keys() - rehearsed.keys())]
    words += [
        f"{name} did not change, but in the dry run it did" for name in sorted(rehearsed.keys() - ours.keys())
    ]
    for name in sorted(ours.keys() & rehearsed.keys()):
        same_before = before.objects.get(name) == evidence.before.objects.get(name)
        if ours[name] != rehearsed[name] and same_before:
            words.append(f"{name} is not what it became in the dry run")
    return words


def _failed(message: str) -> StageResult:
    return StageResult(
        stage="verify",
        outcome=Outcome.FAILED,
        message=message + "\nThe migration ended without an error; nothing was repaired.",
        state=TargetState.UNKNOWN,
        diagnosis=Diagnosis(
            found="finished",
            words="the migration ended well, but the result is not the rehearsed one",
            next_commands=("ci-migrate verify", "ci-migrate backup list"),
        ),
    )
