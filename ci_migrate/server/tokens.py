"""Approval tokens for those who call over HTTP: made, looked at, or what approvers sign instead."""

import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec

from ci_migrate.approval.command_lines import go_on_command
from ci_migrate.approval.request import approval_request
from ci_migrate.approval.requester import commit_of
from ci_migrate.approval.tokens import generate
from ci_migrate.errors import NotApprovedError, RefusedError
from ci_migrate.gate import actor
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import Direction, Evidence, Finding, Plan, Report, Restoration
from ci_migrate.operations.backups import restoration_of
from ci_migrate.operations.status import sound_plan
from ci_migrate.run.approvals import trust, validate_token
from ci_migrate.run.identity import database_of
from ci_migrate.run.inputs import covered_inputs, last_approved
from ci_migrate.run.run import LedgerRun, Run, require_ledger
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import Secret, Settings
from ci_migrate.verbs import VERBS

REASON = "asked for over HTTP; who confirms and why come with its use"


def generate_token(
    settings: Settings,
    interrupt: Interrupt,
    direction: Direction,
    destination: str | None,
    backup_id: str,
    *,
    by: str,
    plan_digest: str = "",
) -> str | None:
    """A confirmation token for what is pending now, shown once; None where registered approvers sign instead.

    Raises:
        RefusedError: nothing is pending, or another plan than the one with this digest.
    """
    asked = GateRequest(VERBS["token generate"], direction=direction, destination=destination)
    with open_session(settings, asked, interrupt, ledger=True) as opened:
        run = require_ledger(opened)
        if trust(run) is not None:
            return None
        plan = _plan(run, backup_id)
        if isinstance(plan, Plan) and plan.changes_nothing:
            raise RefusedError(f"Nothing is pending on {plan.identity.place}: there is nothing to approve.")
        if plan_digest not in ("", plan.digest):
            raise RefusedError(
                "Another plan is pending than the one that was looked at: it changed since.",
                hint=f"Run it again: ci-migrate run --target {settings.target}",
            )
        token, _approval = generate(
            run.ledger,
            plan=plan,
            target=settings.target,
            reason=REASON,
            by=by,
            validity_minutes=settings.token_validity_minutes,
            inputs=covered_inputs(run, plan),
        )
    return token


def token_fits(
    settings: Settings,
    token: Secret | None,
    interrupt: Interrupt,
    direction: Direction,
    destination: str | None,
    backup_id: str = "",
) -> None:
    """Look at a token as `ci-migrate token validate` does. Raises NotApprovedError: why it can't be used now."""
    asked = GateRequest(VERBS["token validate"], direction=direction, destination=destination)
    with open_session(settings, asked, interrupt) as run:
        if run.ledger is None:
            raise NotApprovedError(f"Target {settings.target} has no ledger yet, so there are no tokens.")
        validate_token(replace(run, token=token), run.ledger, _plan(run, backup_id))


def approval_needed(
    settings: Settings, interrupt: Interrupt, direction: Direction, destination: str | None, backup_id: str
) -> dict[str, Any]:
    """What is answered where registered approvers sign: the request, with the evidence of the last dry run."""
    asked = GateRequest(VERBS["token generate"], direction=direction, destination=destination)
    with open_session(settings, asked, interrupt, ledger=True) as opened:
        run = require_ledger(opened)
        plan = _plan(run, backup_id)
        evidence, findings = _last_evidence(run, plan) if isinstance(plan, Plan) else (None, ())
        words = f"Target {settings.target} has approvers: they sign this request with their SSH keys."
        if evidence is None and not backup_id:
            how = "Start the migration: it stops after the dry run, and its answer holds the request to sign."
            return {"message": f"{words.replace('this request', 'a request')}\n{how}", "needsApprovers": True}
        request = approval_request(
            plan,
            evidence,
            findings,
            settings.target,
            shlex.join(go_on_command(plan)),
            target_uuid=run.ledger.uuid,
            requester=actor(settings),
            commit=commit_of(settings.environ),
            validity_minutes=settings.token_validity_minutes,
            last=last_approved(run),
        )
        run.ledger.note_request(None, plan_digest=plan.digest, direction=plan.purpose, by=request.requester)
    hint = "ci-migrate approve --key KEY --reason 'why' REQUEST"
    document = msgspec.to_builtins(request)
    return {"message": f"{words}\n{hint}", "needsApprovers": True, "approvalRequest": document}


def _last_evidence(run: LedgerRun, plan: Plan) -> tuple[Evidence | None, tuple[Finding, ...]]:
    """Of the newest run that rehearsed this very plan and is not too old, with the findings of that run."""
    age = timedelta(seconds=run.settings.max_evidence_age)
    run_id = run.ledger.rehearsed(database_of(run), plan.digest, age)
    record = run.ledger.run(run_id) if run_id is not None else None
    if record is None:
        return None, ()
    report = Report(
        run_id=record.run_id,
        command=record.command,
        target=record.target,
        started=record.started,
        version="",
        results=run.ledger.stages(record.run_id),
    )
    return report.evidence, report.findings


def _plan(run: Run, backup_id: str) -> Plan | Restoration:
    return restoration_of(run, run.catalog.get(backup_id)) if backup_id else sound_plan(run)
