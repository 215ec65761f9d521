"""CM503: a database that a run left with version rows has none, and somebody means it to begin anew."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """Where it is not acknowledged the run is refused before, with the backup that would bring it back."""
    if facts.lost_history:
        yield check.finding(f"{facts.lost_history}. All revisions are run, from the first one.")


CHECK = Check("CM503", "history-lost", Severity.ERROR, measured=False, find=find)
