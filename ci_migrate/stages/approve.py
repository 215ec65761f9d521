"""approve: a production-tagged target asks every approver; any denial wins; no grant means stop."""

from ci_migrate.approval import claim
from ci_migrate.errors import ExitCode, NotApprovedError
from ci_migrate.model import Outcome, Report, StageResult, TargetState
from ci_migrate.stages.base import Run


def run_stage(run: Run, report: Report) -> StageResult:
    """Ask, and claim the approval that this run reserved."""
    plan = report.plan
    assert plan is not None
    if not run.settings.needs_approval("migrate"):
        return StageResult(stage="approve", outcome=Outcome.SKIPPED, message="This target needs no approval.")
    granted, denied = [], []
    for approver in run.approvers(plan):
        try:
            decision = approver.decide(plan)
        except NotApprovedError as error:
            denied.append(error.what)
        except Exception as error:  # noqa: BLE001 - an approver that breaks is a denial
            denied.append(f"{type(approver).__name__} failed: {type(error).__name__}: {error}")
        else:
            if decision.granted is True:
                granted.append(decision)
            elif decision.granted is False:
                denied.append(decision.reason or "denied")
    approval = report.approval
    if denied or not granted or approval is None or run.ledger is None:
        return _stop(run, denied)
    try:
        claim(run.ledger, approval.approval_id, run.id)
    except NotApprovedError as error:
        return _stop(run, [error.what])
    return StageResult(
        stage="approve",
        outcome=Outcome.PASSED,
        message=f"Approved by {', '.join(approval.approved_by)}: {approval.reason}",
        approval=approval,
    )


def _stop(run: Run, denied: list[str]) -> StageResult:
    command = f"ci-migrate token generate --target {run.settings.target} --reason 'why'"
    why = denied[0] if denied else f"{run.settings.production_reason or 'this stage needs an approval'}"
    message = (
        f"Not approved: {why}\nApprove with: {command}\nthen run again with CI_MIGRATE_TOKEN or --token-file."
    )
    return StageResult(
        stage="approve",
        outcome=Outcome.FAILED,
        message=message,
        exit_code=int(ExitCode.NOT_APPROVED),
        state=TargetState.UNTOUCHED,
    )
