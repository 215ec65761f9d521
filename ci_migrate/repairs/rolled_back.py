"""The engine rolled back: nothing to do but to prove it."""

from ci_migrate.model import TargetState
from ci_migrate.repairs.base import Repair, Repaired, Situation


def fits(situation: Situation) -> str | None:
    """Nothing of the migration is left."""
    if situation.diagnosis.found in ("rolled back", "not started"):
        return "prove that the target is as it was before"
    return None


def mend(situation: Situation) -> Repaired:
    """Compare heads and fingerprint with those before the run."""
    differences = situation.proved_as_before()
    if differences:
        return Repaired(
            state=TargetState.UNKNOWN, words=f"The target is not as before: {'; '.join(differences[:3])}."
        )
    return Repaired(
        state=TargetState.AS_BEFORE,
        words="The target is as it was before: the transaction rolled back, heads and fingerprint are equal.",
    )


REPAIR = Repair("rolled-back", 10, fits, mend)
