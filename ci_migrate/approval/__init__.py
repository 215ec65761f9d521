"""Approvals: what an approver says, tokens that confirm, tokens that are signed.

`envelope`, `sshsig`, `signers`, `payload` and `signed` work on data alone: they reach no database.
"""

from ci_migrate.approval.confirmation import (
    TOKEN_LIMIT,
    Approver,
    ConfirmationApprover,
    Decision,
    claim,
    generate,
    list_tokens,
    looks_confirming,
    reserve,
    revoke,
    validate,
)
from ci_migrate.approval.envelope import Envelope, looks_signed, merge
from ci_migrate.approval.payload import ApprovalPayload, Facts, differences, lifetime_refusal
from ci_migrate.approval.signed import Trust, Verified, refuse_too_few, verify
from ci_migrate.approval.signers import Signer, parse_signers

__all__ = [
    "TOKEN_LIMIT",
    "ApprovalPayload",
    "Approver",
    "ConfirmationApprover",
    "Decision",
    "Envelope",
    "Facts",
    "Signer",
    "Trust",
    "Verified",
    "claim",
    "differences",
    "generate",
    "lifetime_refusal",
    "list_tokens",
    "looks_confirming",
    "looks_signed",
    "merge",
    "parse_signers",
    "refuse_too_few",
    "reserve",
    "revoke",
    "validate",
    "verify",
]
