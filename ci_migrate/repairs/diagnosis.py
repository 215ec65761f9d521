"""How far did a migration get? Told from version rows, fingerprint, the commit points of the dry run, and the journal.

Heads and fingerprint tell most states apart. Rungs that only changed data look alike; there the journal says how many
commits were seen, and what may have come after the last of them is asked of the engine, or seen in the rows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ci_migrate.databases.effects import means
from ci_migrate.databases.statements import Action, actions_in
from ci_migrate.migrations.worker.tokens import dialect_of
from ci_migrate.model import (
    CommitPoint,
    Delta,
    Diagnosis,
    Direction,
    EntryKind,
    Evidence,
    Fingerprint,
    JournalEntry,
    Plan,
    Progress,
    TableContent,
    delta,
    same_change,
    show_heads,
)
from ci_migrate.run.state import named_in

Heads = tuple[tuple[str, ...], ...]
Ran = tuple[int, str | None]
"""A revision in one version table of the plan, by its number; None is what env.py itself sends."""

TAKEN_BACK = frozenset({EntryKind.RESTORED, EntryKind.UNDONE})
"""After these the work of the commits above their `position` is gone."""

SETS_NOTHING = (
    "SET", "RESET", "PRAGMA", "SHOW", "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE",
    "LOCK", "UNLOCK", "USE",
)  # fmt: skip


@dataclass(frozen=True)
class Witness:
    """Who can be asked where fingerprints look alike.

    `committed` is the engine's word on a transaction, by the id that it gave; None where it can't tell.
    `contents` reads the rows of some tables of the target.
    """

    committed: Callable[[str], bool | None] = lambda _transaction: None
    contents: Callable[[Iterable[str]], Mapping[str, TableContent]] = lambda _tables: {}


NOBODY = Witness()


def diagnose(
    plan: Plan,
    evidence: Evidence | None,
    before: Fingerprint,
    now: Fingerprint,
    heads: Heads,
    journal: Sequence[JournalEntry],
    witness: Witness = NOBODY,
) -> Diagnosis:
    """Find the one commit point that the target stands on.

    Args:
        plan: what was to run.
        evidence: what the dry run measured; None where there was none (then version rows and journal must do).
        before: fingerprint of the target before the migration, without version tables.
        now: the same, now.
        heads: the version rows now.
        journal: what the run wrote down.
        witness: asked where several commit points look like the target.
    """
    last = max((e.position for e in journal if e.kind is EntryKind.STATEMENT), default=0)
    start = tuple(c.from_heads for c in plan.contexts)
    changed = delta(before, now)
    candidates = [0] if not changed and heads == start else []
    if (
        plan.direction is Direction.STAMP
        and not changed
        and heads == tuple(c.to_heads for c in plan.contexts)
    ):
        return Diagnosis(found=Progress.FINISHED, words="the version rows are written", last_statement=last)
    if evidence is None:
        return _without_rehearsal(plan, heads, journal, last, untouched=bool(candidates))
    points = _CommitPoints(plan, evidence)
    # the heads alone would not do: a revision that commits in its middle leaves the row of the one before it
    candidates += points.matching(before, changed, heads)
    commit_point = _decide(candidates, points, journal, witness)
    if commit_point is None:
        alike = "several states of the dry run look like this"
        return _unknown(heads, last, alike if candidates else "no state of the dry run fits")
    if commit_point == 0:
        return _start(last)
    return _on_rung(plan, evidence, commit_point, heads, last)


def _on_rung(plan: Plan, evidence: Evidence, commit_point: int, heads: Heads, last: int) -> Diagnosis:
    found = evidence.commit_points[commit_point - 1]
    what = f"revision {found.revision}" if found.revision else "what env.py itself sends"
    at = show_heads(found.heads)
    if commit_point == len(evidence.commit_points) and heads == tuple(c.to_heads for c in plan.contexts):
        state, words = Progress.FINISHED, "the migration ran to its end and was committed"
    elif found.complete:
        state, words = Progress.COMMITTED, f"{what} was committed, what came after it was rolled back"
    elif not begun(evidence, found):
        state, words = Progress.COMMITTED, f"{at} was committed, what came after it was rolled back"
    elif found.backfill:
        state, words = (
            Progress.HALF,
            f"{what} was committed up to a batch of its backfill {found.backfill}, not to its end",
        )
    else:
        state = Progress.HALF
        words = f"{what} was committed up to its statement {within(evidence, commit_point)}, not to its end"
    return Diagnosis(found=state, words=words, commit_point=commit_point, last_statement=last)


def within(evidence: Evidence, commit_point: int) -> int:
    """How many statements of its own revision a commit point stands after."""
    here = evidence.commit_points[commit_point - 1]
    ours = [
        s.position for s in evidence.statements if (s.context, s.revision) == (here.context, here.revision)
    ]
    earlier = [r.statements for r in evidence.commit_points[: commit_point - 1] if r.complete]
    return here.statements - max([*earlier, min(ours, default=1) - 1])


def begun(evidence: Evidence, commit_point: CommitPoint) -> bool:
    """Whether something of a commit point's revision had been sent by then.

    A block that commits by itself commits the revisions before it: where it comes first, nothing of its own.
    """
    ours = [
        s.position
        for s in evidence.statements
        if (s.context, s.revision) == (commit_point.context, commit_point.revision)
    ]
    return commit_point.revision is None or not ours or min(ours) <= commit_point.statements


def base_of(plan: Plan, evidence: Evidence, heads: Heads, limit: int) -> int | None:
    """The highest commit point, up to `limit`, with these heads and no revision half done; None if there is none."""
    for number in range(limit, 0, -1):
        commit_point = evidence.commit_points[number - 1]
        if commit_point.heads == heads and (commit_point.complete or not begun(evidence, commit_point)):
            return number
    return 0 if heads == tuple(c.from_heads for c in plan.contexts) else None


def revisions_done(plan: Plan, evidence: Evidence, number: int) -> tuple[tuple[str, ...], ...]:
    """The revisions that a commit point has behind it, in each version table of the plan."""
    if not number:
        return tuple(() for _ in plan.contexts)
    heads = evidence.commit_points[number - 1].heads
    complete = {(r.context, r.revision) for r in evidence.commit_points[:number] if r.complete}
    up = plan.direction is Direction.UPGRADE  # then the last one that ran is a head
    found = []
    for n, context in enumerate(plan.contexts):
        behind = [
            i for i, r in enumerate(context.revisions, 1) if (n, r) in complete or (up and r in heads[n])
        ]
        found.append(context.revisions[: max(behind, default=0)])
    return tuple(found)


def _without_rehearsal(
    plan: Plan, heads: Heads, journal: Sequence[JournalEntry], last: int, *, untouched: bool
) -> Diagnosis:
    """Only the start and the end can be told, and only where no commit fell into the middle of a revision."""
    commits = standing_commits(journal)
    partly = any(e.note != "complete" for e in commits)
    if untouched and not commits:
        return _start(last)
    if heads == tuple(c.to_heads for c in plan.contexts) and commits and not partly:
        words = "the migration ran to its end and was committed (there was no dry run to compare with)"
        return Diagnosis(found=Progress.FINISHED, words=words, last_statement=last)
    return _unknown(heads, last, "there was no dry run whose steps it could be compared with")


def _start(last: int) -> Diagnosis:
    if last == 0:
        return Diagnosis(
            found=Progress.NOT_STARTED, words="no statement was sent", commit_point=0, last_statement=0
        )
    sent = "1 statement was sent" if last == 1 else f"{last} statements were sent"
    return Diagnosis(
        found=Progress.ROLLED_BACK, words=f"{sent} and rolled back", commit_point=0, last_statement=last
    )


def _unknown(heads: Heads, last: int, why: str) -> Diagnosis:
    at = show_heads(heads)
    return Diagnosis(
        found=Progress.UNKNOWN, words=f"the target says it is at {at}, but {why}", last_statement=last
    )


class _CommitPoints:
    """The commit points of a dry run; 0 is the ground."""

    def __init__(self, plan: Plan, evidence: Evidence) -> None:
        self.evidence = evidence
        self.commit_points = evidence.commit_points
        self.start = tuple(c.from_heads for c in plan.contexts)
        self.version_tables = [c.version_table.name for c in plan.contexts]
        self.dialect = dialect_of(plan.identity.dialect)

    def matching(self, before: Fingerprint, changed: Delta, heads: Heads) -> list[int]:
        """The commit points whose heads and whose changes since the start are those of the target."""
        found = []
        total: Delta = {}
        for number, commit_point in enumerate(self.commit_points, start=1):
            total.update(commit_point.delta)
            if (
                commit_point.heads == heads
                and self.ground(number) == number
                and same_change(changed, total, before, self.evidence.before)
            ):
                found.append(number)
        return found

    def ground(self, number: int) -> int:
        """The lowest commit point that is the same state: a commit that only made a version table changed nothing."""
        while number and self._changed_nothing(number):
            number -= 1
        return number

    def _changed_nothing(self, number: int) -> bool:
        commit_point, heads, statements = self.commit_points[number - 1], self.start, 0
        if number > 1:
            heads, statements = (
                self.commit_points[number - 2].heads,
                self.commit_points[number - 2].statements,
            )
        return (
            commit_point.revision is None
            and not commit_point.delta
            and commit_point.heads == heads
            and all(
                all(self._is_bookkeeping(action) for action in actions_in(s.sql, self.dialect))
                for s in self.evidence.statements
                if statements < s.position <= commit_point.statements
            )
        )

    def _is_bookkeeping(self, action: Action) -> bool:
        """Whether it is about Alembic's own tables, or about the session."""
        own = [any(means(written, name) for name in self.version_tables) for written in action.tables]
        return all(own) if own else action.starts(*SETS_NOTHING)

    def reached(self, commits: Sequence[JournalEntry]) -> int | None:
        """The commit point of the last commit that was written down; None where they are not those of the dry run."""
        if len(commits) > len(self.commit_points):
            return None
        same = all(
            (entry.revision, entry.context, entry.note == "complete")
            == (commit_point.revision, commit_point.context, commit_point.complete)
            for entry, commit_point in zip(commits, self.commit_points, strict=False)
        )
        return len(commits) if same else None

    def too_far(self, number: int, sent: int) -> bool:
        """Whether more statements lead to a commit point than were sent since the one before it. Loops tell nothing."""
        if number > len(self.commit_points):
            return True
        below = self.commit_points[number - 2].statements if number > 1 else 0
        commit_point = self.commit_points[number - 1]
        between = [s for s in self.evidence.statements if below < s.position <= commit_point.statements]
        looped = any(s.loops for s in between) or len(between) != commit_point.statements - below
        return not looped and sent < len(between)


