"""CM601 and CM602: the migration loses rows, or turns values into NULL or something empty."""

from collections.abc import Iterator
from typing import NamedTuple

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.blamed import Blamed
from ci_migrate.migrations.worker.tokens import SQLITE, dialect_of
from ci_migrate.model import ColumnContent, Direction, Evidence, Finding, Severity, Statement, plural

_REBUILT = "Look for a table that is made again with foreign keys on: ON DELETE CASCADE takes the rows that point to it"
_TAKEN_ALONG = (
    "No statement takes rows from it by name: look for ON DELETE CASCADE, a trigger, or a function that does"
)

_EMPTY = (
    'A text of white space, {}, [], "" and the null of JSON count as empty. Look at what the migration writes into '
    "rows for which it finds no value."
)


def rows_gone(evidence: Evidence, blamed: Blamed) -> Iterator[tuple[str, int, int, Statement | None, bool]]:
    """Tables that have fewer rows after the dry run than before it, with both counts.

    With the statement that took them, and whether it names the table.
    """
    for table, before in sorted(evidence.row_counts_before.items()):
        after = evidence.row_counts_after.get(table)
        if after is not None and after.rows < before.rows and before.exact and after.exact:
            yield table, before.rows, after.rows, *blamed.for_rows(table, before.rows - after.rows)


class ValuesGone(NamedTuple):
    """A column that holds less than before: in how many rows it did, and does, and what the others hold now."""

    column: str
    before: int
    after: int
    lost: int  # without those that went with their rows
    became: str
    statement: Statement | None


def values_gone(evidence: Evidence, blamed: Blamed) -> Iterator[ValuesGone]:
    """Columns of which more values are gone after the dry run than rows of their table."""
    for table, found in sorted(evidence.tables.items()):
        if found.before is None or found.after is None:
            continue
        rows = max(0, found.before.rows - found.after.rows)
        for column, before in sorted(found.before.columns.items()):
            after = found.after.columns.get(column)
            if after is not None and before.held - after.held > rows:
                lost = before.held - after.held - rows
                became = _became(before, after, rows)
                yield ValuesGone(
                    f"{table}.{column}",
                    before.held,
                    after.held,
                    lost,
                    became,
                    blamed.for_values(table, column),
                )


def _became(before: ColumnContent, after: ColumnContent, rows: int) -> str:
    if before.values - after.values <= 0:
        return "empty"
    # something empty may have become NULL as well: then it can't be told which did
    only_null = before.filled is None or before.values - after.values == before.held - after.held
    return "NULL" if only_null and not rows else "NULL or empty"


@with_evidence
def find_rows(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Tables that have fewer rows after the dry run than before it. What a downgrade loses is CM403."""
    if facts.plan.direction is not Direction.UPGRADE:
        return
    engine = facts.plan.identity.dialect
    advice = _REBUILT if dialect_of(engine) == SQLITE else _TAKEN_ALONG
    for table, before, after, statement, by_name in rows_gone(evidence, Blamed(evidence, engine)):
        yield check.finding(
            f"Table {table} had {plural(before, 'row')} before and has {after:,} after: "
            f"{before - after:,} are lost.",
            fix="" if by_name else f"{advice}.",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


@with_evidence
def find_values(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Columns of which more values are gone after the dry run than rows of their table."""
    if facts.plan.direction is not Direction.UPGRADE:
        return
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    for column, before, after, lost, became, statement in values_gone(evidence, blamed):
        rest = "" if lost == before - after else f", {before - after - lost:,} with their rows"
        yield check.finding(
            f"Column {column} had {plural(before, 'value')} before and has {after:,} after: "
            f"{lost:,} became {became}{rest}.",
            fix=_EMPTY if became != "NULL" else "",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


ROWS_LOST = Check("CM601", "rows-lost", Severity.ERROR, measured=True, find=find_rows, rows=True)
VALUES_LOST = Check("CM602", "values-lost", Severity.ERROR, measured=True, find=find_values, rows=True)
