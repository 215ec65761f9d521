"""CM403 and CM404: what a downgrade loses, and whether it leads to where its revision was."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.blamed import Blamed
from ci_migrate.checks.dropped_with_rows import columns_gone, tables_gone
from ci_migrate.checks.rows_lost import rows_gone, values_gone
from ci_migrate.model import Direction, Evidence, Finding, Severity, Statement, list_some, plural

SHOWN = 3


@with_evidence
def find_losses(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Tables and columns that go with what is in them, rows and values that go out of those that stay."""
    if facts.plan.direction is not Direction.DOWNGRADE:
        return
    for words, statement in _losses(facts, evidence):
        yield check.finding(
            f"The downgrade loses {words}.",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


def _losses(facts: Facts, evidence: Evidence) -> Iterator[tuple[str, Statement | None]]:
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    for table, rows, statement in tables_gone(facts, evidence, blamed):
        yield f"table {table} with {plural(rows, 'row')}", statement
    for column, values, places, statement in columns_gone(evidence, blamed):
        if not places:
            yield f"column {column} with {plural(values, 'value')}", statement
    for table, before, after, statement, _ in rows_gone(evidence, blamed):
        yield f"{before - after:,} of {plural(before, 'row')} of table {table}", statement
    for gone in values_gone(evidence, blamed):
        yield f"{gone.lost:,} of {plural(gone.before, 'value')} of column {gone.column}", gone.statement


def find_elsewhere(check: Check, facts: Facts) -> Iterator[Finding]:
    """Objects that are not as they were at that revision, by the commit points of the run that left it."""
    if facts.plan.direction is Direction.DOWNGRADE and facts.not_as_it_was:
        words = list_some(facts.not_as_it_was, SHOWN)
        yield check.finding(
            f"The downgrade does not lead back to the schema of {facts.plan.destination}: {words}."
        )


LOSSES = Check("CM403", "downgrade-loses", Severity.ERROR, measured=True, find=find_losses, rows=True)
ELSEWHERE = Check("CM404", "downgrade-leads-elsewhere", Severity.ERROR, measured=True, find=find_elsewhere)
