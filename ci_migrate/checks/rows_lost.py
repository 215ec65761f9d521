"""CM601 and CM602: the migration loses rows, or turns values into NULL."""

import re
from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Direction, Evidence, Finding, Severity, Statement


def _culprit(evidence: Evidence, table: str, verbs: str) -> Statement | None:
    name = re.compile(rf"(?<!\w){re.escape(table.rpartition('.')[2])}(?!\w)")
    verb = re.compile(rf"\b({verbs})\b", re.IGNORECASE)
    return next((s for s in reversed(evidence.statements) if verb.search(s.sql) and name.search(s.sql)), None)


def find_rows(check: Check, facts: Facts) -> Iterator[Finding]:
    """Tables that have fewer rows after the dry run than before it."""
    evidence = facts.evidence
    assert evidence is not None
    if facts.plan.direction is not Direction.UPGRADE:
        return
    for table, before in sorted(evidence.row_counts_before.items()):
        after = evidence.row_counts_after.get(table)
        if after is None or after.rows >= before.rows or not (before.exact and after.exact):
            continue
        statement = _culprit(evidence, table, "DELETE|TRUNCATE|DROP|INSERT")
        yield check.finding(
            f"Table {table} had {before.rows} rows before and has {after.rows} after: {before.rows - after.rows} "
            "rows are lost. On SQLite look for a rebuild with foreign keys on (ON DELETE CASCADE).",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


def find_nulls(check: Check, facts: Facts) -> Iterator[Finding]:
    """Columns that have fewer values after the dry run than before it, in tables that kept their rows."""
    evidence = facts.evidence
    assert evidence is not None
    if facts.plan.direction is not Direction.UPGRADE:
        return
    for table, found in sorted(evidence.tables.items()):
        if found.before is None or found.after is None or found.after.rows < found.before.rows:
            continue
        for column, before in sorted(found.before.columns.items()):
            after = found.after.columns.get(column)
            if after is not None and after.values < before.values:
                statement = _culprit(evidence, table, "UPDATE|INSERT|ALTER")
                yield check.finding(
                    f"Column {table}.{column} had {before.values} values before and has {after.values} after: "
                    f"{before.values - after.values} became NULL.",
                    revision=statement.revision if statement else None,
                    file=statement.file if statement else None,
                    line=statement.line if statement else None,
                )


ROWS_LOST = Check("CM601", "rows-lost", Severity.ERROR, measured=True, find=find_rows)
VALUES_LOST = Check("CM602", "values-lost", Severity.ERROR, measured=True, find=find_nulls)
