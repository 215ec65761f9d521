"""What differs between env.py's models and the migrated scratch copy, by Alembic's own compare."""

from ci_migrate.databases.base import Database
from ci_migrate.migrations import events
from ci_migrate.migrations.requests import CompareRequest, Mode
from ci_migrate.model import Direction, Plan
from ci_migrate.run.inputs import expected_inputs
from ci_migrate.run.run import Run, child_setup


def drift_of(run: Run, plan: Plan, scratch: Database) -> list[str]:
    """The differences in words; [] also where the plan leads elsewhere than to the newest revisions.

    Args:
        run: this run.
        plan: what was rehearsed.
        scratch: the copy, at the end of the plan.
    """
    newest = set(plan.script_heads)
    if plan.direction is not Direction.UPGRADE or not newest.issubset(plan.to_heads):
        return []
    found: list[str] = []

    def hear(event: events.AnyEvent) -> None:
        if isinstance(event, events.Models):
            found.extend(event.differences)
            if event.error:
                found.append(f"(Alembic could not compare: {event.error})")

    request = CompareRequest(
        setup=child_setup(run, "dry-run", scratch, inputs=expected_inputs(run.settings, plan)),
        mode=Mode.DRY_RUN,
        asks=(),
    )
    ended = run.workers.run(request, hear, urgent=True)
    if not ended.ok:
        found.append(f"(Alembic could not compare: {ended.words})")
    # each context of env.py tells its own, and tenants tell the same
    return list(dict.fromkeys(found))
