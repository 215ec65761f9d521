"""CM203: a column got a narrower type, and what it holds is not what it was."""

import re
from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.blamed import Blamed
from ci_migrate.databases.names import column_of, counted
from ci_migrate.databases.statements import Verb
from ci_migrate.model import Direction, Evidence, Finding, ObjectKind, Severity, split_key
from ci_migrate.schema_text import attributes

TEXT = re.compile(r"(?:character varying|n?varchar|(?:tiny|medium|long)?text|clob|string)\b", re.IGNORECASE)
WHOLE = re.compile(r"(?:tiny|small|medium|big)?int(?:eger|2|4|8)?\b", re.IGNORECASE)
BROKEN = re.compile(r"(?:numeric|decimal|float|double|real)", re.IGNORECASE)
MOMENT = re.compile(r"(?:timestamp|datetime)", re.IGNORECASE)
ARGUMENTS = re.compile(r"\((\d+)(?:,\s*(\d+))?\)")
MANY = 10**9


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """An error where texts were cut; a warning where digits or times may have been.

    Nothing of tables that an UPDATE of the migration names: then values may be others for another reason.
    """
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    for change in evidence.changes if facts.plan.direction is Direction.UPGRADE else ():
        kind, name = split_key(change.name)
        if kind != ObjectKind.COLUMN or change.before is None or change.after is None:
            continue
        table, column = column_of(change.name)
        found = counted(table, evidence.tables)
        if found is None or found.before is None or found.after is None:
            continue
        was, now = found.before.columns.get(column), found.after.columns.get(column)
        if not was or not now or None in (was.digest, now.digest) or was.held_digest == now.held_digest:
            continue
        old, new = attributes(change.before)["type"], attributes(change.after)["type"]
        loss = narrower(old, new)
        if not loss or was.held != now.held or blamed.last_to(table, Verb.UPDATE):
            continue
        statement = blamed.last_to(table, Verb.ALTER_TABLE, Verb.INSERT)
        cut = loss == "cut"
        words = "some were cut" if cut else f"{loss} that some had may be gone"
        yield check.finding(
            f"Column {name} became {new} (was {old}), and its {was.held:,} values are not what they were: {words}.",
            fix="Look for those that do not fit, and mend or move them in a revision before it.",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
            severity=None if cut else Severity.WARNING,
        )


def narrower(old: str, new: str) -> str:
    """What a value may lose: "cut" (the end of a text), or in words what; "" where nothing."""
    if TEXT.match(old) and TEXT.match(new):
        return "cut" if _argument(new, 1, MANY) < _argument(old, 1, MANY) else ""
    if BROKEN.match(old) and WHOLE.match(new):
        return "digits after the point"
    if BROKEN.match(old) and BROKEN.match(new):
        return "digits after the point" if _argument(new, 2, MANY) < _argument(old, 2, MANY) else ""
    if MOMENT.match(old) and re.match(r"date\b", new, re.IGNORECASE):
        return "times of day"
    if TEXT.match(old) and WHOLE.match(new):
        return "whatever is no number"
    return ""


def _argument(type_: str, number: int, default: int) -> int:
    found = ARGUMENTS.search(type_)
    if found is None:
        return default
    return int(found[number]) if found[number] else 0


CHECK = Check("CM203", "values-narrowed", Severity.ERROR, measured=True, find=find, rows=True)
