"""Half a revision left nothing but rows: the tables that hold them come back from the backup, and no other.

It is tried on a copy of the target, written down, done, and proved.
"""

import shlex
from collections.abc import Mapping

from ci_migrate.backups.restore import refuse_other_tables, restore_tables
from ci_migrate.databases.base import Database, takes_tables
from ci_migrate.errors import CiMigrateError, RefusedError
from ci_migrate.migrations.record import version_table_names
from ci_migrate.model import (
    Backup,
    Evidence,
    Frozen,
    NextCommand,
    Plan,
    Progress,
    TableContent,
    TargetState,
    show_heads,
)
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.context import RepairContext
from ci_migrate.repairs.diagnosis import base_of, rows_on
from ci_migrate.repairs.foreign_writes import UNKNOWN, describe_loss, find_unexplained
from ci_migrate.repairs.restore import explain_failure, journal_restore, refuse_overwriting
from ci_migrate.repairs.trial import try_on_copy
from ci_migrate.run.run import restore_copy


class HalfDone(Frozen, frozen=True, kw_only=True):
    """Half a revision that left nothing behind but rows.

    `commit_point` is the last complete one below it, `tables` are those whose rows it changed (they are in the
    backup as they were on that commit point), with what they hold after it.
    """

    commit_point: int
    tables: dict[str, TableContent]


def half_done(plan: Plan, evidence: Evidence, commit_point: int) -> HalfDone | None:
    """What half a revision left, if that is rows alone and the backup has them as they were before it.

    Args:
        plan: what was to run.
        evidence: what the dry run measured.
        commit_point: where the target stands, from 1.

    Returns:
        None where the schema changed too, where a revision before it wrote to the same tables (the backup has them
        as they were still earlier), where the dry run did not look at the rows, or where a backfill has begun: its
        checkpoint would stay, and the rows before it would never be filled.
    """
    here = evidence.commit_points[commit_point - 1]
    if here.complete or here.revision is None or here.backfill:
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


def find_half(context: RepairContext) -> HalfDone | None:
    """What half a revision left in the target, if that is rows alone that the backup has; else None."""
    evidence, diagnosis = context.evidence, context.diagnosis
    if evidence is None or not diagnosis.commit_point or diagnosis.found is not Progress.HALF:
        return None
    return half_done(context.plan, evidence, diagnosis.commit_point)


def fits(context: RepairContext) -> str | None:
    """Only rows are left of it, `restore = "auto"`, and what was committed before it may stay."""
    half, backup, settings = find_half(context), context.backup, context.run.settings
    if half is None or backup is None or settings.restore != "auto":
        return None
    if half.commit_point and settings.on_failure != "keep":
        return None
    if not half.tables:
        return "prove that nothing of the half revision is left"
    return f"put the rows of {', '.join(sorted(half.tables))} back from backup {backup.backup_id}"


def mend(context: RepairContext) -> Repaired:
    """Look whether somebody else wrote to these tables; put them back; prove."""
    half, backup = find_half(context), context.backup
    if half is None or backup is None:
        raise RefusedError("It is not known which rows are to be put back.")
    try:
        written = _foreign_writes(context, half)
        if written:
            return refuse_overwriting(written)
        differences = _put_back(context, half, backup)
    except RefusedError:
        raise
    except CiMigrateError as error:
        return explain_failure(context, backup, error)
    tables = ", ".join(sorted(half.tables))
    if differences:
        words = f"The rows of {tables} were put back, but: {'; '.join(differences[:3])}."
        return Repaired(state=TargetState.UNKNOWN, words=words)
    words = f"the rows of {tables} were put back from {backup.backup_id}, all others were left as they are."
    if not tables:
        words = "nothing of the half revision is left."
    if not half.commit_point:
        return Repaired(state=TargetState.AS_BEFORE, words=words[0].upper() + words[1:])
    at = show_heads(context.heads_at(half.commit_point))
    return Repaired(
        state=TargetState.KEPT_PREFIX, words=f'The target is at {at} (on-failure = "keep"): {words}'
    )


def offer(context: RepairContext) -> NextCommand | None:
    """That the tables can be restored by hand, with what that would lose."""
    half, backup = find_half(context), context.backup
    if half is None or backup is None or not half.tables:
        return None
    try:
        loses = describe_loss(half.tables, context.read_contents(half.tables))
    except CiMigrateError:  # what can be typed is shown all the same
        loses = "loses what was written to them since"
    tables = " ".join(f"--table {shlex.quote(table)}" for table in sorted(half.tables))
    target = context.run.settings.target
    return NextCommand(
        command=f"ci-migrate backup restore {backup.backup_id} {tables} --target {target}", why=loses
    )


