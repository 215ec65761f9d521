"""Approval tokens as rows of the ledger, and as the nouns that others know."""

from datetime import datetime
from typing import Any

import msgspec

from ci_migrate.model import Approval, Purpose, TokenKind, TokenRecord, canonical_json


def row_of(approval: Approval, purpose: str, from_heads: tuple[str, ...], destination: str) -> dict[str, Any]:
    """The columns that both kinds of tokens have."""
    return {
        "approval_id": approval.approval_id,
        "kind": approval.kind.value,
        "target": approval.target,
        "plan_digest": approval.plan_digest,
        "direction": str(purpose),
        "from_heads": canonical_json(from_heads).decode(),
        "destination": destination,
        "reason": approval.reason,
        "approved_by": canonical_json(approval.approved_by).decode(),
        "created": approval.created,
        "expires": approval.expires,
    }


def approval_of(row: Any) -> Approval:
    """What a token stands for; the dry run that it names is not in its row."""
    return Approval(
        approval_id=row.approval_id,
        kind=TokenKind(row.kind),
        plan_digest=row.plan_digest,
        target=row.target,
        approved_by=msgspec.json.decode(row.approved_by, type=tuple[str, ...]),
        reason=row.reason,
        created=row.created,
        expires=row.expires,
    )


def record_of(row: Any, now: datetime) -> TokenRecord:
    """What the ledger knows of a token, at a time of its clock."""
    status = "valid"
    if row.revoked is not None:
        status = "revoked"
    elif row.claimed_by is not None:
        status = "used"
    elif now >= row.expires:
        status = "expired"
    return TokenRecord(
        approval=approval_of(row),
        status=status,
        direction=Purpose(row.direction),
        destination=row.destination,
        from_heads=msgspec.json.decode(row.from_heads, type=tuple[str, ...]),
        used_by=row.claimed_by,
        used=row.claimed,
        revoked=row.revoked,
    )
