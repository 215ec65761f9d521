"""A revision that stopped half-way and had only added something: what it added is dropped again."""

from ci_migrate.model import TargetState
from ci_migrate.repairs.base import Repair, Repaired, Situation

UNDONE = ("half a revision", "unknown")
"""What a diagnosis has found where there may be additions to undo."""


def fits(situation: Situation) -> str | None:
    """Half a revision, or what the failed statement itself left; nobody asked to go on; all of it can be dropped."""
    if situation.forward or situation.diagnosis.found not in UNDONE:
        return None
    added = situation.additions()
    if added.why_not:
        return None
    return f"drop what was added, and nothing else: {'; '.join(added.statements)}"


def mend(situation: Situation) -> Repaired:
    """Drop it, prove that the target is as before, or as the last complete revision left it."""
    added = situation.additions()
    differences = situation.undo(added)
    if differences:
        return Repaired(
            state=TargetState.UNKNOWN, words=f"What was added is not undone: {'; '.join(differences[:3])}."
        )
    names = sorted(
        n for n in added.names if n.split(" ")[0] in ("table", "column", "index", "view")
    ) or sorted(added.names)
    undone = f"what was added is dropped ({', '.join(names[:5])}{' and more' if len(names) > 5 else ''})"
    if not added.commit_point:
        words = (
            f"The target is as it was before: {undone}, heads and fingerprint are equal, other rows are kept."
        )
        return Repaired(state=TargetState.AS_BEFORE, words=words)
    assert situation.evidence is not None
    at = ", ".join(
        " + ".join(h) or "base" for h in situation.evidence.commit_points[added.commit_point - 1].heads
    )
    return Repaired(
        state=TargetState.KEPT_PREFIX,
        words=f"The target is at {at}, exactly as in the dry run: {undone}, other rows are kept.",
        goes_on=situation.on_failure == "back",
    )


REPAIR = Repair("undo", 35, fits, mend)