def rows_on(evidence: Evidence, number: int) -> Mapping[str, TableContent | None]:
    """The rows on a commit point, 0 being the ground; {} where the dry run did not keep them."""
    if number:
        return evidence.commit_points[number - 1].contents
    if not evidence.commit_points or not evidence.commit_points[-1].contents:
        return {}
    ground: dict[str, TableContent | None] = dict(evidence.commit_points[-1].contents)
    return ground | {table: e.before for table, e in evidence.tables.items()}


def standing_commits(journal: Sequence[JournalEntry]) -> list[JournalEntry]:
    """The commits whose work is there: not those after which rows were put back, or objects dropped again.

    All batches of a backfill are one, as they are one commit point.
    """
    found: list[JournalEntry] = []
    for entry in journal:
        if entry.kind is EntryKind.COMMITTED:
            if not entry.is_next_batch(found[-1] if found else None):
                found.append(entry)
        elif entry.kind in TAKEN_BACK:
            del found[entry.position :]
    return found


def sent_of(entries: Sequence[JournalEntry], ran: Ran, commit_point: int | None = None) -> list[str]:
    """The digests that the journal says were sent of a revision in its last try: all, or up to a commit point.

    The journal counts, not the dry run: a loop over rows that somebody added meanwhile sends more. Where the news of
    that commit was lost, it was the last thing that happened.
    """
    sent: list[str] = []
    commits, upto = 0, None
    resumed, last = False, None
    for entry in entries:
        if entry.kind is EntryKind.RESUMED:
            same = (entry.context, entry.revision) == ran
            sent, resumed = sent[: entry.position] if same else sent, True
        elif entry.kind is EntryKind.STATEMENT:
            if entry.position == 1 and not resumed:  # a try that began at the beginning
                sent, upto = [], None
            resumed = False
            # a backfill knows by itself what it has left
            if (entry.context, entry.revision) == ran and not entry.backfill:
                sent.append(entry.digest)
        elif entry.kind is EntryKind.COMMITTED:
            commits, last = commits + (not entry.is_next_batch(last)), entry
            if commits == commit_point:
                upto = len(sent)
        elif entry.kind is EntryKind.RESTORED:  # what half a revision had changed is not there any more
            sent, commits, upto = [], min(commits, entry.position), None
        elif entry.kind is EntryKind.UNDONE:
            commits = min(commits, entry.position)
    return sent[:upto]


