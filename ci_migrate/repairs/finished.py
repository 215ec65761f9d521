"""The migration had come to its end; only the news of it was lost."""

from ci_migrate.model import TargetState
from ci_migrate.repairs.base import Repair, Repaired, Situation


def fits(situation: Situation) -> str | None:
    """The target stands on the last commit point."""
    return "record that the migration is complete" if situation.diagnosis.found == "finished" else None


def mend(situation: Situation) -> Repaired:
    """The diagnosis is the proof: heads and fingerprint are those of the dry run's end."""
    at = ", ".join(" + ".join(c.to_heads) or "base" for c in situation.plan.contexts)
    return Repaired(
        state=TargetState.MIGRATED, words=f"The migration is complete: the target is at {at}, as rehearsed."
    )


REPAIR = Repair("finished", 20, fits, mend)
