"""CM210: what goes although no statement names it: views, triggers, checks, AUTOINCREMENT, attributes of a column."""

import re
from collections.abc import Callable, Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.databases.composite.names import bare
from ci_migrate.model import (
    Direction,
    Evidence,
    Finding,
    ObjectKind,
    SchemaChange,
    Severity,
    Statement,
    split_key,
)
from ci_migrate.schema_text import attributes

_WITH_OTHERS = re.compile(r"(?P<kind>view|materialized view|trigger|rule) (?P<name>.+)")
_UNSEEN = re.compile(r"\bEXECUTE\b|\bCALL\b|\bDROP\s+(SCHEMA|OWNED|EXTENSION|DATABASE)\b", re.IGNORECASE)
"""Statements that drop what they do not name."""
_OF_A_TYPE = re.compile(r"CHECK\s*\(\s*\W?\w+\W?\s+IN\s*\([^()]*\)\s*\)", re.IGNORECASE)
"""What SQLAlchemy's Boolean and Enum write; it goes with their type."""
_CREATES = re.compile(r"\s*CREATE\s+TABLE\b", re.IGNORECASE)
_DROPS = re.compile(r"\s*DROP\s+TABLE\b", re.IGNORECASE)
_CASCADES = re.compile(r"\bDROP\b.*\bCASCADE\b", re.IGNORECASE | re.DOTALL)
_KEPT = {
    "NOT NULL": "NOT NULL",
    "DEFAULT": "its default",
    "AUTO_INCREMENT": "AUTO_INCREMENT",
    "COMMENT": "its comment",
}
_NOTHING = ("", "DEFAULT NULL")

Lost = tuple[str, str, Severity, Statement | None]
"""What is lost, what to write instead, how bad that is, and the statement that did it."""


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """Objects that are gone after an upgrade although no statement named them."""
    if facts.plan.direction is not Direction.UPGRADE:
        return
    for change in evidence.changes:
        for look in (_with_what_was_dropped, _in_a_rebuild, _by_a_modify):
            for message, fix, severity, statement in look(evidence, change):
                yield check.finding(
                    message,
                    fix=fix,
                    severity=severity,
                    revision=statement.revision if statement else None,
                    file=statement.file if statement else None,
                    line=statement.line if statement else None,
                )


def _with_what_was_dropped(evidence: Evidence, change: SchemaChange) -> Iterator[Lost]:
    """A view by CASCADE; a trigger with the table that was rebuilt."""
    found = _WITH_OTHERS.fullmatch(change.name)
    if change.after is not None or found is None:
        return
    of_table = found["kind"] in ("trigger", "rule")
    table, _, short = found["name"].rpartition(".")
    if of_table and any(c.name == f"table {table}" and c.after is None for c in evidence.changes):
        return
    if any(_names(s.sql, short) or _UNSEEN.search(s.sql) for s in evidence.statements):
        return
    drops = _DROPS if of_table else _CASCADES
    statement = _last(evidence, lambda sql: drops.search(sql) is not None)
    yield (
        f"{change.name[0].upper()}{change.name[1:]} goes, and no statement names it: it went with what it stands on.",
        "Make it again in the same revision, or drop it by name.",
        Severity.ERROR,
        statement,
    )


def _in_a_rebuild(evidence: Evidence, change: SchemaChange) -> Iterator[Lost]:
    """An unnamed CHECK or AUTOINCREMENT: Alembic's batch mode makes the table again without them."""
    kind, name = split_key(change.name)
    table = bare(name.partition("(")[0].rpartition(".")[0])
    before, after = change.before or "", change.after
    statement = _last(evidence, lambda sql: _CREATES.match(sql) is not None and table in sql)
    rebuilt = any(_DROPS.match(s.sql) and _names(s.sql, table) for s in evidence.statements)
    if kind != ObjectKind.CONSTRAINT or statement is None or not rebuilt:
        return
    if after is not None and before.endswith("AUTOINCREMENT") and not after.endswith("AUTOINCREMENT"):
        yield (
            f"Table {table} is rebuilt without AUTOINCREMENT: ids of deleted rows are given again.",
            f'Write batch_alter_table("{table}", table_kwargs={{"sqlite_autoincrement": True}}).',
            Severity.ERROR,
            statement,
        )
    gone = [
        c.name.rpartition(".")[2]
        for c in evidence.changes
        if c.after is None and split_key(c.name)[0] == ObjectKind.COLUMN
    ]
    if after is None and before.startswith("CHECK") and not any(_names(before, column) for column in gone):
        yield (
            f"Table {table} is rebuilt without its {before}, which has no name: batch mode leaves such ones out.",
            f'Write batch_alter_table("{table}", table_args=[sa.CheckConstraint(...)]), and give it a name.',
            Severity.WARNING if _OF_A_TYPE.fullmatch(before) else Severity.ERROR,
            statement,
        )


def _by_a_modify(evidence: Evidence, change: SchemaChange) -> Iterator[Lost]:
    """MODIFY and CHANGE of MySQL and MariaDB write the whole column: what is left out is gone."""
    kind, name = split_key(change.name)
    if kind != ObjectKind.COLUMN or change.before is None or change.after is None:
        return
    column = name.rpartition(".")[2]
    modify = re.compile(rf"\b(MODIFY|CHANGE)\b.*{re.escape(column)}", re.IGNORECASE | re.DOTALL)
    statement = _last(evidence, lambda sql: modify.search(sql) is not None)
    before, after = attributes(change.before), attributes(change.after)
    if statement is None or before["type"] == after["type"]:
        return  # an attribute alone was changed: that is what was meant
    lost = [
        words
        for key, words in _KEPT.items()
        if before.get(key, "").upper() not in _NOTHING and after.get(key, "").upper() in _NOTHING
    ]
    if lost:
        yield (
            f"Column {name} gets another type, and loses {' and '.join(lost)}: MODIFY writes the whole column.",
            "Repeat them in op.alter_column: existing_nullable, existing_server_default, existing_comment.",
            Severity.WARNING,
            statement,
        )


def _names(sql: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sql, re.IGNORECASE) is not None


def _last(evidence: Evidence, wanted: Callable[[str], bool]) -> Statement | None:
    return next((s for s in reversed(evidence.statements) if wanted(s.sql)), None)


CHECK = Check("CM210", "lost-on-the-side", Severity.ERROR, measured=True, find=find)
