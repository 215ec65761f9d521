"""The runs of a target with who asked for them, who approved them and why: what `ci-migrate history` tells."""

from collections.abc import Sequence
from datetime import datetime

from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Frozen, RunRecord, show_heads
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run


class PastRun(Frozen, frozen=True, kw_only=True):
    """A run as the ledger tells it. `seconds` and `exit_code` are None where it did not end.

    `reason` is the one that was given with the run, else the approval's. `from_heads` and `to_heads` are words for
    people (`base`, several separated by ` + `), "" where there was no plan.
    """

    run_id: str
    command: str
    target: str
    started: datetime
    seconds: float | None
    exit_code: int | None
    state: str | None
    actor: str
    approved_by: tuple[str, ...]
    reason: str
    from_heads: str
    to_heads: str
    backup_id: str | None


def past_runs(run: Run, limit: int) -> tuple[PastRun, ...]:
    """The last runs of the target's database, the newest first; () where there is no ledger yet."""
    if run.ledger is None:
        return ()
    records = run.ledger.history(database_of(run), limit=limit)
    told = who_and_why(run.ledger, [record.run_id for record in records])
    return tuple(_past_run(record, *told[record.run_id]) for record in records)


def who_and_why(ledger: Ledger, run_ids: Sequence[str]) -> dict[str, tuple[tuple[str, ...], str]]:
    """By whom runs were approved, and why they were asked for, else approved; by the runs' ids."""
    reasons, approvals = ledger.reasons(run_ids), ledger.approvals_used(run_ids)
    found = {run_id: approvals.get(run_id, ((), "")) for run_id in run_ids}
    return {run_id: (people, reasons.get(run_id) or why) for run_id, (people, why) in found.items()}


def _past_run(record: RunRecord, approved_by: tuple[str, ...], reason: str) -> PastRun:
    contexts = record.plan.contexts if record.plan is not None else ()
    return PastRun(
        run_id=record.run_id,
        command=record.command,
        target=record.target,
        started=record.started,
        seconds=(record.finished - record.started).total_seconds() if record.finished else None,
        exit_code=record.exit_code,
        state=record.state,
        actor=record.actor,
        approved_by=approved_by,
        reason=reason,
        from_heads=show_heads([c.from_heads for c in contexts]) if contexts else "",
        to_heads=show_heads([c.to_heads for c in contexts]) if contexts else "",
        backup_id=record.backup_id,
    )
