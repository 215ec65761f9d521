"""The migration had come to its end; only the news of it was lost."""

from ci_migrate.model import Comparison, Progress, TargetState, show_heads
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.context import AS_REHEARSED, RepairContext


def fits(context: RepairContext) -> str | None:
    """The target stands on the last commit point."""
    found = context.diagnosis.found
    return "record that the migration is complete" if found is Progress.FINISHED else None


def mend(context: RepairContext) -> Repaired:
    """The diagnosis is the proof: heads and fingerprint are those of the dry run's end, or heads alone without one."""
    at = show_heads([c.to_heads for c in context.plan.contexts])
    if context.evidence is None:
        no_dry_run = "there was no dry run to compare with"
        return Repaired(
            state=TargetState.MIGRATED,
            words=f"The migration is complete: the target is at {at}; {no_dry_run}.",
            proof=Comparison(
                compared=("heads",), not_compared=(f"schema: {no_dry_run}", f"rows: {no_dry_run}")
            ),
        )
    return Repaired(
        state=TargetState.MIGRATED,
        words=f"The migration is complete: the target is at {at}, with the schema of the dry run.",
        proof=AS_REHEARSED,
    )


REPAIR = Repair("finished", 20, fits, mend)
