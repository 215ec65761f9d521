"""CM401: a pending revision has no downgrade."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Direction, Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """A warning, since this run's proven backup is a way back; an error with `require-downgrade`."""
    if facts.plan.direction is not Direction.UPGRADE:
        return
    severity = Severity.ERROR if facts.require_downgrade else check.severity
    for r in facts.plan.revisions:
        if not r.has_downgrade:
            yield check.finding(
                f"{r.file} has no downgrade: once more revisions are applied, only the backup leads back.",
                revision=r.id,
                file=r.file,
                line=1,
                severity=severity,
            )


CHECK = Check("CM401", "missing-downgrade", Severity.WARNING, measured=False, find=find)
