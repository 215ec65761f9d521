"""CM301: a lock keeps others from a table with rows for longer than the budget."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.table_rewritten import rewritten
from ci_migrate.model import Evidence, Finding, LockHeld, ObjectKind, Severity, Statement

PATIENCE = 10
"""Times the budget: what only the time between statements makes longer is no error below that."""


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Of each table the lock that was held longest.

    An error where the database itself was at work for longer than the budget meanwhile. Time between statements is the
    script's, or that of a runner which is busy with other things: up to ten times the budget it makes a warning, and so
    does a lock on the whole database (SQLite), since there is no other way to write there.
    """
    said = {(s.position, table) for s, table, lock in rewritten(evidence) if s.seconds > facts.lock_budget}
    for table, (statement, lock) in sorted(longest(facts, evidence).items()):
        if (statement.position, table) in said:  # CM302 says the same, and more
            continue
        kind = _kind(evidence, table)
        where = f"{kind} {table}" if table else "the database"
        held, work = lock.seconds or 0, _work(evidence, statement)
        error = bool(table) and (work > facts.lock_budget or held > PATIENCE * facts.lock_budget)
        yield check.finding(
            f"{lock.mode} on {where} was held for {held:.1f} s until the commit ({min(work, held):.1f} s of it in "
            f"statements), and kept others from {lock.blocks} (lock-budget {facts.lock_budget:g} s).",
            fix=_instead(table, kind),
            revision=statement.revision,
            file=statement.file,
            line=statement.line,
            severity=None if error else Severity.WARNING,
        )


def _work(evidence: Evidence, taker: Statement) -> float:
    """Seconds that statements took from the one that took the lock to the commit, each with all its rounds."""
    end = transaction_end(evidence, taker)
    return sum(
        s.seconds
        for s in evidence.statements
        if s.position >= taker.position and (end is None or s.position <= end)
    )


def transaction_end(evidence: Evidence, statement: Statement) -> int | None:
    """How many statements were sent when its transaction ended; None where nothing tells."""
    commits = (r.statements for r in evidence.commit_points if r.statements >= statement.position)
    return next(commits, None)


def _kind(evidence: Evidence, table: str) -> str:
    """A table, or what has no rows that were counted and yet somebody who waits: a view, or the whole database."""
    kinds = ("materialized view", ObjectKind.VIEW)
    if not table:
        return "database"
    return next((kind for kind in kinds if f"{kind} {table}" in evidence.before.objects), ObjectKind.TABLE)


def _instead(table: str, kind: str) -> str:
    if not table:
        return "Fill rows in batches (ci_migrate.backfill), or deploy while nobody writes."
    if kind == "materialized view":
        return (
            "REFRESH MATERIALIZED VIEW CONCURRENTLY lets others read meanwhile. It needs a unique index on columns of "
            "the view, without WHERE."
        )
    if kind == ObjectKind.VIEW:
        return "Make the view anew in a revision of its own, with a transaction of its own."
    return (
        "Put what takes long into a revision of its own that takes no such lock: rows in batches "
        "(ci_migrate.backfill), an index with postgresql_concurrently=True, a constraint with NOT VALID and VALIDATE "
        "later."
    )


def longest(facts: Facts, evidence: Evidence) -> dict[str, tuple[Statement, LockHeld]]:
    """By table or view."""
    found: dict[str, tuple[Statement, LockHeld]] = {}
    for statement, lock in too_long(facts, evidence):
        if lock.table not in found or (lock.seconds or 0) > (found[lock.table][1].seconds or 0):
            found[lock.table] = (statement, lock)
    return found


def too_long(facts: Facts, evidence: Evidence) -> Iterator[tuple[Statement, LockHeld]]:
    """Locks that keep others out; tables that were not there before, or had no rows, hinder nobody."""
    in_use = {table for table, count in evidence.row_counts_before.items() if count.rows}
    for statement in evidence.statements:
        for lock in statement.locks:
            used = lock.table in in_use or (in_use and _kind(evidence, lock.table) != ObjectKind.TABLE)
            if lock.blocks and (lock.seconds or 0) > facts.lock_budget and used:
                yield statement, lock


CHECK = Check("CM301", "lock-held-too-long", Severity.ERROR, measured=True, find=find, rows=True)
