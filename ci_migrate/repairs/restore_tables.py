"""Half a revision left nothing but rows: the tables that hold them come back from the backup, and no other."""

from ci_migrate.errors import CiMigrateError, RefusedError
from ci_migrate.model import Evidence, Plan, TableContent, TargetState
from ci_migrate.repairs.additions import base_of
from ci_migrate.repairs.base import HalfDone, Repair, Repaired, Situation
from ci_migrate.repairs.diagnosis import rows_on
from ci_migrate.repairs.restore import failed


def half_done(plan: Plan, evidence: Evidence, commit_point: int) -> HalfDone | None:
    """What half a revision left, if that is rows alone and the backup has them as they were before it.

    Args:
        plan: what was to run.
        evidence: what the dry run measured.
        commit_point: where the target stands, from 1.

    Returns:
        None where the schema changed too, where a revision before it wrote to the same tables (the backup has them
        as they were still earlier), or where the dry run did not look at the rows.
    """
    here = evidence.commit_points[commit_point - 1]
    if here.complete or here.revision is None:
        return None
    below = base_of(plan, evidence, here.heads, commit_point - 1)
    if below is None or _schema_on(evidence, below) != _schema_on(evidence, commit_point):
        return None
    if not below:
        return None if here.changed is None else HalfDone(commit_point=0, tables=here.changed)
    ground, there, now = rows_on(evidence, 0), rows_on(evidence, below), rows_on(evidence, commit_point)
    touched = {t: now.get(t) for t in now.keys() | there.keys() if now.get(t) != there.get(t)}
    if not now or any(there.get(table) != ground.get(table) for table in touched):
        return None
    tables: dict[str, TableContent] = {t: c for t, c in touched.items() if c is not None}
    return HalfDone(commit_point=below, tables=tables) if tables.keys() == touched.keys() else None


def _schema_on(evidence: Evidence, commit_point: int) -> dict[str, str | None]:
    objects: dict[str, str | None] = dict(evidence.before.objects)
    for one in evidence.commit_points[:commit_point]:
        objects.update(one.delta)
    return {name: text for name, text in objects.items() if text is not None}


def fits(situation: Situation) -> str | None:
    """Only rows are left of it, `restore = "auto"`, and what was committed before it may stay."""
    half, backup = situation.half, situation.backup
    if half is None or backup is None or situation.restore_mode != "auto":
        return None
    if half.commit_point and situation.on_failure != "keep":
        return None
    if not half.tables:
        return "prove that nothing of the half revision is left"
    return f"put the rows of {', '.join(sorted(half.tables))} back from backup {backup.backup_id}"


def mend(situation: Situation) -> Repaired:
    """Look whether somebody else wrote to these tables; put them back; prove."""
    half, backup = situation.half, situation.backup
    assert half is not None
    assert backup is not None
    try:
        written = situation.others_wrote_to(half)
        if written:
            return Repaired(
                state=TargetState.UNKNOWN, words=f"Not restored: {written}. A restore would lose that."
            )
        differences = situation.restore_tables(half)
    except RefusedError:
        raise
    except CiMigrateError as error:
        return failed(situation, error)
    tables = ", ".join(sorted(half.tables))
    if differences:
        words = f"The rows of {tables} were put back, but: {'; '.join(differences[:3])}."
        return Repaired(state=TargetState.UNKNOWN, words=words)
    words = f"the rows of {tables} were put back from {backup.backup_id}, all others were left as they are."
    if not tables:
        words = "nothing of the half revision is left."
    if not half.commit_point:
        return Repaired(state=TargetState.AS_BEFORE, words=f"The target is as it was before: {words}")
    assert situation.evidence is not None
    at = ", ".join(
        " + ".join(h) or "base" for h in situation.evidence.commit_points[half.commit_point - 1].heads
    )
    return Repaired(
        state=TargetState.KEPT_PREFIX, words=f'The target is at {at} (on-failure = "keep"): {words}'
    )


REPAIR = Repair("restore-tables", 45, fits, mend)
