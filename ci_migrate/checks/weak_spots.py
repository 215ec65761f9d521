"""CM207, CM208 and CM305: what runs without an error, and makes trouble for those who use the table afterwards."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.blamed import Blamed
from ci_migrate.databases.composite.names import bare
from ci_migrate.databases.weak_spots import WeakSpot, WeakSpotKind
from ci_migrate.model import Direction, Evidence, Finding, RowCount, Severity, Statement

MANY_ROWS = 100_000
"""From here on a foreign key without an index is worth a warning: a choice. PostgreSQL reads so many in some 10 ms."""

_NONE = RowCount(rows=0)


@with_evidence
def find_refusing(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """An error for a table that was there before; a warning for a new one, which may be meant for INSERT alone."""
    for spot, statement in _new(facts, evidence, {WeakSpotKind.REFUSES_WRITES}, ("ALTER", "DROP", "CREATE")):
        there = f"table {spot.table}" in evidence.before.objects
        yield check.finding(
            f"Table {spot.table} is published, and refuses changes now: {spot.words}.",
            fix=f"Give it a primary key, or write ALTER TABLE {bare(spot.table)} REPLICA IDENTITY USING INDEX "
            "(of a unique index without NULLs) or REPLICA IDENTITY FULL in the same revision.",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
            severity=None if there else Severity.WARNING,
        )


@with_evidence
def find_hidden(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """A warning, since it may be meant; an error where the table's owner, who migrates it, sees nothing either.

    Nothing of tables that had no rows before.
    """
    kinds = {WeakSpotKind.HIDES_ROWS, WeakSpotKind.HIDES_ROWS_FROM_OWNER}
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    for spot, statement in _new(facts, evidence, kinds, ("ALTER", "DROP")):
        rows = evidence.row_counts_before.get(blamed.was_called(spot.table), _NONE).rows
        if not rows:
            continue
        yield check.finding(
            f"Table {spot.table} has row level security and no policy: its {rows:,} rows are hidden from "
            f"{spot.words}.",
            fix=f"Make a policy in the same revision: CREATE POLICY ... ON {bare(spot.table)} TO ... USING (...).",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
            severity=Severity.ERROR if spot.kind is WeakSpotKind.HIDES_ROWS_FROM_OWNER else None,
        )


@with_evidence
def find_unindexed(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Foreign keys of large tables."""
    for spot, statement in _new(facts, evidence, {WeakSpotKind.NO_INDEX}, ("ALTER", "DROP", "CREATE")):
        rows = evidence.row_counts_after.get(spot.table, _NONE).rows
        if rows < MANY_ROWS:
            continue
        columns = ", ".join(spot.columns)
        yield check.finding(
            f"The foreign key on {spot.table} ({columns}) has no index: whoever deletes one row of {spot.words} reads "
            f"all {rows:,} rows of {spot.table}.",
            fix=f"Make an index on {bare(spot.table)} ({columns}), CONCURRENTLY on PostgreSQL.",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


def _new(
    facts: Facts, evidence: Evidence, kinds: set[WeakSpotKind], words: tuple[str, ...]
) -> Iterator[tuple[WeakSpot, Statement | None]]:
    """What an upgrade made, with the last statement that has one of these words and names the table."""
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    for spot in facts.weak_spots if facts.plan.direction is Direction.UPGRADE else ():
        if spot.kind in kinds:
            yield spot, blamed.last_saying(*words, table=spot.table)


REFUSES_WRITES = Check(
    "CM207", "published-table-refuses-changes", Severity.ERROR, measured=True, find=find_refusing
)
HIDDEN = Check("CM208", "rows-hidden", Severity.WARNING, measured=True, find=find_hidden, rows=True)
UNINDEXED = Check(
    "CM305", "foreign-key-without-index", Severity.WARNING, measured=True, find=find_unindexed, rows=True
)
