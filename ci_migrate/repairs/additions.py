"""What a revision that stopped half-way has added, and whether it did nothing else.

Only additions can be taken back by difference: a column that was dropped or renamed would come back empty, and the
schema would look right.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ci_migrate.databases.names import column_of, parts
from ci_migrate.model import (
    CommitPoint,
    Delta,
    Diagnosis,
    Evidence,
    Fingerprint,
    ObjectKind,
    Plan,
    Schema,
    Statement,
    delta,
    names_of,
    same_change,
    sha256_hex,
    split_key,
)
from ci_migrate.repairs.diagnosis import Heads, base_of
from ci_migrate.repairs.statements import writes_to
from ci_migrate.schema_text import mentions

UNFINISHED = " INVALID"
"""How the definition of an index ends that was never completed (PostgreSQL, CREATE INDEX CONCURRENTLY)."""

TEMPORARY = "_alembic_tmp_"
"""What Alembic's batch mode calls the table that it copies another one into."""


@dataclass(frozen=True)
class Additions:
    """What is to be dropped, and where that leads; or why not.

    `commit_point` is the one that is reached (0: the start), `batches` the objects that came at a time, the newest
    first.
    """

    why_not: str = ""
    commit_point: int = 0
    batches: tuple[tuple[str, ...], ...] = ()
    statements: tuple[str, ...] = ()  # that do it, once an engine has been asked

    @property
    def names(self) -> set[str]:
        """All objects."""
        return {name for batch in self.batches for name in batch}

    @property
    def tables(self) -> set[str]:
        """The tables, as `counts` calls them."""
        return names_of(ObjectKind.TABLE, self.names)

    @property
    def columns(self) -> dict[str, set[str]]:
        """The columns of other tables, bare, by table."""
        found: dict[str, set[str]] = {}
        for table, column in (
            column_of(name) for name in self.names if split_key(name)[0] == ObjectKind.COLUMN
        ):
            if table not in self.tables:
                found.setdefault(table, set()).add(column)
        return found


@dataclass(frozen=True)
class Found:
    """The target as it stands, beside what is known of it.

    `before` is F_0, `now` the schema without version tables, `sent` tells the digests of the statements that a revision
    (with the number of its version table) had sent in its last try, in their order. `commits` is how many commits the
    journal has: what came after them may have been committed, and nobody knows.
    """

    plan: Plan
    evidence: Evidence
    diagnosis: Diagnosis
    before: Fingerprint
    now: Schema
    heads: Heads
    sent: Callable[[tuple[int, str | None]], Sequence[str]] = lambda _ran: ()
    commits: int = 0

    @property
    def certain(self) -> int:
        """The position in the rehearsal of the last statement that is known to be committed."""
        known = self.diagnosis.commit_point
        number = min(self.commits, len(self.evidence.commit_points)) if known is None else known
        return self.evidence.commit_points[number - 1].statements if number else 0


def changed_until(evidence: Evidence, number: int) -> Delta:
    """What the commit points up to one changed in the schema."""
    total: Delta = {}
    for commit_point in evidence.commit_points[:number]:
        total.update(commit_point.delta)
    return total


def additions_diff(found: Found, number: int, now: Schema) -> list[str]:
    """In words, what keeps the target from standing on a commit point."""
    changed = delta(found.before, Fingerprint.of(now))
    wanted = changed_until(found.evidence, number)
    if same_change(changed, wanted, found.before, found.evidence.before):
        return []
    effective = {n: text for n, text in wanted.items() if found.evidence.before.objects.get(n) != text}
    names = [n for n in sorted(changed.keys() | effective.keys()) if changed.get(n) != effective.get(n)]
    return [f"{name} is not as it was" for name in names] or ["the schema is not as it was"]


def find_additions(found: Found) -> Additions:
    """What is to be dropped so that the target stands on a commit point again where no revision is half done."""
    evidence, known = found.evidence, found.diagnosis.commit_point
    base = base_of(
        found.plan, evidence, found.heads, known if known is not None else len(evidence.commit_points)
    )
    if base is None:
        return Additions("the revision was half done when those before it were committed")
    done = evidence.commit_points[base - 1].statements if base else 0
    reach = _reach(found, base, done)
    commit_points = _rungs_until(evidence, base, reach)
    batches = tuple(
        batch
        for number in range(len(commit_points) - 1, -1, -1)
        if (batch := tuple(sorted(_newest(found, commit_points, number))))
    )
    added = Additions(commit_point=base, batches=batches)
    why_not = _changed_otherwise(found, base, commit_points, added) or _writes(found, added, done, reach)
    if not why_not and not batches:
        why_not = "nothing that it added is found"
    return Additions(why_not) if why_not else added


def _reach(found: Found, base: int, done: int) -> int:
    """The position in the rehearsal of the last statement that may have left something."""
    evidence, known = found.evidence, found.diagnosis.commit_point
    if known is not None:
        return evidence.commit_points[known - 1].statements if known else 0
    above = evidence.commit_points[base] if base < len(evidence.commit_points) else None
    ran = (above.context, above.revision) if above else (0, None)
    sent = found.sent(ran)
    if not sent:
        return done
    ours = [s for s in evidence.statements if s.position > done and (s.context, s.revision) == ran]
    # the whole text's is version 0.1.0's
    last = [s.position for s in ours if sent[-1] in (s.digest, sha256_hex(s.sql.encode("utf-8", "replace")))]
    return max(last or [s.position for s in ours], default=done)


