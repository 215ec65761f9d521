"""What is asked of the runs of a database, as SQL. Each statement has an index; none reads the runs one by one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, false, func, select, true, union_all

from ci_migrate.ledger.tables import applied, rehearsals, runs, tokens

Rows = Select[Any]


def newest(database_id: str, limit: int) -> Rows:
    """The last runs, the newest first."""
    return select(runs).where(runs.c.database_id == database_id).order_by(runs.c.sequence.desc()).limit(limit)


def unfinished(database_id: str) -> Rows:
    """The newest run that was killed while it migrated or repaired, or that needs repair."""
    of_database = select(runs.c.sequence).where(runs.c.database_id == database_id)
    wanting = of_database.where(runs.c.needs_repair == true())
    killed = [
        of_database.where(runs.c.phase == p, runs.c.finished.is_(None)) for p in ("migrating", "repairing")
    ]
    # One lookup each: an OR would have some engines read all runs
    each = [q.order_by(runs.c.sequence.desc()).limit(1).subquery() for q in (wanting, *killed)]
    found = union_all(*(select(q.c.sequence) for q in each)).subquery()
    last = select(func.max(found.c.sequence)).scalar_subquery()
    return select(runs).where(runs.c.sequence == last)


def restoring(database_id: str) -> Rows:
    """The runs that were about to put a backup in the place of the database, and have not ended; the newest first."""
    return (
        select(runs)
        .where(runs.c.database_id == database_id, runs.c.phase == "restoring", runs.c.finished.is_(None))
        .order_by(runs.c.sequence.desc())
    )


def changes(database_id: str, before: int | None, limit: int) -> Rows:
    """The last runs that changed the database, or may have; the newest first, those before a sequence if given."""
    found = select(runs).where(runs.c.database_id == database_id, runs.c.changed == true())
    if before is not None:
        found = found.where(runs.c.sequence < before)
    return found.order_by(runs.c.sequence.desc()).limit(limit)


def later_change(database_id: str, after: int) -> Rows:
    """The first run that changed the database, or may have, after a sequence."""
    return (
        select(runs)
        .where(runs.c.database_id == database_id, runs.c.changed == true(), runs.c.sequence > after)
        .order_by(runs.c.sequence)
        .limit(1)
    )


def plans(database_id: str) -> Rows:
    """The sequence of the newest run of each plan that there ever was."""
    return (
        select(func.max(runs.c.sequence))
        .where(runs.c.database_id == database_id, runs.c.plan_digest.is_not(None))
        .group_by(runs.c.plan_digest)
    )


def applied_files(database_id: str) -> Rows:
    """Revision and sha256 as the newest run that reached its destination had them; those taken back are left out."""
    last = (
        select(func.max(applied.c.sequence).label("sequence"), applied.c.revision)
        .where(applied.c.database_id == database_id, applied.c.migrated == true())
        .group_by(applied.c.revision)
        .subquery()
    )
    found = applied.join(
        last, (applied.c.sequence == last.c.sequence) & (applied.c.revision == last.c.revision)
    )
    return select(applied.c.revision, applied.c.sha256).select_from(found).where(applied.c.upgrade == true())


def applying(database_id: str, revision: str) -> Rows:
    """The newest run that upgraded to or through a revision, or tried to."""
    each = [
        select(applied.c.sequence)
        .where(
            applied.c.database_id == database_id,
            applied.c.migrated == migrated,
            applied.c.revision == revision,
            applied.c.upgrade == true(),
        )
        .order_by(applied.c.sequence.desc())
        .limit(1)
        .subquery()
        for migrated in (true(), false())
    ]
    found = union_all(*(select(q.c.sequence) for q in each)).subquery()
    last = select(func.max(found.c.sequence)).scalar_subquery()
    return select(runs).where(runs.c.sequence == last)


def proven(database_id: str, backup_ids: Sequence[str]) -> Rows:
    """Those of these backups that a dry run restored and found equal."""
    return (
        select(rehearsals.c.backup_id)
        .where(
            rehearsals.c.database_id == database_id,
            rehearsals.c.backup_id.in_(backup_ids),
            rehearsals.c.proven == true(),
        )
        .distinct()
    )


def last_approved(directions: Sequence[str]) -> Rows:
    """The newest run that used an approval of one of these directions."""
    return (
        select(tokens.c.claimed_by)
        .join(runs, runs.c.run_id == tokens.c.claimed_by)
        .where(tokens.c.claimed.is_not(None), tokens.c.direction.in_(directions))
        .order_by(runs.c.sequence.desc())
        .limit(1)
    )


def approvals_used(run_ids: Sequence[str]) -> Rows:
    """The approvals that these runs used up."""
    return select(tokens.c.claimed_by, tokens.c.approved_by, tokens.c.reason).where(
        tokens.c.claimed_by.in_(run_ids), tokens.c.claimed.is_not(None)
    )


def rehearsed(database_id: str, plan_digest: str, since: datetime, until: datetime, limit: int = 1) -> Rows:
    """The newest runs that rehearsed this plan well between two times; the second is now: a clock may be put back."""
    return (
        select(rehearsals.c.run_id)
        .where(
            rehearsals.c.database_id == database_id,
            rehearsals.c.plan_digest == plan_digest,
            rehearsals.c.passed == true(),
            rehearsals.c.recorded.between(since, until),
        )
        .order_by(rehearsals.c.sequence.desc())
        .limit(limit)
    )
