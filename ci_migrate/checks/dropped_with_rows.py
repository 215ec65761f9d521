"""CM201 and CM202: a table with rows, or a column with values, goes away."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.blamed import Blamed
from ci_migrate.databases.names import column_of, counted
from ci_migrate.model import (
    ColumnContent,
    Direction,
    Evidence,
    Finding,
    Severity,
    Statement,
    TableContent,
    plural,
)

_KEEP = (
    "Stop using it in this release and drop it in the next one, or move what is in it elsewhere first. Where the loss "
    'is meant, say so in the revision: ci_migrate = {{"allow": {{"{code}": "why"}}}}'
)
_READ_NO_MORE = "Code that still reads the old column fails: deploy what reads the new one first."


def _gone(evidence: Evidence, kind: str) -> list[str]:
    prefix = kind + " "
    return [c.name[len(prefix) :] for c in evidence.changes if c.name.startswith(prefix) and c.after is None]


def _moved_table(evidence: Evidence, content: TableContent) -> bool:
    """Whether a table with the very same rows appeared: a rename."""
    return content.digest is not None and any(
        t.before is None
        and t.after is not None
        and t.after.rows == content.rows
        and t.after.columns == content.columns
        for t in evidence.tables.values()
    )


def _appeared(
    evidence: Evidence, blamed: Blamed, table: str, column: str, content: ColumnContent
) -> list[tuple[str, str]]:
    """The columns, as (table, column), in which all that a column held stands and did not before.

    Either it is all that stands there, or it came to what was there already. The sums of hashes tell that only where
    nothing else came or went; and since a few values, say of a boolean, may come to be the same by chance, statements
    must have read the column and written to the other table.
    """
    found = []
    for place, measured in evidence.tables.items():
        for name, after in (measured.after.columns if measured.after else {}).items():
            before = measured.before.columns.get(name) if measured.before else None
            if _holds(after, content):
                if not _holds(before, content):
                    found.append((place, name))
            elif _came_to(before, after, content) and blamed.carried(table, column, place):
                found.append((place, name))
    return found


def _holds(place: ColumnContent | None, content: ColumnContent) -> bool:
    """Whether a column holds what another one did, and nothing else."""
    same = place is not None and (place.held, place.held_digest) == (content.held, content.held_digest)
    return same and content.held_digest is not None


def _came_to(before: ColumnContent | None, after: ColumnContent, content: ColumnContent) -> bool:
    """Whether a column holds what another one did beside what it held before."""
    both = before.plus(content) if before is not None and before.held else None
    return both is not None and both == (after.filled, after.filled_digest)


def tables_gone(
    facts: Facts, evidence: Evidence, blamed: Blamed
) -> Iterator[tuple[str, int, Statement | None]]:
    """Tables that had rows before the dry run and do not exist after it, with their rows; not those renamed."""
    for table in _gone(evidence, "table"):
        found = counted(table, evidence.tables)
        before = found.before if found else None
        # as counted for the backup: of tables that the dry run did not watch the evidence has no rows
        count = counted(table, facts.target_rows)
        rows = count.rows if count else before.rows if before else 0
        if rows and (before is None or not _moved_table(evidence, before)):
            if evidence.without_rows and blamed.was_renamed(table):
                continue  # there are no rows that would tell
            yield table, rows, blamed.for_table(table)


def columns_gone(
    evidence: Evidence, blamed: Blamed
) -> Iterator[tuple[str, int, list[str], Statement | None]]:
    """Columns that had values before the dry run and do not exist after it, with their values; not those renamed.

    The third is where else the very same values came to stand: then nothing is lost. Empty values are none.
    """
    gone_tables = set(_gone(evidence, "table"))
    for name in _gone(evidence, "column"):
        table, column = column_of(f"column {name}")
        found = counted(table, evidence.tables)
        if table in gone_tables or found is None or found.before is None:
            continue
        content = found.before.columns.get(column)
        if content is None or not content.held:
            continue
        places = _appeared(evidence, blamed, table, column, content)
        if any(evidence.tables[place] is found and new not in found.before.columns for place, new in places):
            continue  # renamed: the very same values stand in a new column
        statement = blamed.for_column(table, column)
        yield name, content.held, [".".join(place) for place in places], statement


@with_evidence
def find_tables(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Tables that go away with rows in them. What a downgrade loses is CM403."""
    if facts.plan.direction is not Direction.UPGRADE:
        return
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    for table, rows, statement in tables_gone(facts, evidence, blamed):
        yield check.finding(
            f"Table {table} goes away with {plural(rows, 'row')} in it.",
            fix=_KEEP.format(code=check.code),
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


@with_evidence
def find_columns(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Columns that go away with values in them.

    Nothing to say of a rename; a warning where the very same values stand elsewhere now: nothing is lost.
    """
    if facts.plan.direction is not Direction.UPGRADE:
        return
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    for name, values, places, statement in columns_gone(evidence, blamed):
        message = f"Column {name} goes away with {plural(values, 'value')} in it."
        if places:
            message = f"Column {name} goes away; its {plural(values, 'value')} now stand in {places[0]}."
        yield check.finding(
            message,
            fix=_READ_NO_MORE if places else _KEEP.format(code=check.code),
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
            severity=Severity.WARNING if places else None,
        )


TABLE_DROPPED = Check("CM201", "table-dropped", Severity.ERROR, measured=True, find=find_tables)
COLUMN_DROPPED = Check("CM202", "column-dropped", Severity.ERROR, measured=True, find=find_columns, rows=True)
