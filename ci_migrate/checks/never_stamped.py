"""CM105: tables are there, but no version row: Alembic takes the database for empty."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Direction, Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """A warning: tables of others may well stand beside those that the first revision makes."""
    plan = facts.plan
    if plan.direction is not Direction.UPGRADE or plan.from_heads or not facts.unstamped_tables:
        return
    tables = "1 table" if facts.unstamped_tables == 1 else f"{facts.unstamped_tables} tables"
    yield check.finding(
        f"The target has {tables} and no version row, so all {plan.pending} revisions are run, from the first one.",
        fix="If it was made without Alembic, say which revision it is at: "
        f"ci-migrate stamp REVISION --target {plan.target} --reason why",
    )


CHECK = Check("CM105", "never-stamped", Severity.WARNING, measured=False, find=find)
