"""CM601 and CM602: the migration loses rows, or turns values into NULL."""

import re
from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.model import Direction, Evidence, Finding, Severity, Statement, plural
from ci_migrate.schema_text import mentions

_FIX = "Look for a table that is made again with foreign keys on: ON DELETE CASCADE takes the rows that point to it."


def statement_of(evidence: Evidence, table: str, verbs: str) -> Statement | None:
    """The last statement with one of these verbs (alternatives of a pattern) that names the table."""
    name = table.rpartition(".")[2]
    verb = re.compile(rf"\b({verbs})\b", re.IGNORECASE)
    return next(
        (s for s in reversed(evidence.statements) if verb.search(s.sql) and mentions(s.sql, name)), None
    )


def rows_gone(evidence: Evidence) -> Iterator[tuple[str, int, int, Statement | None]]:
    """Tables that have fewer rows after the dry run than before it, with both counts."""
    for table, before in sorted(evidence.row_counts_before.items()):
        after = evidence.row_counts_after.get(table)
        if after is not None and after.rows < before.rows and before.exact and after.exact:
            yield table, before.rows, after.rows, statement_of(evidence, table, "DELETE|TRUNCATE|DROP|INSERT")


def values_gone(evidence: Evidence) -> Iterator[tuple[str, int, int, Statement | None]]:
    """Columns that have fewer values after the dry run than before it, in tables that kept their rows."""
    for table, found in sorted(evidence.tables.items()):
        if found.before is None or found.after is None or found.after.rows < found.before.rows:
            continue
        for column, before in sorted(found.before.columns.items()):
            after = found.after.columns.get(column)
            if after is not None and after.values < before.values:
                statement = statement_of(evidence, table, "UPDATE|INSERT|ALTER")
                yield f"{table}.{column}", before.values, after.values, statement


@with_evidence
def find_rows(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Tables that have fewer rows after the dry run than before it. What a downgrade loses is CM403."""
    if facts.plan.direction is not Direction.UPGRADE:
        return
    for table, before, after, statement in rows_gone(evidence):
        yield check.finding(
            f"Table {table} had {plural(before, 'row')} before and has {after:,} after: "
            f"{before - after:,} are lost.",
            fix=_FIX if facts.plan.identity.dialect == "sqlite" else "",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


@with_evidence
def find_nulls(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Columns that have fewer values after the dry run than before it, in tables that kept their rows."""
    if facts.plan.direction is not Direction.UPGRADE:
        return
    for column, before, after, statement in values_gone(evidence):
        yield check.finding(
            f"Column {column} had {plural(before, 'value')} before and has {after:,} after: "
            f"{before - after:,} became NULL.",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


ROWS_LOST = Check("CM601", "rows-lost", Severity.ERROR, measured=True, find=find_rows)
VALUES_LOST = Check("CM602", "values-lost", Severity.ERROR, measured=True, find=find_nulls)
