"""`repair --forward`: run what is left of the migration, from exactly where it stopped."""

from ci_migrate.model import TargetState
from ci_migrate.repairs.base import Repair, Repaired, Situation


def fits(situation: Situation) -> str | None:
    """Somebody asked for it, the place is known, and what is left is what was rehearsed."""
    stopped = situation.diagnosis.found in (
        "not started",
        "rolled back",
        "revision committed",
        "half a revision",
    )
    if not situation.forward or not stopped or situation.why_not_forward():
        return None
    return "run what is left of the migration, as rehearsed"


def mend(situation: Situation) -> Repaired:
    """Go on from the commit point; then heads and schema must be those that the dry run led to."""
    differences = situation.resume()
    if differences:
        return Repaired(state=TargetState.UNKNOWN, words=f"Going on failed: {'; '.join(differences[:3])}.")
    at = ", ".join(" + ".join(c.to_heads) or "base" for c in situation.plan.contexts)
    return Repaired(
        state=TargetState.MIGRATED,
        words=f"The migration went on from where it had stopped, and is complete: the target is at {at}, as rehearsed.",
    )


REPAIR = Repair("forward", 5, fits, mend)
