"""Where a target is: what `status`, `history` and `verify` tell. Reads only."""

from dataclasses import dataclass

from ci_migrate.errors import RefusedError
from ci_migrate.gate import resumed
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.migrations.graph import Inspection, inspect, make_plan
from ci_migrate.model import (
    Backup,
    BackupStatus,
    Diagnosis,
    Direction,
    Fingerprint,
    Plan,
    RunRecord,
    TargetState,
)
from ci_migrate.repairs.undo import UNDONE
from ci_migrate.stages.base import Run, bare_schema, child_request, heads_of, show_heads
from ci_migrate.stages.repair import situation_of
from ci_migrate.stages.verify import differs_from_rehearsal
from ci_migrate.stages.version_rows import evidence_of, explained, refuse_rows


@dataclass(frozen=True)
class Status:
    """All of `ci-migrate status`."""

    place: str
    plan: Plan
    production: str  # why it is a production target, "" where it is not
    last: RunRecord | None
    unfinished: RunRecord | None
    diagnosis: Diagnosis | None
    proven: Backup | None
    advice: str
    trouble: RefusedError | None = None  # version rows that make no sense


def status(run: Run) -> Status:
    """Look at scripts, target, ledger and backups.

    Raises:
        CiMigrateError: the scripts or the target can't be read.
    """
    plan, looked = _looked(run)
    troubles = looked.row_troubles
    target = run.settings.target
    last = unfinished = diagnosis = None
    if run.ledger is not None:
        last = next((r for r in run.ledger.runs() if r.target == target), None)
        unfinished = run.ledger.unfinished(target)
    goes_on = undoes = False
    if unfinished is not None:
        situation = situation_of(*resumed(run, unfinished))
        diagnosis = situation.diagnosis
        goes_on = diagnosis.found == "half a revision" and not situation.why_not_forward()
        undoes = diagnosis.found in UNDONE and not situation.additions().why_not
    return Status(
        place=plan.identity.place,
        plan=plan,
        production=run.settings.production_reason,
        last=last,
        unfinished=unfinished,
        diagnosis=diagnosis,
        proven=_proven(run),
        advice=_advice(plan, unfinished, target, goes_on=goes_on, undoes=undoes),
        trouble=explained(run, troubles[0], plan) if troubles else None,
    )


def current_plan(run: Run) -> Plan:
    """The plan as it would be now; where version rows make no sense, nothing is pending."""
    return _looked(run)[0]


def sound_plan(run: Run) -> Plan:
    """The plan as it would be now.

    Raises:
        RefusedError: version rows make no sense to the scripts.
    """
    plan, found = _looked(run)
    refuse_rows(run, found, plan)
    return plan


def _looked(run: Run) -> tuple[Plan, Inspection]:
    request = child_request(run, "check")
    upgrade = run.direction is Direction.UPGRADE
    request["destination"] = "heads" if run.destination == "head" and upgrade else run.destination
    found = inspect(run.workers, request)
    plan = make_plan(
        found,
        target=run.settings.target,
        identity=run.reader.identity(),
        direction=run.direction,
        destination=run.destination,
        project=run.settings.project_dir,
    )
    return plan, found


def proven_backups(ledger: Ledger | None, target: str) -> list[str]:
    """The ids of backups that a dry run restored and found equal, the newest first."""
    if ledger is None:
        return []
    found = []
    for record in ledger.runs(limit=200):
        if record.target != target or record.backup_id is None:
            continue
        dry_run = next((s for s in ledger.stages(record.run_id) if s.stage == "dry-run"), None)
        if dry_run is not None and dry_run.evidence is not None and dry_run.evidence.proven:
            found.append(record.backup_id)
    return found


def _proven(run: Run) -> Backup | None:
    there = {
        b.backup_id: b for b in run.catalog.list(run.settings.target) if b.status is BackupStatus.SUCCESS
    }
    return next((there[i] for i in proven_backups(run.ledger, run.settings.target) if i in there), None)


def _advice(plan: Plan, unfinished: RunRecord | None, target: str, *, goes_on: bool, undoes: bool) -> str:
    back = f"ci-migrate repair --target {target} drops what was added"
    if goes_on:
        also = f"; or back: {back}" if undoes else ""
        return f"ci-migrate repair --forward --target {target}   (shows first: --dry-run{also})"
    if undoes:
        return f"ci-migrate repair --target {target}   (drops what was added; shows first: --dry-run)"
    if unfinished is not None:
        return f"ci-migrate repair --target {target}   (shows first: --dry-run)"
    if plan.pending:
        return f"ci-migrate run --target {target}"
    return "nothing to do"


def verify(run: Run) -> tuple[RunRecord | None, list[str]]:
    """Compare the target with what the last migration by ci-migrate left. Returns that run and the differences."""
    if run.ledger is None:
        return None, []
    migrated = (
        r
        for r in run.ledger.runs(limit=200)
        if r.target == run.settings.target and r.state == TargetState.MIGRATED.value and r.plan is not None
    )
    record = next(migrated, None)
    if record is None or record.plan is None:
        return None, []
    plan = record.plan
    heads, planned = heads_of(run.reader, plan), tuple(c.to_heads for c in plan.contexts)
    if heads != planned:
        return record, [
            f"it is at {show_heads(heads)}, the last run left it at {show_heads(planned)}: applied outside"
        ]
    evidence = evidence_of(run, record)
    if evidence is None or record.before is None:
        return record, []
    now = Fingerprint.of(bare_schema(run.reader, plan))
    return record, differs_from_rehearsal(record.before, now, evidence)
