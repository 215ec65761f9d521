"""The engine rolled back: nothing to do but to prove it."""

from ci_migrate.model import Progress, TargetState
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.context import RepairContext


def fits(context: RepairContext) -> str | None:
    """Nothing of the migration is left."""
    if context.diagnosis.found in (Progress.ROLLED_BACK, Progress.NOT_STARTED):
        return "prove that the target is as it was before"
    return None


def mend(context: RepairContext) -> Repaired:
    """Compare heads and fingerprint with those before the run."""
    differences = context.prove_as_before()
    if differences:
        return Repaired(
            state=TargetState.UNKNOWN, words=f"The target is not as before: {'; '.join(differences[:3])}."
        )
    return Repaired(
        state=TargetState.AS_BEFORE,
        words="The target is as it was before: the transaction rolled back, heads and fingerprint are equal.",
    )


REPAIR = Repair("rolled-back", 10, fits, mend)
