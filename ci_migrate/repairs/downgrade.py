"""Revisions committed before the failing one: kept, or taken back by the downgrade that the dry run proved."""

from ci_migrate.model import TargetState
from ci_migrate.repairs.base import Repair, Repaired, Situation


def fits_keep(situation: Situation) -> str | None:
    """`on-failure = "keep"`: the good prefix stays."""
    if situation.diagnosis.found == "revision committed" and situation.on_failure == "keep":
        return "keep the revisions that were committed"
    return None


def mend_keep(situation: Situation) -> Repaired:
    """Nothing is done; the commit point is the proof."""
    assert situation.evidence is not None
    assert situation.diagnosis.commit_point is not None
    commit_point = situation.evidence.commit_points[situation.diagnosis.commit_point - 1]
    at = ", ".join(" + ".join(h) or "base" for h in commit_point.heads)
    return Repaired(
        state=TargetState.KEPT_PREFIX,
        words=f"The target is at {at}, exactly as in the dry run; what failed after it was rolled back "
        '(on-failure = "keep").',
    )


def fits_back(situation: Situation) -> str | None:
    """`on-failure = "back"` and the dry run proved that going back loses nothing."""
    if (
        situation.diagnosis.found == "revision committed"
        and situation.on_failure == "back"
        and situation.evidence is not None
        and situation.evidence.way_back.proven
    ):
        return "downgrade the revisions that were committed"
    return None


def mend_back(situation: Situation) -> Repaired:
    """Downgrade from the commit point, then prove that the target is as before."""
    ended = situation.downgrade()
    if not ended.ok:
        return Repaired(state=TargetState.UNKNOWN, words=f"The downgrade failed: {ended.words}.")
    differences = situation.proved_as_before()
    if differences:
        return Repaired(
            state=TargetState.UNKNOWN, words=f"The downgrade did not lead back: {'; '.join(differences[:3])}."
        )
    return Repaired(
        state=TargetState.AS_BEFORE,
        words="The target is as it was before: downgraded, heads and fingerprint are equal.",
    )


KEEP = Repair("keep-prefix", 30, fits_keep, mend_keep)
BACK = Repair("downgrade", 40, fits_back, mend_back)
