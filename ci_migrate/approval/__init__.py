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
    reserve,
    revoke,
    validate,
)

__all__ = [
    "TOKEN_LIMIT",
    "Approver",
    "ConfirmationApprover",
    "Decision",
    "claim",
    "generate",
    "list_tokens",
    "reserve",
    "revoke",
    "validate",
]
