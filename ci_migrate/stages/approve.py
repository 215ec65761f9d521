"""approve: a production-tagged target asks every approver; any denial wins; no grant means stop."""

import copy
from functools import partial

from ci_migrate.approval.decision import Approver, Decision
from ci_migrate.errors import CiMigrateError, ExitCode, NotApprovedError
from ci_migrate.model import Outcome, Plan, Report, StageResult, TargetState
from ci_migrate.run.approvals import (
    TokenApprover,
    claim_approval,
    evidence_of,
    how_many_approve,
    how_others_sign,
    how_to_approve,
)
from ci_migrate.run.authorization import why_needed
from ci_migrate.run.inputs import approved_inputs
from ci_migrate.run.run import Run, WritingRun
from ci_migrate.timeouts import call_with_timeout


def run_stage(run: WritingRun, plan: Plan, report: Report) -> StageResult:
    """Ask, and claim the approval that this run reserved."""
    why = why_needed(run, run.direction)
    if not why:
        return StageResult(stage="approve", outcome=Outcome.SKIPPED, message="This target needs no approval.")
    try:
        inputs = approved_inputs(plan, report.evidence)
        approvers = (TokenApprover(run, evidence_of(report), inputs), *run.approvers(plan))
        decisions = [_ask(approver, plan, run.settings.hook_timeout) for approver in approvers]
    except CiMigrateError as error:  # a plugin that can't even name its approvers denies
        return _stop(run, plan, why, [error.what])
    denied = [d.reason or "denied" for d in decisions if d.granted is False]
    granted = any(d.granted is True for d in decisions)
    approval = report.approval
    # a grant of a plugin alone is none: without a token nothing was reserved
    if denied or not granted or approval is None:
        return _stop(run, plan, why, denied)
    try:
        claim_approval(run, approval)
    except NotApprovedError as error:
        return _stop(run, plan, why, ["\n".join(part for part in (error.what, error.hint) if part)])
    return StageResult(
        stage="approve",
        outcome=Outcome.PASSED,
        message=f"Approved by {', '.join(approval.approved_by)}: {approval.reason}",
        approval=approval,
    )


def _ask(approver: Approver, plan: Plan, seconds: float) -> Decision:
    """What an approver says; one that breaks, or answers with something else than a decision, denies."""
    try:
        # a copy: a plan holds dicts, and what one approver changes is neither what the next sees nor what runs
        decision = call_with_timeout(partial(approver.decide, copy.deepcopy(plan)), seconds)
    except NotApprovedError as error:
        return Decision(granted=False, reason=error.what)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an approver that breaks is a denial
        return Decision(
            granted=False, reason=f"{type(approver).__name__} failed: {type(error).__name__}: {error}"
        )
    if isinstance(decision, Decision):
        return decision
    return Decision(granted=False, reason=f"{type(approver).__name__} answered with no decision")


def _stop(run: Run, plan: Plan, why: str, denied: list[str]) -> StageResult:
    message = (
        f"Not approved: {denied[0] if denied else f'{why}. {how_many_approve(run)}'}\n"
        "# gives the approval; then run again with CI_MIGRATE_TOKEN or --token-file\n"
        f"{how_to_approve(run, plan)}"
        f"{how_others_sign(run)}"
    )
    return StageResult(
        stage="approve",
        outcome=Outcome.FAILED,
        message=message,
        exit_code=int(ExitCode.NOT_APPROVED),
        state=TargetState.UNTOUCHED,
    )
