"""What the ledger keeps of dry runs: which backup each proved, which plan it is evidence for, and a seal on that.

The seal is the sha256 of what was measured and found. It stands in the audit trail: evidence that somebody edits later
is found out by whoever wants to use it again.
"""

import msgspec
from sqlalchemy import Connection, insert, select

from ci_migrate.ledger.audit import STAGE
from ci_migrate.ledger.tables import audit, clock, printable, rehearsals, runs, stages
from ci_migrate.model import Outcome, StageResult, canonical_json, sha256_hex


def seal_of(result: StageResult) -> str:
    """The sha256 of what a dry run measured and found."""
    members = (result.outcome, result.evidence, result.findings)
    return sha256_hex(canonical_json(printable(msgspec.to_builtins(members))))


def note(connection: Connection, run_id: str, result: StageResult) -> dict[str, str]:
    """Write down what a dry run tells of others: its plan has evidence, its backup is proven.

    Nothing of one that used an earlier one's evidence: that would never grow old.

    Returns the seal, as the audit trail has it; {} where nothing was measured.
    """
    if result.stage != "dry-run" or result.evidence is None or result.reused is not None:
        return {}
    database_id = select(runs.c.database_id).where(runs.c.run_id == run_id)
    before = select(stages.c.result).where(stages.c.run_id == run_id, stages.c.stage.in_(("check", "backup")))
    earlier = connection.execute(before.order_by(stages.c.sequence)).scalars().all()
    plan = next((stage.plan for stage in earlier if stage.plan is not None), result.plan)
    backup = next((stage.backup for stage in earlier if stage.backup is not None), None)
    connection.execute(
        insert(rehearsals).values(
            database_id=connection.execute(database_id).scalar_one_or_none(),
            run_id=run_id,
            backup_id=backup.backup_id if backup is not None else None,
            plan_digest=plan.digest if plan is not None else None,
            passed=result.outcome is Outcome.PASSED,
            proven=result.evidence.proven,
            recorded=clock(connection),
        )
    )
    return {"evidence": seal_of(result)}


def dry_run(connection: Connection, run_id: str) -> StageResult | None:
    """What the dry run of a run gave, if it passed."""
    passed = select(stages.c.result).where(
        stages.c.run_id == run_id, stages.c.stage == "dry-run", stages.c.outcome == Outcome.PASSED.value
    )
    return connection.execute(passed.order_by(stages.c.sequence).limit(1)).scalar_one_or_none()


def sealed(connection: Connection, run_id: str) -> str:
    """The seal that the audit trail has of the dry run of a run; "" where it has none."""
    told = select(audit.c.facts).where(audit.c.kind == STAGE, audit.c.run_id == run_id)
    facts = map(msgspec.json.decode, connection.execute(told.order_by(audit.c.sequence)).scalars())
    return next((str(f["evidence"]) for f in facts if "evidence" in f), "")
