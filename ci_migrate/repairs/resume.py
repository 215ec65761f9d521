"""`repair --forward`: run what is left of a migration that stopped, and leave out what is committed."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from ci_migrate.errors import RefusedError
from ci_migrate.migrations.requests import RunRequest, Skip, migrate_request
from ci_migrate.model import (
    BACKFILL,
    EntryKind,
    Evidence,
    JournalEntry,
    NextCommand,
    Progress,
    Statement,
    TargetState,
    repair_subject,
    show_heads,
)
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.context import AS_REHEARSED, RepairContext
from ci_migrate.repairs.diagnosis import Ran, begun, sent_of, standing_commits, within
from ci_migrate.repairs.watcher import Rest, Watcher
from ci_migrate.run.inputs import expected_inputs
from ci_migrate.run.patience import Patience
from ci_migrate.run.run import child_setup
from ci_migrate.run.since_last_run import differs_from_rehearsal

STOPPED = frozenset({Progress.NOT_STARTED, Progress.ROLLED_BACK, Progress.COMMITTED, Progress.HALF})
"""What is found where there may be something left to run."""


def fits(context: RepairContext) -> str | None:
    """Somebody asked for it, the place is known, and what is left is what was rehearsed."""
    if not context.run.forward or context.diagnosis.found not in STOPPED or why_not(context):
        return None
    return "run what is left of the migration, as rehearsed"


def mend(context: RepairContext) -> Repaired:
    """Go on from the commit point; then heads and schema must be those that the dry run led to."""
    differences = resume(context)
    if differences:
        return Repaired(state=TargetState.UNKNOWN, words=f"Going on failed: {'; '.join(differences[:3])}.")
    at = show_heads([c.to_heads for c in context.plan.contexts])
    return Repaired(
        state=TargetState.MIGRATED,
        words=f"The migration went on from where it had stopped, and is complete: the target is at {at}, "
        "with the schema of the dry run.",
        proof=AS_REHEARSED,
    )


def explain(context: RepairContext) -> str:
    """Why it can't go on, where somebody asked for that."""
    reason = why_not(context) if context.run.forward else ""
    return f"It can't go on: {reason}." if reason else ""


def offer(context: RepairContext) -> NextCommand | None:
    """That what is left can be run."""
    if context.diagnosis.found not in STOPPED or why_not(context):
        return None
    return NextCommand(
        command=f"ci-migrate repair --forward --target {context.run.settings.target}",
        why="runs what is left of the migration, as rehearsed",
    )


def why_not(context: RepairContext) -> str:
    """Why the rest can't be run; "" where it can.

    A revision of which a part is committed is run again with that part left out, statement by statement compared with
    the journal. A loop over rows may have been cut in two: what it still has to do can't be told from its statements.
    A batched backfill has a checkpoint of its own, and goes on from there.
    """
    evidence, commit_point = context.evidence, context.diagnosis.commit_point
    if evidence is None or commit_point is None:
        return "it is not known how far the migration got"
    if commit_point == 0 and context.as_before.wrong:
        return f"{context.as_before.wrong[0]}: what is there already would be done once more"
    if context.changed_file:
        return f"{context.changed_file} is not the file that was rehearsed"
    entries = context.read_journal()
    undoing = [e.kind for e in entries if e.kind in (EntryKind.STATEMENT, EntryKind.UNDO, EntryKind.UNDONE)]
    if undoing and undoing[-1] is EntryKind.UNDO:
        return "what it added is being dropped again"
    half = _half_done(evidence, commit_point)
    if half is None:
        return ""
    revision = half[1]
    part = [
        s
        for s in evidence.statements
        if (s.context, s.revision) == half
        and s.position <= evidence.commit_points[commit_point - 1].statements
    ]
    if len(sent_of(entries, half, commit_point)) < sum(not s.loops for s in part):
        return f"the journal does not hold what was sent of revision {revision}"
    last = max(part, key=lambda s: s.position, default=None)
    if last is not None and last.loops and not last.backfill:
        return f"revision {revision} stopped after a loop over rows, which may not have come to its end"
    return ""