def _decide(
    candidates: list[int], points: _CommitPoints, journal: Sequence[JournalEntry], witness: Witness
) -> int | None:
    """The one candidate that journal, engine and rows leave over; None where that can't be told."""
    if len(candidates) > 1:
        possible = _possible(points, journal, witness)
        if possible is not None:
            candidates = [c for c in candidates if c in possible]
    # where nobody can tell whether a backfill has begun: it has. What goes on is the same, and nothing goes back
    candidates = [c for c in candidates if c + 1 not in candidates or not points.commit_points[c].backfill]
    if len(candidates) > 1:
        candidates = _by_rows(candidates, points, witness)
    if len(candidates) > 1 and _same_rows(candidates, points.evidence, witness):
        candidates = candidates[:1]
    return candidates[0] if len(candidates) == 1 else None


def _possible(points: _CommitPoints, journal: Sequence[JournalEntry], witness: Witness) -> set[int] | None:
    """The commit points where the journal allows the target to be; None where it does not fit the dry run."""
    reached = points.reached(standing_commits(journal))
    if reached is None:
        return None
    after = _since_last_commit(journal)
    backfill = points.commit_points[reached - 1].backfill if reached else ""
    if backfill:  # a batch that was under way: committed or not, the commit point is the same
        after = [e for e in after if e.backfill != backfill]
        if not any(e.kind in (EntryKind.STATEMENT, EntryKind.COMMITTING, EntryKind.RESTORING) for e in after):
            return {points.ground(reached)}
    sent = sum(e.kind is EntryKind.STATEMENT for e in after)
    asked = [e for e in after if e.kind is EntryKind.COMMITTING]
    here, next_ = {points.ground(reached)}, set[int]()
    if reached < len(points.commit_points) and not points.too_far(reached + 1, sent):
        next_ = (
            {points.ground(reached + 1)} if asked or not points.commit_points[reached].announced else set()
        )
    back = {points.ground(e.position) for e in after if e.kind is EntryKind.RESTORING}  # begun: done or not
    if asked:  # the answer to a commit was lost: the engine knows
        told = witness.committed(asked[-1].note) if asked[-1].note else None
        if told is not None:
            return back | (next_ if told else here)
    return back | here | next_


