"""CM101: the scripts have one head."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Direction, Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """Several heads where `head` is asked for: `alembic upgrade head` would refuse."""
    plan = facts.plan
    twice = sorted({head for head in plan.script_heads if plan.script_heads.count(head) > 1})
    if twice:
        yield check.finding(
            f"Two revision scripts have the id {', '.join(twice)}: Alembic knows only one of them.",
            fix="Give the other an id of its own.",
        )
    elif len(plan.script_heads) > 1 and plan.direction is Direction.UPGRADE and plan.destination == "head":
        yield check.finding(
            f"The scripts have {len(plan.script_heads)} heads ({', '.join(plan.script_heads)}), but `head` asks for "
            "a single one.",
            fix=(
                "If two people each added a revision after the same one, merge the two: `alembic merge heads`. If the "
                "branches stay apart on purpose, migrate all of them: `--to heads`."
            ),
        )


CHECK = Check("CM101", "single-head", Severity.ERROR, measured=False, find=find)