def _rungs_until(evidence: Evidence, base: int, reach: int) -> Sequence[CommitPoint]:
    """The commit points above `base` that statements up to `reach` lead to."""
    below, found = evidence.commit_points[base - 1].statements if base else 0, []
    for commit_point in evidence.commit_points[base:]:
        if below >= reach:
            break
        found.append(commit_point)
        below = commit_point.statements
    return found


def _newest(found: Found, commit_points: Sequence[CommitPoint], number: int) -> set[str]:
    """The objects that this commit point was the last to make, that are there, and that were not before."""
    later: set[str] = set()
    for commit_point in commit_points[number + 1 :]:
        later |= commit_point.delta.keys()
    return {
        name
        for name, text in commit_points[number].delta.items()
        if text is not None and name not in later and name in found.now and name not in found.before.objects
    }


def _changed_otherwise(
    found: Found, base: int, commit_points: Sequence[CommitPoint], added: Additions
) -> str:
    """What is more than an addition, in words; "" for nothing."""
    evidence = found.evidence
    there = changed_until(evidence, base)
    old = {n for n in evidence.before.objects if n not in there} | {
        n for n, t in there.items() if t is not None
    }
    for commit_point in commit_points:
        for name, text in sorted(commit_point.delta.items()):
            if name in old:
                return f"{name} was {'dropped' if text is None else 'changed'} by it"
    wrong = additions_diff(found, base, {n: text for n, text in found.now.items() if n not in added.names})
    if wrong:
        return f"{wrong[0]} before it, and the dry run does not explain why"
    made = {
        name: text
        for commit_point in commit_points
        for name, text in commit_point.delta.items()
        if text is not None
    }
    for name in sorted(added.names):
        text = found.now[name].removesuffix(UNFINISHED)
        hashes = {sha256_hex(t.encode())[:16] for t in (found.now[name], text)}
        if made[name] not in hashes:
            return f"{name} is not what the dry run made"
    return ""


def _writes(found: Found, added: Additions, done: int, reach: int) -> str:
    """Which statement of the half-done part wrote into what was there before; "" for none."""
    new = {parts(table) for table in added.tables}
    kept = {parts(name) for name in names_of(ObjectKind.TABLE, found.now)} - new
    columns = {parts(table): names for table, names in added.columns.items()}
    for statement in sorted(evidence_between(found.evidence, done, reach), key=lambda s: s.position):
        if statement.backfill:  # its checkpoint would stay, and the next try would leave out what it covers
            return f"backfill {statement.backfill} has begun: the rows that it filled can't be taken back"
        what = writes_to(statement.sql, found.plan.identity.dialect)
        sure = statement.position <= found.certain
        if what is None:
            did = "did" if sure else "may have done"
            return f"what `{_short(statement)}` {did} can't be taken back"
        for table, changed in what:
            if _names(table, new) and not _names(table, kept - new):
                continue
            mine = [names for key, names in columns.items() if _names(table, {key})]
            if (
                len(mine) != 1
                or changed is None
                or not {c.lower() for c in changed} <= {c.lower() for c in mine[0]}
            ):
                wrote = "were written" if sure else "may have been written"
                unasked = "" if sure else ", of which nobody knows whether it was committed"
                return f"rows of {'.'.join(table)} {wrote} by `{_short(statement)}`{unasked}"
            if other := _other_columns(found, table, mine[0]):
                return other
    return ""


def evidence_between(evidence: Evidence, done: int, reach: int) -> list[Statement]:
    """The rehearsed statements after one position, up to another."""
    return [s for s in evidence.statements if done < s.position <= reach]


def _names(table: Sequence[str], tables: Collection[tuple[str, ...]]) -> bool:
    """Whether a name in SQL, with a schema or without, means one of these tables."""
    wanted = [p.lower() for p in table]
    return any([p.lower() for p in known][-len(wanted) :] == wanted for known in tables)


def _other_columns(found: Found, table: Sequence[str], ours: Collection[str]) -> str:
    """A trigger, or a column that changes with its row, may have written more than the statement says."""
    for name, text in found.now.items():
        if split_key(name)[0] == ObjectKind.TRIGGER and mentions(f"{name} {text}", table[-1]):
            return f"{name} may have written other rows"
    measured = [content for name, content in found.evidence.tables.items() if _names(table, {parts(name)})]
    if len(measured) != 1 or measured[0].before is None or measured[0].after is None:
        return f"it can't be told what else changed in {'.'.join(table)}"
    before, after = measured[0].before, measured[0].after
    for column, content in before.columns.items():
        if column not in ours and (content.digest is None or content != after.columns.get(column)):
            return f"column {column} of {'.'.join(table)} may have changed with it"
    return "" if before.rows == after.rows else f"rows of {'.'.join(table)} came or went"


def _short(statement: Statement) -> str:
    text = " ".join(statement.sql.split())
    return text if len(text) <= 60 else f"{text[:57]}..."
