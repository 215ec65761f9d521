"""CM304: one transaction changes many rows, and keeps each of them locked for longer than the budget."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.lock_held import too_long, transaction_end
from ci_migrate.model import Evidence, Finding, LockHeld, Severity, Statement

BATCH = 1_000
"""Rows: below that it is what an application does all the time, and what batches look like. A choice."""


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Of each table the transaction that held its rows longest.

    Nothing to say where the same transaction locked the whole table (CM301), or where that was empty before.
    """
    found: dict[str, tuple[Statement, LockHeld]] = {}
    told = {(lock.table, transaction_end(evidence, one)) for one, lock in too_long(facts, evidence)}
    for statement in evidence.statements:
        for lock in statement.locks:
            count = evidence.row_counts_before.get(lock.table)
            seconds = lock.seconds or 0
            if lock.rows < BATCH or seconds <= facts.lock_budget or count is None or not count.rows:
                continue
            if (lock.table, transaction_end(evidence, statement)) in told:
                continue
            if lock.table not in found or seconds > (found[lock.table][1].seconds or 0):
                found[lock.table] = (statement, lock)
    for table, (statement, lock) in sorted(found.items()):
        yield check.finding(
            f"One transaction changed {lock.rows:,} rows of table {table} and kept them locked for up to "
            f"{lock.seconds or 0:.1f} s until its commit: whoever writes to one of them waits for it (lock-budget "
            f"{facts.lock_budget:g} s).",
            fix="Change them in batches, each with a commit of its own: `backfill()` of ci_migrate.backfill, inside of "
            "`with op.get_context().autocommit_block():`.",
            revision=statement.revision,
            file=statement.file,
            line=statement.line,
        )


CHECK = Check("CM304", "rows-locked-too-long", Severity.WARNING, measured=True, find=find, rows=True)
