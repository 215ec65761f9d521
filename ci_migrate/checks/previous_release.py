"""CM605: the release that runs now does not work on the migrated database."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """An error: between the migration and the deploy both meet."""
    if facts.previous_release:
        yield check.finding(
            f"The tests of the previous release fail on the migrated copy: {facts.previous_release}. Until the deploy "
            "is through, that release meets this schema.",
            fix="Expand first, contract in a later release.",
        )


CHECK = Check("CM605", "previous-release-fails", Severity.ERROR, measured=True, find=find, rows=True)
