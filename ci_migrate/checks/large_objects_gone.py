"""CM204: PostgreSQL has fewer large objects after the migration than before."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.checks.blamed import Blamed
from ci_migrate.databases.statements import Verb
from ci_migrate.model import Direction, Evidence, Finding, Severity

_TAKES_ROWS = (Verb.DELETE, Verb.UPDATE, Verb.TRUNCATE)
"""A trigger may follow the rows, as the extension lo has one."""


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """They were unlinked, by a statement or by a trigger."""
    before, after = facts.large_objects
    if facts.plan.direction is not Direction.UPGRADE or after >= before:
        return
    blamed = Blamed(evidence, facts.plan.identity.dialect)
    statement = blamed.last_saying("LO_UNLINK") or blamed.last(lambda action: action.verb in _TAKES_ROWS)
    yield check.finding(
        f"There were {before:,} large objects before, and {after:,} are left: what {before - after:,} held is gone, "
        "and no downgrade brings it back.",
        fix="Copy what is still needed in a revision before it.",
        revision=statement.revision if statement else None,
        file=statement.file if statement else None,
        line=statement.line if statement else None,
    )


CHECK = Check("CM204", "large-objects-gone", Severity.ERROR, measured=True, find=find, rows=True)
