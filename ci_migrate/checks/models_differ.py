"""CM502: the models (`target_metadata`) and the migrated database differ."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Finding, Severity, list_some


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """A warning: Alembic's compare does not see everything, and some of what it sees is meant."""
    if facts.drift:
        words = list_some(facts.drift)
        yield check.finding(
            f"Once all revisions ran, models and database differ: {words}.",
            fix="Write a revision for it (`alembic revision --autogenerate`), or "
            "leave it out by env.py's include_object.",
        )


CHECK = Check("CM502", "models-differ", Severity.WARNING, measured=True, find=find)
