"""CM401: a pending revision has no downgrade."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Direction, Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """A warning, since this run's backup is a rollback path; an error with `require-downgrade`, and on the way back."""
    back = facts.plan.direction is Direction.DOWNGRADE
    if facts.plan.direction is not Direction.UPGRADE and not back:
        return
    severity = Severity.ERROR if facts.require_downgrade or back else check.severity
    for r in facts.plan.revisions:
        if r.has_downgrade:
            continue
        then = "once more revisions are applied, only the backup leads back."
        if back:
            then = "the version row would go, and what the revision did would stay."
        yield check.finding(
            f"{r.file} has no downgrade: {then}",
            revision=r.id,
            file=r.file,
            line=1,
            severity=severity,
        )


CHECK = Check("CM401", "missing-downgrade", Severity.WARNING, measured=False, find=find)
