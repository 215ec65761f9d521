"""CM604: a query of the project's own does not give what it must."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """One finding for each assertion of the settings that failed."""
    for words in facts.failed_assertions:
        yield check.finding(words)


CHECK = Check("CM604", "assertion-fails", Severity.ERROR, measured=True, find=find, rows=True)