def _foreign_writes(context: RepairContext, half: HalfDone) -> str:
    """What somebody else wrote to these tables since the backup, in words; "" for nothing."""
    if half.tables and context.evidence is not None and context.evidence.masked:
        return f"{UNKNOWN}: the rehearsal was masked"
    return find_unexplained(half.tables, context.read_contents(half.tables))


def _put_back(context: RepairContext, half: HalfDone, backup: Backup) -> list[str]:
    """Put back the rows that half a revision changed; returns in words what is not as it should be then.

    Raises:
        RefusedError: it can't be done this way. The target is untouched.
        CiMigrateError: it failed. The target is untouched.
    """
    run = context.run
    tables = sorted(half.tables)
    differences: list[str] = []
    if tables:
        with restore_copy(run, backup, f"{run.id}_rows") as source:
            _refuse_unseen_changes(context, source, half)
            expected = source.contents(tables)
            wrong = _try(context, backup, source, expected)
            if wrong:
                raise RefusedError(f"On a copy of the target it did not lead back: {'; '.join(wrong[:3])}.")
            written = _foreign_writes(context, half)  # once more: the copies took their time
            if written:
                raise RefusedError(f"Somebody wrote while it was tried: {written}.")
            with journal_restore(run.ledger, run.subject, half.commit_point):
                # and they are looked at again when nobody else can write there
                restore_tables(
                    context.permit_for("restore"),
                    run.database,
                    source,
                    backup,
                    tables,
                    lambda found: find_unexplained(half.tables, found),
                )
            differences = other_rows(expected, run.database.contents(tables))
        run.ledger.audit("tables restored", run.subject, backup=backup.backup_id, tables=", ".join(tables))
    else:
        with journal_restore(run.ledger, run.subject, half.commit_point):
            pass
    found = context.diagnose()
    return differences if found.commit_point == half.commit_point else [*differences, found.words]


def _try(
    context: RepairContext, backup: Backup, source: Database, expected: Mapping[str, TableContent]
) -> list[str]:
    """What is not as it should be when it is done on a copy of the target."""
    refuse_other_tables(context.run.database, backup, sorted(expected))

    def put_back(copy: Database) -> None:
        was = copy.schema()
        takes_tables(copy).take_tables(source, sorted(expected))
        if copy.schema() != was:
            raise RefusedError("Putting the rows back changed the schema of a copy of the target.")

    return try_on_copy(context, put_back, lambda copy: other_rows(expected, copy.contents(expected)))


def _refuse_unseen_changes(context: RepairContext, source: Database, half: HalfDone) -> None:
    """Of a large database the dry run reads only the tables that revisions name: the others must be as backed up."""
    seen = version_table_names(context.plan) | half.tables.keys()
    if context.evidence is not None:
        seen |= rows_on(context.evidence, 0).keys()
    unseen = sorted(source.counts().keys() - seen)
    wrong = find_unexplained(source.contents(unseen), context.run.database.contents(unseen)) if unseen else ""
    if wrong:
        raise RefusedError(f"Not by tables: it is not known who wrote there: {wrong}.")


def other_rows(expected: Mapping[str, TableContent | None], found: Mapping[str, TableContent]) -> list[str]:
    """Tables that don't hold what they should, in words: counts first, then NULLs and values per column.

    Args:
        expected: of each table that matters; None where it should not exist.
        found: as `Database.contents` tells.
    """
    words = []
    for table, then in sorted(expected.items()):
        now = found.get(table)
        if then is None or now is None:
            if then is not now:
                words.append(f"table {table} is {'gone' if now is None else 'still there'}")
        elif now.rows != then.rows:
            words.append(f"table {table} has {now.rows} rows instead of {then.rows}")
        elif now != then:
            columns = [c for c in sorted(then.columns) if then.columns[c] != now.columns.get(c)]
            words.append(f"table {table} has other values in {', '.join(columns) or 'its rows'}")
    return words


def _schema_on(evidence: Evidence, commit_point: int) -> dict[str, str | None]:
    objects: dict[str, str | None] = dict(evidence.before.objects)
    for one in evidence.commit_points[:commit_point]:
        objects.update(one.delta)
    return {name: text for name, text in objects.items() if text is not None}


REPAIR = Repair("restore-tables", 45, fits, mend, approval="restore", offer=offer)
