"""The two ways back to a revision: what its schema was there, and which backup was taken there."""

import shlex

import msgspec

from ci_migrate.backups.restore import restore_loss
from ci_migrate.migrations.record import version_table_names
from ci_migrate.model import (
    Backup,
    BackupStatus,
    Delta,
    Direction,
    Evidence,
    Fingerprint,
    NextCommand,
    Outcome,
    Plan,
    Schema,
    StageResult,
    TargetState,
    as_hint,
)
from ci_migrate.run.identity import database_of, owner_of
from ci_migrate.run.run import Run, translate_errors
from ci_migrate.run.since_last_run import definitions_of, difference

SHOWN = 3


def not_as_it_was(run: Run, plan: Plan, before: Fingerprint, now: Schema) -> list[str]:
    """What a downgrade left otherwise than it was at its destination, in words; [] also where nobody knows.

    Only what the runs since then, or the downgrade itself, changed is compared: what else came or went was others'
    doing. Scratch copies are compared with each other, since a restored definition may read differently.

    Args:
        run: this run.
        plan: the downgrade.
        before: the scratch copy before it.
        now: the scratch copy after it.
    """
    there = tuple(c.to_heads for c in plan.contexts)
    since: set[str] = set()
    if run.ledger is None:
        return []
    for record in run.ledger.changes(database_of(run)):
        if record.state != TargetState.MIGRATED.value:
            continue
        evidence = run.ledger.evidence(record.run_id)
        if record.plan is None or evidence is None or record.plan.direction is not Direction.UPGRADE:
            return []  # another way led there: what it was is not known
        was, later = _passed(record.plan, evidence, there)
        since |= later
        if was is not None:
            after = Fingerprint.of(now)
            since |= {name for name, _ in before.objects.items() ^ after.objects.items()}
            known = definitions_of(evidence)
            return [
                f"{difference(name, was, now, known)}, where `was` is run {record.run_id}"
                for name in sorted(since)
                if was.objects.get(name) != after.objects.get(name)
            ]
    return []


def _passed(
    plan: Plan, evidence: Evidence, there: tuple[tuple[str, ...], ...]
) -> tuple[Fingerprint | None, set[str]]:
    """The schema that a run found or made at these heads (None: it was not there), and what it changed after that."""
    was = evidence.before.objects if tuple(c.from_heads for c in plan.contexts) == there else None
    later: set[str] = set()
    total: Delta = {}
    for commit_point in evidence.commit_points:
        total.update(commit_point.delta)
        later |= commit_point.delta.keys()
        if commit_point.complete and commit_point.heads == there:
            kept = {
                name: text for name, text in (evidence.before.objects | total).items() if text is not None
            }
            was, later = kept, set()
    return (None if was is None else Fingerprint(objects=was)), later


def backup_at(run: Run, heads: tuple[tuple[str, ...], ...]) -> Backup | None:
    """The newest whole backup that was taken at these heads."""
    found = (
        b
        for b in reversed(run.catalog.list(owner_of(run)))
        if b.status is BackupStatus.SUCCESS and not b.partial and b.heads == heads
    )
    return next(found, None)


def loss_by_restore(run: Run, plan: Plan, backup: Backup) -> str:
    """What restoring a backup would lose, in words: what was written since, table by table where counts tell it."""
    since = f"what was written since {backup.backup_time:%Y-%m-%d %H:%M} UTC"
    with translate_errors(run.reader):
        tables = restore_loss(run.reader, backup)
    words = [
        f"{table} has {_rows(now)} now, {_rows(then)} in it"
        for table, (now, then) in tables.items()
        if table not in version_table_names(plan)
    ]
    more = f" and {len(words) - SHOWN} tables more" if len(words) > SHOWN else ""
    return f"{since}: {', '.join(words[:SHOWN])}{more}" if words else f"{since}; all row counts are the same"


def _rows(count: int | None) -> str:
    return "no table" if count is None else f"{count:,} rows"


def other_way(run: Run, plan: Plan) -> str:
    """The command that goes back without the downgrade, and what that would lose."""
    backup = backup_at(run, tuple(c.to_heads for c in plan.contexts))
    if backup is None:
        return f"No backup was taken at {plan.destination}: nothing else leads back."
    command = ["ci-migrate", "rollback", "--to", plan.destination, "--by", "restore", "--target", plan.target]
    why = f"or by its backup {backup.backup_id}, which loses {loss_by_restore(run, plan, backup)}"
    return as_hint(NextCommand(command=shlex.join(command), why=why))


def with_other_way(run: Run, plan: Plan, result: StageResult) -> StageResult:
    """A downgrade that was refused, with all that it would lose, and with what else can be done."""
    if plan.direction is not Direction.DOWNGRADE or result.outcome is not Outcome.FAILED:
        return result
    lost = [f for f in result.findings if f.code == "CM403" and f.refuses]
    lines = [result.message, other_way(run, plan)]
    if lost:
        words = " ".join(f.message for f in lost)
        lines = [f"{words} --yes accepts that.", other_way(run, plan)]
    return msgspec.structs.replace(result, message="\n".join(lines))
