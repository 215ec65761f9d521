"""CM501: the schema is not as the last run left it, though the version rows are."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Finding, Severity, list_some

SHOWN = 3


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """A warning: whether the pending revisions fit what is there now, the dry run shows."""
    if facts.outside:
        words = list_some(facts.outside, SHOWN)
        yield check.finding(
            f"The target is not as run {facts.outside_since} left it: {words}.",
            fix=f"See all of it: ci-migrate verify --target {facts.plan.target}",
        )


CHECK = Check("CM501", "changed-outside", Severity.WARNING, measured=False, find=find)
