"""Version rows that make no sense, explained: what is known of them, and the exact command that puts them right."""

import shlex
from collections.abc import Iterator

from ci_migrate.checks.acknowledged import of_settings
from ci_migrate.errors import RefusedError
from ci_migrate.migrations.graph import Inspection
from ci_migrate.migrations.version_rows import RowTrouble
from ci_migrate.model import (
    Backup,
    BackupStatus,
    Delta,
    Direction,
    Evidence,
    Fingerprint,
    NextCommand,
    ObjectKind,
    Plan,
    Revision,
    RunRecord,
    TargetState,
    as_hint,
    delta,
    names_of,
    now,
    plural,
    same_change,
    show_heads,
)
from ci_migrate.run.identity import database_of, owner_of
from ci_migrate.run.run import Run, bare_schema

Heads = tuple[tuple[str, ...], ...]

HISTORY_LOST = "CM503"


def refuse_rows(run: Run, found: Inspection, plan: Plan) -> None:
    """Raise RefusedError where version rows make no sense, unless this run stamps them away."""
    troubles = found.row_troubles
    purges = run.direction is Direction.STAMP and run.purge
    if troubles and not purges:
        raise explain_trouble(run, troubles[0], plan)
    if purges and not troubles:
        raise RefusedError(
            "The version rows are sound: --purge would only take those of other branches away.",
            hint=shlex.join(stamp_command(run, run.destination, purge=False)),
        )


def explain_trouble(run: Run, trouble: RowTrouble, plan: Plan) -> RefusedError:
    """What is wrong with the version rows, who knows of it, and what to type."""
    place = plan.identity.place
    if trouble.kind == "unknown":
        return _unknown(run, trouble, plan)
    proposed = run.destination if run.direction is Direction.STAMP else trouble.by or trouble.row
    fits = find_fitting_heads(run, plan)
    told = f" Its schema is the one of {' + '.join(fits[0])}." if fits and fits[0] else ""
    if fits and fits[0]:
        proposed = fits[0][0]
    why = "" if told else f"where its schema is that of {proposed}"
    ways = [_stamp(run, proposed, why)]
    if len(set(trouble.rows)) > 2 or (trouble.kind == "twice" and len(set(trouble.rows)) > 1):
        ways = [NextCommand(command=_delete(trouble), why="by SQL: rows of other branches stand beside it")]
    elif trouble.kind == "covered":
        ways.append(NextCommand(command=_delete(trouble), why="or by SQL"))
    return RefusedError(f"{place} has {trouble.words}.{told}", hint=as_hint(*ways))


def _stamp(run: Run, revision: str, why: str) -> NextCommand:
    return NextCommand(command=shlex.join(stamp_command(run, revision, purge=True)), why=why)


def restore_command(run: Run, backup: Backup, why: str = "") -> NextCommand:
    """What puts a backup over the target."""
    words = ["ci-migrate", "backup", "restore", backup.backup_id, "--target", run.settings.target]
    return NextCommand(command=shlex.join(words), why=why)


def _look_again(run: Run, why: str) -> NextCommand:
    return NextCommand(command=shlex.join(["ci-migrate", "status", "--target", run.settings.target]), why=why)


def _delete(trouble: RowTrouble) -> str:
    """Plain SQL for one row; a row that stands there twice can only go as a whole."""
    row = trouble.row.replace("'", "''")
    sql = f"DELETE FROM {trouble.table} WHERE version_num = '{row}';"
    return f"{sql} INSERT INTO {trouble.table} VALUES ('{row}');" if trouble.kind == "twice" else sql


def _unknown(run: Run, trouble: RowTrouble, plan: Plan) -> RefusedError:
    if trouble.by:
        return RefusedError(
            f"{plan.identity.place} is at revision {trouble.row}, which was squashed into {trouble.by}: the scripts "
            "that lead from one to the other are gone.",
            hint=f"Migrate it to {trouble.by} by the scripts as they were before the squash (git has them), then by "
            "these.",
        )
    applied = _find_applied(run, trouble.row)
    fits = find_fitting_heads(run, plan)
    known = {revision for heads in fits or () for revision in heads}
    what = f"{plan.identity.place} is at {trouble.words.replace('the revision', 'revision')}."
    if known and trouble.row not in known:
        proposed = min(known)
        return RefusedError(
            f"{what} Its schema is the one of {proposed}, as an earlier run measured it.",
            hint=_stamp(run, proposed, "").command,
        )
    renamed = run.destination if run.direction is Direction.STAMP else "REVISION"
    if applied is None:
        held = _backups(run, trouble.row)
        kept = f" The backup {held[-1].backup_id} was taken there." if held else ""
        return RefusedError(
            f"{what} No run of ci-migrate applied it.{kept}",
            hint=as_hint(
                _look_again(run, "once the branch that has it is checked out"),
                _stamp(run, renamed, "or, where it was only renamed or squashed into one that is here"),
            ),
        )
    record, script = applied
    back = _backup_before(run, record)
    ways = [_look_again(run, f"once the branch that has {script.file} is checked out")]
    if back is not None:
        since = f"{back.backup_time:%Y-%m-%d %H:%M} UTC"
        loses = f"or back to {back.revision or 'base'}, losing what was written since {since}"
        ways.append(restore_command(run, back, loses))
    elif run.direction is Direction.STAMP:
        ways.append(_stamp(run, renamed, f"or, where its changes are those of {renamed}"))
    return RefusedError(
        f"{what} Run {record.run_id} of {record.started:%Y-%m-%d %H:%M} UTC applied it from {script.file} "
        f"(sha256 {script.sha256[:12]}).",
        hint=as_hint(*ways),
    )


