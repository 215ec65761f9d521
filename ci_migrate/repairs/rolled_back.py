"""The engine rolled back: nothing to do but to prove it."""

from ci_migrate.model import Progress, TargetState
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.context import RepairContext

NOTHING_LEFT = frozenset({Progress.ROLLED_BACK, Progress.NOT_STARTED})


def fits(context: RepairContext) -> str | None:
    """Nothing of the migration is left."""
    if context.diagnosis.found in NOTHING_LEFT and context.as_before.equal:
        return "prove that the target is as it was before"
    return None


def explain(context: RepairContext) -> str:
    """Why it is not as it was before, though all was rolled back."""
    wrong = context.as_before.wrong if context.diagnosis.found in NOTHING_LEFT else ()
    return f"It was rolled back, but {'; '.join(wrong[:3])}." if wrong else ""


def mend(context: RepairContext) -> Repaired:
    """Nothing is done: it was compared."""
    words = f"Nothing of the migration is left: {context.diagnosis.words}."
    return Repaired(state=TargetState.AS_BEFORE, words=words, proof=context.as_before)


REPAIR = Repair("rolled-back", 10, fits, mend, explain=explain)
