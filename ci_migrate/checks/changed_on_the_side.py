"""CM206: values that changed although no statement sets them."""

import re
from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.blamed import Blamed
from ci_migrate.checks.values_narrowed import WHOLE
from ci_migrate.databases.names import column_of, counted
from ci_migrate.databases.statements import Verb
from ci_migrate.model import Direction, Evidence, Finding, ObjectKind, Severity, Statement, plural, split_key
from ci_migrate.schema_text import attributes, mentions

_ZONED = re.compile(r"timestamp.* with time zone|timestamptz", re.IGNORECASE)
_ZONELESS = re.compile(r"timestamp.* without time zone|datetime", re.IGNORECASE)
_MYSQL_MOMENT = re.compile(r"timestamp\b(?!.* time zone)", re.IGNORECASE)
_FILLS = (Verb.INSERT, Verb.REPLACE, Verb.MERGE, Verb.COPY)

Changed = tuple[str, str, Severity, Statement | None]
"""What changed, what to write instead, how bad that is, and the statement that did it."""


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """An error where ids or meanings changed; a warning where rows were stamped, or moments depend on a session."""
    if facts.plan.direction is not Direction.UPGRADE:
        return
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    for message, fix, severity, statement in (
        *_stamped(evidence, blamed),
        *_by_another_definition(evidence, blamed),
    ):
        yield check.finding(
            message,
            fix=fix,
            severity=severity,
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


def _stamped(evidence: Evidence, blamed: Blamed) -> Iterator[Changed]:
    """An UPDATE of other columns, and ON UPDATE CURRENT_TIMESTAMP or a trigger wrote this one as well."""
    for table, found in sorted(evidence.tables.items()):
        if found.before is None or found.after is None or found.before.rows != found.after.rows:
            continue
        statement = blamed.last_to(table, Verb.UPDATE)
        if statement is None or blamed.last_to(table, *_FILLS):
            continue
        for column, was in sorted(found.before.columns.items()):
            now = found.after.columns.get(column)
            if now is None or None in (was.digest, now.digest) or was.digest == now.digest:
                continue
            if any(mentions(s.sql, column) for s in evidence.statements):
                continue
            rows = f" of {plural(statement.rows, 'row')}" if statement.rows and statement.rows > 0 else ""
            yield (
                (
                    f"Column {table}.{column} got other values by an UPDATE{rows} that does not name it: "
                    "ON UPDATE CURRENT_TIMESTAMP or a trigger may have written them."
                ),
                (
                    f"To keep them, set the column to itself: UPDATE ... SET ..., {column} = {column}; or disable the "
                    "trigger meanwhile."
                ),
                Severity.WARNING,
                statement,
            )


def _by_another_definition(evidence: Evidence, blamed: Blamed) -> Iterator[Changed]:
    """ALTER TABLE gave the column another type or AUTO_INCREMENT, and values with it."""
    for change in evidence.changes:
        kind, name = split_key(change.name)
        if kind != ObjectKind.COLUMN or change.before is None or change.after is None:
            continue
        table, column = column_of(change.name)
        found = counted(table, evidence.tables)
        if found is None or found.before is None or found.after is None or not found.before.rows:
            continue
        was, now = found.before.columns.get(column), found.after.columns.get(column)
        if (
            not was
            or not now
            or not was.values
            or None in (was.digest, now.digest)
            or was.digest == now.digest
        ):
            continue
        old, new = attributes(change.before), attributes(change.after)
        became = f"Column {name} became {new['type']} (was {old['type']}): its {plural(was.values, 'value')}"
        statement = blamed.last_to(table, Verb.ALTER_TABLE)
        if statement is None or blamed.last_to(table, Verb.UPDATE):
            continue
        if "AUTO_INCREMENT" in new and "AUTO_INCREMENT" not in old:
            yield (
                f"Column {name} got AUTO_INCREMENT, and its numbers are not what they were: 0 became the next one.",
                "SET sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO') before the ALTER TABLE keeps the 0.",
                Severity.ERROR,
                statement,
            )
        elif old["type"].lower().startswith("enum") and WHOLE.match(new["type"]):
            yield (
                f"{became} became their places in the list, which begins with 1.",
                "Make it a varchar first, and that a number.",
                Severity.ERROR,
                statement,
            )
        elif _moments_by_zone(old["type"], new["type"]) and "TIME ZONE" not in _using(statement.sql):
            yield (
                f"{became} were taken for times in the zone of the migration's session, and that may be another one.",
                (
                    "Say in which zone they are: USING column AT TIME ZONE 'UTC' (PostgreSQL), "
                    "SET time_zone = '+00:00' (MySQL, MariaDB)."
                ),
                Severity.WARNING,
                statement,
            )


def _moments_by_zone(old: str, new: str) -> bool:
    zoned = [bool(_ZONED.match(text) or _MYSQL_MOMENT.match(text)) for text in (old, new)]
    zoneless = [bool(_ZONELESS.match(text)) for text in (old, new)]
    return (zoned[0] and zoneless[1]) or (zoneless[0] and zoned[1])


def _using(sql: str) -> str:
    return sql.upper().partition("USING")[2]


CHECK = Check("CM206", "changed-on-the-side", Severity.ERROR, measured=True, find=find, rows=True)