def look_at_unstamped(run: Run, plan: Plan) -> tuple[int, str]:
    """Of a database without version rows, how many tables there are, and which history it has lost, in words.

    0 and "" where it has some. A lost history is only told where somebody means the database to begin anew.

    Raises:
        RefusedError: an earlier run left version rows there: they were lost, and maybe all else with them.
    """
    if plan.from_heads or plan.direction is not Direction.UPGRADE:
        return 0, ""
    tables = len(names_of(ObjectKind.TABLE, bare_schema(run.reader, plan)))
    fits = find_fitting_heads(run, plan) if tables else None
    lost = sorted(revision for heads in fits or () for revision in heads)
    left = _left_by_last_run(run)
    if not lost and left is None:
        return tables, ""
    what = f"{plan.identity.place} has {plural(tables, 'table')} and no version row"
    if not tables:
        what = f"{plan.identity.place} is empty: it has no table and no version row"
    if not lost and is_acknowledged(run):
        return tables, _with_history(what, left)
    full = _newest_with_rows(run)
    if not lost or (full is not None and not any(c.rows for c in run.reader.counts().values())):
        raise _lost(run, _with_history(what, left), full)
    stamps = [shlex.join(stamp_command(run, revision, purge=False)) for revision in lost]
    raise RefusedError(
        f"{what}, but its schema is the one of {' + '.join(lost)}, as an earlier run measured it: "
        "its version rows were lost.",
        hint="\n".join(stamps),
    )


def is_acknowledged(run: Run) -> bool:
    """Whether somebody says that what is gone is gone on purpose."""
    found = (one for one in of_settings(run.settings.allow) if one.fits(HISTORY_LOST, None))
    return any(not one.over(now().date()) for one in found)


def _left_by_last_run(run: Run) -> RunRecord | None:
    """The last run that changed the database, if it left version rows there."""
    record = next(run.ledger.changes(database_of(run)), None) if run.ledger is not None else None
    if record is None or record.plan is None or record.state != TargetState.MIGRATED.value:
        return None
    return record if any(c.to_heads for c in record.plan.contexts) else None


def whole_backups(run: Run) -> Iterator[Backup]:
    """The target's backups of everything, the one that came last first: a clock may have been wrong."""
    found = reversed(run.catalog.list(owner_of(run)))
    return (b for b in found if b.status is BackupStatus.SUCCESS and not b.partial)


def _newest_with_rows(run: Run) -> Backup | None:
    return next((b for b in whole_backups(run) if any(c.rows for c in b.row_counts.values())), None)


def _with_history(what: str, left: RunRecord | None) -> str:
    if left is None or left.plan is None:
        return what
    heads = show_heads([c.to_heads for c in left.plan.contexts])
    return f"{what}, but run {left.run_id} of {left.started:%Y-%m-%d %H:%M} UTC left it at {heads}"


def _lost(run: Run, what: str, full: Backup | None) -> RefusedError:
    """A database that has lost its history, or its rows as well."""
    allow = ["--allow", f"{HISTORY_LOST}=it begins anew"]
    again = shlex.join(["ci-migrate", "run", "--target", run.settings.target, *allow])
    meant = NextCommand(command=again, why="where it is meant to begin anew")
    if full is None:
        return RefusedError(f"{what}. No backup holds its rows.", hint=as_hint(meant))
    return RefusedError(
        f"{what}. The backup {full.backup_id} of {full.backup_time:%Y-%m-%d %H:%M} UTC holds rows.",
        hint=as_hint(restore_command(run, full), meant),
    )


def stamp_command(run: Run, revision: str, *, purge: bool) -> list[str]:
    """What marks a revision, as it is typed."""
    flags = ["--purge"] if purge else []
    return ["ci-migrate", "stamp", revision, *flags, "--target", run.settings.target, "--reason", "why"]


def _find_applied(run: Run, revision: str) -> tuple[RunRecord, Revision] | None:
    """The newest run that upgraded to or through a revision, and the script as it was then."""
    record = run.ledger.applying(database_of(run), revision) if run.ledger is not None else None
    script = record.plan.revision(revision) if record is not None and record.plan is not None else None
    return (record, script) if record is not None and script is not None else None


def _backups(run: Run, revision: str) -> list[Backup]:
    return [
        b
        for b in run.catalog.list(owner_of(run))
        if b.status is BackupStatus.SUCCESS and any(revision in heads for heads in b.heads)
    ]


def _backup_before(run: Run, record: RunRecord) -> Backup | None:
    found = (b for b in run.catalog.list(owner_of(run)) if b.backup_id == record.backup_id)
    return next((b for b in found if b.status is BackupStatus.SUCCESS), None)


def find_fitting_heads(run: Run, plan: Plan) -> Heads | None:
    """The version rows that fit the target's schema, by earlier runs' commit points; None if none or several do."""
    if run.ledger is None:
        return None
    now = Fingerprint.of(bare_schema(run.reader, plan))
    # of several that fit none is proposed: a stamp of the wrong one skips migrations
    found: set[Heads] = set()
    for record in run.ledger.plans(database_of(run)):
        if record.plan is not None and record.before is not None:
            evidence = run.ledger.evidence(record.run_id)
            if evidence is not None:
                found.update(_commit_points_like(record.plan, record.before, evidence, now))
    return found.pop() if len(found) == 1 else None


def _commit_points_like(
    plan: Plan, before: Fingerprint, evidence: Evidence, now: Fingerprint
) -> Iterator[Heads]:
    changed = delta(before, now)
    if not changed:
        yield tuple(c.from_heads for c in plan.contexts)
    total: Delta = {}
    for commit_point in evidence.commit_points:
        total.update(commit_point.delta)
        if commit_point.complete and same_change(changed, total, before, evidence.before):
            yield commit_point.heads
