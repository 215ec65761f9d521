"""Restore this run's backup: only if the settings allow it, and only if nobody else wrote since."""

from ci_migrate.errors import CiMigrateError, DirtyError, RefusedError
from ci_migrate.model import TargetState
from ci_migrate.repairs.base import Repair, Repaired, Situation


def fits(situation: Situation) -> str | None:
    """Half a revision, an unknown state, or a prefix that can't go back by downgrade; `restore = "auto"`."""
    wanted = situation.diagnosis.found in ("half a revision", "unknown") or (
        situation.diagnosis.found == "revision committed" and situation.on_failure == "back"
    )
    if not wanted or situation.restore_mode != "auto" or situation.backup is None:
        return None
    return f"restore backup {situation.backup.backup_id}"


def mend(situation: Situation) -> Repaired:
    """Look whether somebody else wrote; restore; prove."""
    try:
        written = situation.others_wrote()
        if written:
            return Repaired(
                state=TargetState.UNKNOWN,
                words=f"Not restored: {written}. A restore would lose that.",
            )
        where = situation.restore()
    except RefusedError:
        raise
    except CiMigrateError as error:
        return failed(situation, error)
    differences = situation.proved_as_before()
    if differences:
        return Repaired(
            state=TargetState.UNKNOWN,
            words=f"Restored, but not as before: {'; '.join(differences[:3])}. {where}",
        )
    return Repaired(
        state=TargetState.AS_BEFORE,
        words=f"The target is as it was before: restored from the backup. {where}",
    )


def failed(situation: Situation, error: CiMigrateError) -> Repaired:
    """A restore that did not come to its end: what is where now."""
    assert situation.backup is not None
    kept = f"{situation.plan.identity.place} is kept as the failed migration left it."
    if isinstance(error, DirtyError):
        kept = error.state
    what = error.what.rstrip(".")
    return Repaired(
        state=TargetState.UNKNOWN,
        words=f"The restore from {situation.backup.backup_id} failed: {what}. {kept}",
    )


REPAIR = Repair("restore", 50, fits, mend)