def _since_last_commit(journal: Sequence[JournalEntry]) -> Sequence[JournalEntry]:
    """What the last try wrote after its last commit. A try begins with statement 1."""
    for number in range(len(journal) - 1, -1, -1):
        entry = journal[number]
        if entry.kind is EntryKind.COMMITTED or entry.kind in TAKEN_BACK:
            return journal[number + 1 :]
        if entry.kind is EntryKind.STATEMENT and entry.position == 1:
            return journal[number:]
    return journal


def _by_rows(candidates: list[int], points: _CommitPoints, witness: Witness) -> list[int]:
    """The candidates whose rows, in the tables where they differ, are those of the target."""
    expected = {c: rows_on(points.evidence, c) for c in candidates}
    whole = all(expected.values())
    if not whole:
        expected = {c: _rows_of_half(points.evidence, c) for c in candidates}
    if not all(expected.values()):
        return candidates
    tables = {
        table
        for rows in expected.values()
        for table in rows
        if len({repr(other.get(table)) for other in expected.values()}) > 1
    }
    if not whole and any(tables - rows.keys() for rows in expected.values()):
        return candidates  # changed and changed back: nobody knows what such a table held at the start
    found = witness.contents(tables)
    if any(content.rows and content.digest is None for content in found.values()):
        return candidates  # too large to be read: counts alone prove nothing
    return [c for c in candidates if all(expected[c].get(t) == found.get(t) for t in tables)]


def _rows_of_half(evidence: Evidence, number: int) -> dict[str, TableContent | None]:
    """The rows within a revision, of the tables that the run changes; {} where that is not known."""
    changed = evidence.commit_points[number - 1].changed if number else None
    if changed is None:
        return {}
    return {table: e.before for table, e in evidence.tables.items()} | dict(changed)


def _same_rows(candidates: list[int], evidence: Evidence, witness: Witness) -> bool:
    """Whether all candidates are the state that the target is in, since what lies between them changed no rows.

    On the copy it did not; here it may have, where somebody wrote meanwhile. So the tables that it names are looked
    at: they must hold what they held on the copy.
    """
    first, last = candidates[0], candidates[-1]
    expected = _rows_of_half(evidence, first)
    if not expected or any(_rows_of_half(evidence, c) != expected for c in range(first + 1, last + 1)):
        return False
    below, above = (evidence.commit_points[c - 1].statements for c in (first, last))
    between = [s.sql for s in evidence.statements if below < s.position <= above]
    if len(between) != above - below:  # one of a loop, of which the first is kept
        between += [s.sql for s in evidence.statements if s.loops]
    named = named_in(evidence.row_counts_before, between)
    found = witness.contents(named)
    return named <= expected.keys() and all(
        found.get(t) == expected[t] and (expected[t] is None or found[t].digest is not None) for t in named
    )
