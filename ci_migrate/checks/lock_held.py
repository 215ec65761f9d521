"""CM301: a lock keeps others from a table with rows for longer than the budget."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.checks.table_rewritten import rewritten
from ci_migrate.model import Finding, LockHeld, Severity, Statement


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """Of each table the lock that was held longest.

    A lock on the whole database (SQLite) is a warning: there is no other way to write there.
    """
    said = {(s.position, table) for s, table, lock in rewritten(facts) if s.seconds > facts.lock_budget}
    for table, (statement, lock) in sorted(_longest(facts).items()):
        if (statement.position, table) in said:  # CM302 says the same, and more
            continue
        where = f"table {table}" if table else "the database"
        yield check.finding(
            f"{lock.mode} on {where} was held for {lock.seconds or 0:.1f} s until the commit, and kept others from "
            f"{lock.blocks} (lock-budget {facts.lock_budget:g} s). {_instead(table)}",
            revision=statement.revision,
            file=statement.file,
            line=statement.line,
            severity=None if table else Severity.WARNING,
        )


def _instead(table: str) -> str:
    if not table:
        return "Fill rows in smaller revisions, or deploy while nobody writes."
    return (
        "Put what takes long into a revision of its own that takes no such lock: rows in batches, an index with "
        "postgresql_concurrently=True, a constraint with NOT VALID and VALIDATE later."
    )


def _longest(facts: Facts) -> dict[str, tuple[Statement, LockHeld]]:
    """By table; tables that were not there before, or had no rows, hinder nobody."""
    evidence = facts.evidence
    assert evidence is not None
    found: dict[str, tuple[Statement, LockHeld]] = {}
    in_use = {table for table, count in evidence.row_counts_before.items() if count.rows}
    for statement in evidence.statements:
        for lock in statement.locks:
            seconds = lock.seconds or 0
            if (
                not lock.blocks
                or seconds <= facts.lock_budget
                or not (lock.table in in_use or (in_use and not lock.table))
            ):
                continue
            if lock.table not in found or seconds > (found[lock.table][1].seconds or 0):
                found[lock.table] = (statement, lock)
    return found


CHECK = Check("CM301", "lock-held-too-long", Severity.ERROR, measured=True, find=find)
