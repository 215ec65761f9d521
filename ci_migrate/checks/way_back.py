"""CM402: the downgrade was tried in the dry run and fails, or does not lead back."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.model import Direction, Evidence, Finding, Severity, list_some


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """A warning where this run's backup is proven, an error with `require-downgrade`."""
    way_back = evidence.way_back
    if facts.plan.direction is not Direction.UPGRADE or not way_back.tried or way_back.proven:
        return
    severity = Severity.ERROR if facts.require_downgrade else check.severity
    differences = f" ({list_some(way_back.differences)})" if way_back.differences else ""
    yield check.finding(
        f"The rollback path by downgrade is not proven: {way_back.reason}{differences}.",
        severity=severity,
    )


CHECK = Check("CM402", "downgrade-does-not-lead-back", Severity.WARNING, measured=True, find=find)
