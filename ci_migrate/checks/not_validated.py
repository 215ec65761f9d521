"""CM209: a constraint is NOT VALID when all revisions ran: it holds for what is written from now on."""

import json
from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.databases.composite.names import bare
from ci_migrate.databases.names import column_of
from ci_migrate.model import Direction, Evidence, Finding, ObjectKind, Severity, split_key
from ci_migrate.schema_text import mentions

_NOT_VALID = " NOT VALID"


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """An information: it is the first of two good steps, and this says which one is next."""
    for change in evidence.changes if facts.plan.direction is Direction.UPGRADE else ():
        kind, name = split_key(change.name)
        if kind != ObjectKind.CONSTRAINT or not (change.after or "").endswith(_NOT_VALID):
            continue
        if (change.before or "").endswith(_NOT_VALID):
            continue
        table, bare_name = column_of(change.name)
        constraint = name[len(table) + 1 :]
        validate = f"ALTER TABLE {bare(table)} VALIDATE CONSTRAINT {constraint}"
        added = (s for s in reversed(evidence.statements) if mentions(s.sql, bare_name))
        statement = next(added, None)
        yield check.finding(
            f"Constraint {constraint} of {table} is NOT VALID: rows that were there before may violate it, and stay.",
            fix="In a later revision, where it keeps nobody waiting: "
            f"op.execute({json.dumps(validate, ensure_ascii=False)})",
            revision=statement.revision if statement else None,
            file=statement.file if statement else None,
            line=statement.line if statement else None,
        )


CHECK = Check("CM209", "constraint-not-validated", Severity.INFO, measured=True, find=find)