def resume(context: RepairContext) -> list[str]:
    """Run the rest, journalled as before; returns in words what is not as rehearsed then.

    Raises:
        RefusedError: it is not known what is left.
    """
    run, plan, evidence = context.run, context.plan, context.evidence
    commit_point = context.diagnosis.commit_point
    if evidence is None or commit_point is None:
        raise RefusedError("It is not known how far the migration got.")
    rest = Rest.of(plan, evidence, commit_point)
    half = _half_done(evidence, commit_point)
    entries = context.read_journal()  # before RESUMED is in it, which says that what follows is another try
    sent = sent_of(entries, half, commit_point) if half else []
    request = RunRequest(
        setup=child_setup(run, "migrate", inputs=expected_inputs(run.settings, plan, evidence)),
        contexts=rest.contexts,
        skip=Skip(context=half[0], revision=half[1], digests=tuple(sent)) if half and sent else None,
    )
    request = migrate_request(context.permit_for("forward"), repair_subject(run.subject, "forward"), request)
    with run.ledger.journal(run.subject) as journal:
        resumed = JournalEntry(
            kind=EntryKind.RESUMED,
            position=len(sent),
            context=half[0] if half else 0,
            revision=half[1] if half else None,
            at=datetime.now(UTC),
        )
        journal.append(*_lost_commits(entries, evidence, commit_point), resumed)
        rehearsed = _without_committed(rest.rehearsed, evidence, half, commit_point)
        watcher = Watcher(
            run, plan, rehearsed, journal, time.monotonic(), Patience(run), committed=commit_point > 0
        )
        ended = watcher.migrate(request)
    if watcher.other:
        run.ledger.audit("other values", run.subject, statements=watcher.other[:20], count=len(watcher.other))
    if not ended.ok:
        return [ended.words]
    heads, planned = context.read_heads(), tuple(c.to_heads for c in plan.contexts)
    if heads != planned:
        return [f"the target is at {show_heads(heads)} instead of {show_heads(planned)}"]
    return differs_from_rehearsal(context.before, context.read_schema(), evidence)


def _without_committed(
    rehearsed: Sequence[Statement] | None, evidence: Evidence, half: Ran | None, commit_point: int
) -> tuple[Statement, ...] | None:
    """The rehearsed statements without those of the half revision that are committed; loops may go on."""
    if rehearsed is None:
        return None
    done = evidence.commit_points[commit_point - 1].statements if half else 0
    return tuple(s for s in rehearsed if (s.context, s.revision) != half or s.position > done or s.loops)


def _half_done(evidence: Evidence, commit_point: int) -> Ran | None:
    """The revision of which only a part is committed; None where there is none."""
    if not commit_point:
        return None
    here = evidence.commit_points[commit_point - 1]
    if (
        here.complete
        or here.revision is None
        or not begun(evidence, here)
        or not within(evidence, commit_point)
    ):
        return None
    return here.context, here.revision


def _lost_commits(
    entries: Sequence[JournalEntry], evidence: Evidence, commit_point: int
) -> Sequence[JournalEntry]:
    """Commits that happened, or were taken back, and were never written down: with them the journal fits again."""
    known, at = len(standing_commits(entries)), datetime.now(UTC)
    if known > commit_point:
        return [JournalEntry(kind=EntryKind.RESTORED, position=commit_point, context=0, at=at)]
    return [
        JournalEntry(
            kind=EntryKind.COMMITTED,
            position=r.statements,
            context=r.context,
            revision=r.revision,
            note=BACKFILL + r.backfill if r.backfill else "complete" if r.complete else "partial",
            at=at,
        )
        for r in evidence.commit_points[known:commit_point]
    ]


REPAIR = Repair("forward", 5, fits, mend, approval="forward", explain=explain, offer=offer)
