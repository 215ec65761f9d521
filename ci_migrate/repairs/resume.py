"""Going on with a migration that stopped: what is committed is left out, the rest runs as it was rehearsed."""

import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ci_migrate.migrations.requests import Mode, RunRequest, Skip
from ci_migrate.model import Diagnosis, Evidence, Fingerprint, JournalEntry, Plan, Statement
from ci_migrate.repairs.diagnosis import begun, standing_commits, within
from ci_migrate.repairs.journalled import Rest, Watcher
from ci_migrate.run.heartbeat import Heartbeat
from ci_migrate.run.run import Run, bare_schema, child_setup, heads_of, show_heads
from ci_migrate.run.since_last_run import differs_from_rehearsal


def why_not(run: Run, plan: Plan, evidence: Evidence | None, diagnosis: Diagnosis) -> str:
    """Why the rest can't be run; "" where it can.

    A revision of which a part is committed is run again with that part left out, statement by statement compared with
    the journal. A loop over rows may have been cut in two: what it still has to do can't be told from its statements.
    """
    if evidence is None or diagnosis.commit_point is None:
        return "it is not known how far the migration got"
    changed = [r.file for r in plan.revisions if _sha256(run.settings.project_dir / r.file) != r.sha256]
    if changed:
        return f"{changed[0]} is not the file that was rehearsed"
    entries = _journalled(run)
    undoing = [e.kind for e in entries if e.kind in ("statement", "undo", "undone")]
    if undoing and undoing[-1] == "undo":
        return "what it added is being dropped again"
    half = _half_done(evidence, diagnosis.commit_point)
    if half is None:
        return ""
    revision = half[1]
    part = [
        s
        for s in _of(evidence, half)
        if s.position <= evidence.commit_points[diagnosis.commit_point - 1].statements
    ]
    if len(_digests(entries, half, diagnosis.commit_point)) < sum(s.repeats == 1 for s in part):
        return f"the journal does not hold what was sent of revision {revision}"
    if part and max(part, key=lambda s: s.position).repeats > 1:
        return f"revision {revision} stopped after a loop over rows, which may not have come to its end"
    return ""


def resume(run: Run, plan: Plan, evidence: Evidence, diagnosis: Diagnosis, before: Fingerprint) -> list[str]:
    """Run the rest, journalled as before; returns in words what is not as rehearsed then."""
    assert run.ledger is not None
    assert diagnosis.commit_point is not None
    commit_point = diagnosis.commit_point
    rest = Rest.of(plan, evidence, commit_point)
    half = _half_done(evidence, commit_point)
    rehearsed = rest.rehearsed
    if half and rehearsed is not None:
        done = evidence.commit_points[commit_point - 1].statements
        rehearsed = tuple(
            s for s in rehearsed if (s.context, s.revision) != half or s.position > done or s.repeats > 1
        )
    entries = _journalled(run)
    sent = _digests(entries, half, commit_point) if half else []
    request = RunRequest(
        setup=child_setup(run, "migrate"),
        mode=Mode.MIGRATE,
        contexts=rest.contexts,
        skip=Skip(context=half[0], revision=half[1], digests=tuple(sent)) if half and sent else None,
    )
    journal = run.ledger.journal(run.subject)
    try:
        resumed = JournalEntry(
            kind="resumed",
            position=len(sent),
            context=half[0] if half else 0,
            revision=half[1] if half else None,
            at=datetime.now(UTC),
        )
        journal.append(*_lost_commits(entries, evidence, commit_point), resumed)
        watcher = Watcher(run, plan, rehearsed, journal, time.monotonic())
        heart = Heartbeat(run, run.database)
        ended = watcher.unmasked(run.workers.run(request, heart.around(watcher.handle), tick=heart.beat))
        watcher.flush()
    finally:
        journal.close()
    if not ended.ok:
        return [ended.words]
    heads, planned = heads_of(run.database, plan), tuple(c.to_heads for c in plan.contexts)
    if heads != planned:
        return [f"the target is at {show_heads(heads)} instead of {show_heads(planned)}"]
    return differs_from_rehearsal(before, bare_schema(run.database, plan), evidence)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


Ran = tuple[int, str | None]
"""A revision in one version table of the plan, by its number; None is what env.py itself sends."""


def _of(evidence: Evidence, ran: Ran) -> list[Statement]:
    return [s for s in evidence.statements if (s.context, s.revision) == ran]


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


def _journalled(run: Run) -> tuple[JournalEntry, ...]:
    assert run.ledger is not None
    with run.ledger.journal(run.subject) as journal:
        return journal.entries()


def sent_of(run: Run, ran: Ran) -> list[str]:
    """The digests of all that was sent of a revision in its last try."""
    entries = _journalled(run)
    return _digests(entries, ran)


def _digests(entries: Sequence[JournalEntry], ran: Ran, commit_point: int | None = None) -> list[str]:
    """What the journal says was sent of a revision in its last try: all of it, or up to a commit point.

    The journal counts, not the dry run: a loop over rows that somebody added meanwhile sends more. Where the news of
    that commit was lost, it was the last thing that happened.
    """
    sent: list[str] = []
    commits, upto = 0, None
    resumed = False
    for entry in entries:
        if entry.kind == "resumed":
            same = (entry.context, entry.revision) == ran
            sent, resumed = sent[: entry.position] if same else sent, True
        elif entry.kind == "statement":
            if entry.position == 1 and not resumed:  # a try that began at the beginning
                sent, upto = [], None
            resumed = False
            if (entry.context, entry.revision) == ran:
                sent.append(entry.digest)
        elif entry.kind == "committed":
            commits += 1
            if commits == commit_point:
                upto = len(sent)
        elif entry.kind == "restored":  # what half a revision had changed is not there any more
            sent, commits, upto = [], min(commits, entry.position), None
        elif entry.kind == "undone":
            commits = min(commits, entry.position)
    return sent[:upto]


def _lost_commits(
    entries: Sequence[JournalEntry], evidence: Evidence, commit_point: int
) -> Sequence[JournalEntry]:
    """Commits that happened, or were taken back, and were never written down: with them the journal fits again."""
    known, at = len(standing_commits(entries)), datetime.now(UTC)
    if known > commit_point:
        return [JournalEntry(kind="restored", position=commit_point, context=0, at=at)]
    return [
        JournalEntry(
            kind="committed",
            position=r.statements,
            context=r.context,
            revision=r.revision,
            note="complete" if r.complete else "partial",
            at=at,
        )
        for r in evidence.commit_points[known:commit_point]
    ]
