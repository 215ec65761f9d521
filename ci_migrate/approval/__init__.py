"""Approvals: what an approver says, tokens that confirm, tokens that are signed.

`envelope`, `sshsig`, `signers`, `payload` and `signed` work on data alone: they reach no database, and
what is imported from here is imported when it is wanted: the process that verifies a token needs no more than those.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = ("envelope", "payload", "signers", "signed", "confirmation")


def __getattr__(name: str) -> Any:
    for module in _MODULES if name in __all__ else ():
        found = getattr(import_module(f"{__name__}.{module}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
