"""CM302: all rows of a table are rewritten while others can't reach it."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.model import Evidence, Finding, LockHeld, Severity, Statement


def rewritten(evidence: Evidence) -> Iterator[tuple[Statement, str, LockHeld]]:
    """Statements that wrote a table with rows anew, the table, and a lock that kept others from it meanwhile."""
    held: dict[str, LockHeld] = {}
    for statement in evidence.statements:
        held.update({lock.table: lock for lock in statement.locks if lock.blocks})
        for table in statement.rewrites:
            count = evidence.row_counts_before.get(table)
            if count is not None and count.rows and table in held:
                yield statement, table, held[table]


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """An error above the budget; else an information, since it grows with the table."""
    for statement, table, lock in rewritten(evidence):
        rows = evidence.row_counts_before[table].rows
        long = statement.seconds > facts.lock_budget
        yield check.finding(
            f"Table {table} with {rows:,} rows was rewritten in {statement.seconds:.1f} s under {lock.mode}, which "
            f"keeps others from {lock.blocks}"
            + (f" (lock-budget {facts.lock_budget:g} s)." if long else "."),
            fix="Add a new column instead, fill it in batches (ci_migrate.backfill), and switch over in a later "
            "release."
            if long
            else "",
            revision=statement.revision,
            file=statement.file,
            line=statement.line,
            severity=None if long else Severity.INFO,
        )


CHECK = Check("CM302", "table-rewritten", Severity.ERROR, measured=True, find=find, rows=True)
