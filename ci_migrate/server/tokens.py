"""Approval tokens for those who call over HTTP: asked for, made, looked at, or what approvers sign instead."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from ci_migrate.approval.description import describe_request
from ci_migrate.approval.request import ApprovalRequest
from ci_migrate.backups.restore import restore_loss
from ci_migrate.errors import NotApprovedError, RefusedError
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import Plan
from ci_migrate.operations.tokens import (
    Wanted,
    ask_for_approval,
    confirm,
    find_approvable,
    last_evidence,
    look_at_request,
)
from ci_migrate.run.approvals import trust, validate_token
from ci_migrate.run.run import LedgerRun, require_ledger
from ci_migrate.session import open_session
from ci_migrate.settings.settings import Secret, Settings
from ci_migrate.verbs import VERBS

REASON = "asked for over HTTP; who confirms and why come with its use"
SIGN = "ci-migrate approve --key KEY --reason 'why' REQUEST"


def generate_token(
    settings: Settings, interrupt: Interrupt, wanted: Wanted, *, by: str, reason: str, expected: str | None
) -> str | dict[str, Any]:
    """A confirmation token for what is wanted, shown once; where registered approvers sign instead, what they sign.

    Raises:
        RefusedError: nothing is pending, or something else than what has the digest `expected`.
    """
    with open_session(settings, wanted.ask(VERBS["token generate"]), interrupt, ledger=True) as opened:
        run = require_ledger(opened)
        if trust(run) is None:
            return confirm(run, wanted, reason=reason or REASON, by=by, expected=expected)[0]
        request = _request(run, wanted, ask_for_approval)
    words = f"Target {settings.target} has approvers: they sign the request with their SSH keys."
    if request is None:
        how = "Start the migration: it stops after the dry run, and its answer holds the request."
        return {"message": f"{words}\n{how}"}
    return {"message": f"{words}\n{SIGN}", "approvalRequest": msgspec.to_builtins(request)}


def request_approval(settings: Settings, interrupt: Interrupt, wanted: Wanted) -> dict[str, Any]:
    """The request for an approval of what is wanted, which the ledger notes; and who can give it, in words.

    Raises:
        RefusedError: it is a migration, and nothing is pending or rehearsed.
    """
    with open_session(settings, wanted.ask(VERBS["token request"]), interrupt, ledger=True) as opened:
        run = require_ledger(opened)
        request = _request(run, wanted, ask_for_approval)
        signed = trust(run) is not None
    if request is None:
        raise _not_rehearsed(settings)
    how = (
        f"An approver signs it on their own machine:\n{SIGN}"
        if signed
        else f"An approver confirms it:\n{request.how_to_approve[0]}"
    )
    document = msgspec.to_builtins(request)
    return {"message": f"Asked for.\n{how}", "planDigest": request.plan_digest, "approvalRequest": document}


def show_request(settings: Settings, interrupt: Interrupt, wanted: Wanted) -> dict[str, Any]:
    """What is wanted, in words and as the document that approvers sign. Who looks at it has not asked for it.

    Raises:
        RefusedError: as `request_approval`.
    """
    with open_session(settings, wanted.ask(VERBS["token validate"]), interrupt) as opened:
        run = require_ledger(opened)
        request = _request(run, wanted, look_at_request)
        signed = trust(run) is not None
        if request is None:
            raise _not_rehearsed(settings)
        backup = run.catalog.get(wanted.backup_id) if wanted.backup_id and not wanted.tables else None
        lost = restore_loss(run.database, backup) if backup is not None else {}
    return {
        "message": "",
        "purpose": str(request.plan.purpose),
        "lines": describe_request(request),
        "rows": [[table, is_now, then] for table, (is_now, then) in lost.items()],
        "planDigest": request.plan_digest,
        "requester": request.requester,
        "signed": signed,
        "approvalRequest": msgspec.to_builtins(request),
    }


def token_fits(settings: Settings, token: Secret | None, interrupt: Interrupt, wanted: Wanted) -> None:
    """Look at a token as `ci-migrate token validate` does. Raises NotApprovedError: why it can't be used now."""
    with open_session(settings, wanted.ask(VERBS["token validate"]), interrupt) as run:
        if run.ledger is None:
            raise NotApprovedError(f"Target {settings.target} has no ledger yet, so there are no tokens.")
        validate_token(replace(run, token=token), run.ledger, find_approvable(run, wanted))


def _not_rehearsed(settings: Settings) -> RefusedError:
    return RefusedError(
        f"No dry run of what is pending on target {settings.target} is fresh enough to be approved.",
        hint=f"ci-migrate run --target {settings.target}",
    )


def _request(run: LedgerRun, wanted: Wanted, make: Callable[..., ApprovalRequest]) -> ApprovalRequest | None:
    """The request; None for a migration that was not rehearsed: a run asks for that by itself, with its evidence."""
    plan = find_approvable(run, wanted)
    if isinstance(plan, Plan) and plan.changes_nothing:
        raise RefusedError(f"Nothing is pending on {plan.identity.place}: there is nothing to approve.")
    evidence, findings = last_evidence(run, plan) if isinstance(plan, Plan) else (None, ())
    if isinstance(plan, Plan) and not wanted.stamp and evidence is None:
        return None  # nothing to sign yet, so nobody has asked
    return make(run, plan, evidence=evidence, findings=findings)
