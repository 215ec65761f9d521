"""Signed tokens and the ledger: seen, reserved, used, revoked; by nonce, so that each counts once."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NoReturn

import msgspec
from sqlalchemy import Connection, insert, select, update

from ci_migrate.approval.confirmation import MAX_VALIDITY_MINUTES
from ci_migrate.approval.payload import ApprovalPayload, decode_payload, lifetime_refusal
from ci_migrate.approval.signed import Trust, Verified, refuse_too_few
from ci_migrate.approval.verify_process import verify_apart
from ci_migrate.errors import NotApprovedError
from ci_migrate.ledger import audit
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.tables import clock, nonces, reservations
from ci_migrate.model import Approval, TokenRecord, canonical_json

LONGEST = timedelta(minutes=MAX_VALIDITY_MINUTES + 2)
"""Between when a token was made and when it expires; two minutes are for clocks that differ."""


def look_at(
    ledger: Ledger, token: str, trust: Trust, *, asking: Collection[str], run_id: str | None = None
) -> Verified:
    """Verify a signed token, and reserve it for a run: for that one it expires no more.

    What it was signed for is compared with the plan later, when there is one; see `payload.differences`.

    Args:
        ledger: the target's; its clock counts.
        token: as given.
        trust: who may approve.
        asking: names of who started this run.
        run_id: the run that reserves it; None only looks.

    Raises:
        NotApprovedError: why it can't be used.
    """
    with ledger.writing() as connection:
        now = clock(connection)
        verified = verify_apart(token, trust, now)
        payload = verified.payload
        refuse_too_few(verified, trust, asking)
        row = _row(connection, payload)
        if row is not None:
            _refuse_gone(row, run_id)
        reserved = run_id is not None and _is_reserved(connection, payload.nonce, run_id)
        refusal = "" if reserved else lifetime_refusal(payload, now, LONGEST)
        if refusal:
            raise NotApprovedError(refusal, hint=_ANEW)
        if run_id is not None and not reserved:
            _reserve(connection, verified, run_id, seen=row is not None)
    return verified


_ANEW = "Ask for another approval: run again, and send the approvers approval-request.json."


def _row(connection: Connection, payload: ApprovalPayload) -> Any:
    return connection.execute(select(nonces).where(nonces.c.approval_id == payload.nonce)).one_or_none()


def _is_reserved(connection: Connection, nonce: str, run_id: str) -> bool:
    mine = (reservations.c.approval_id == nonce, reservations.c.run_id == run_id)
    return connection.execute(select(reservations.c.at).where(*mine)).first() is not None


def _reserve(connection: Connection, verified: Verified, run_id: str, *, seen: bool) -> None:
    payload, now = verified.payload, clock(connection)
    if not seen:
        connection.execute(
            insert(nonces).values(
                approval_id=payload.nonce,
                payload=payload.encode().decode(),
                approved_by=canonical_json(verified.approved_by).decode(),
                emergency=verified.emergency,
                seen=now,
            )
        )
    connection.execute(insert(reservations).values(approval_id=payload.nonce, run_id=run_id, at=now))
    facts = {
        "approvalId": payload.nonce,
        "by": verified.approved_by,
        "keys": [signer.fingerprint for signer in verified.signers],
        "reason": payload.reason,
        "requester": payload.requester,
        "planDigest": payload.plan_digest,
    }
    audit.append(connection, "token reserved", run_id, facts)
    if verified.emergency:
        audit.append(connection, "EMERGENCY KEY", run_id, facts)


def claim(ledger: Ledger, nonce: str, run_id: str) -> None:
    """Use a signed token up, for this run; as `confirmation.claim`.

    Raises:
        NotApprovedError: another run used it, it was revoked, or this run never reserved it.
    """
    mine = nonces.c.approval_id == nonce
    with ledger.writing() as connection:
        if not _is_reserved(connection, nonce, run_id):
            raise NotApprovedError(f"Run {run_id} has not reserved {nonce}.")
        free = (mine, nonces.c.claimed_by.is_(None), nonces.c.revoked.is_(None))
        values = {"claimed_by": run_id, "claimed": clock(connection)}
        if connection.execute(update(nonces).where(*free).values(**values)).rowcount == 1:
            audit.append(connection, "token used", run_id, {"approvalId": nonce})
            return
        _refuse_gone(connection.execute(select(nonces).where(mine)).one(), run_id)


def stages_of(ledger: Ledger, run_id: str) -> tuple[str, ...] | None:
    """What the signed token that a run used names as allowed; None where it used none."""
    with ledger.reading() as connection:
        payload = connection.execute(
            select(nonces.c.payload).where(nonces.c.claimed_by == run_id)
        ).scalar_one_or_none()
    return None if payload is None else decode_payload(str(payload).encode()).stages


def records(ledger: Ledger) -> tuple[TokenRecord, ...]:
    """All signed tokens that were seen, newest first; without the tokens themselves."""
    with ledger.reading() as connection:
        now = clock(connection)
        rows = connection.execute(select(nonces).order_by(nonces.c.seen.desc())).all()
    return tuple(_record(row, now) for row in rows)


def _record(row: Any, now: datetime) -> TokenRecord:
    payload = decode_payload(row.payload.encode())
    status = "revoked" if row.revoked else "used" if row.claimed_by else "valid"
    return TokenRecord(
        approval=Approval(
            approval_id=row.approval_id,
            kind="signed",
            plan_digest=payload.plan_digest,
            target=payload.target,
            approved_by=msgspec.json.decode(row.approved_by, type=tuple[str, ...]),
            reason=payload.reason,
            created=payload.issued,
            expires=payload.expires,
        ),
        status="expired" if status == "valid" and now >= payload.expires else status,
        direction=payload.direction,
        destination=payload.destination,
        from_heads=payload.from_heads,
        used_by=row.claimed_by,
        used=row.claimed,
        revoked=row.revoked,
    )


def revoke(ledger: Ledger, payload: ApprovalPayload, by: str) -> None:
    """Make a signed token useless, seen before or not; what is used stays used."""
    with ledger.writing() as connection:
        now = clock(connection)
        if _row(connection, payload) is None:
            connection.execute(
                insert(nonces).values(
                    approval_id=payload.nonce,
                    payload=payload.encode().decode(),
                    approved_by="[]",
                    emergency=False,
                    seen=now,
                )
            )
        free = (
            nonces.c.approval_id == payload.nonce,
            nonces.c.claimed_by.is_(None),
            nonces.c.revoked.is_(None),
        )
        connection.execute(update(nonces).where(*free).values(revoked=now))
        audit.append(connection, "token revoked", None, {"approvalIds": [payload.nonce], "by": by})


def _refuse_gone(row: Any, run_id: str | None) -> None:
    if row.revoked is not None:
        _refuse(f"The token was revoked at {row.revoked:%Y-%m-%d %H:%M:%S} UTC.")
    if row.claimed_by not in (None, run_id):
        _refuse(
            f"The token was used already, by run {row.claimed_by} at {row.claimed:%Y-%m-%d %H:%M:%S} UTC."
        )


def _refuse(what: str) -> NoReturn:
    raise NotApprovedError(what, hint=_ANEW)


def approval_of(verified: Verified) -> Approval:
    """A signed token as the noun that reports show."""
    payload = verified.payload
    return Approval(
        approval_id=payload.nonce,
        kind="signed",
        plan_digest=payload.plan_digest,
        target=payload.target,
        approved_by=verified.approved_by,
        reason=payload.reason,
        created=payload.issued,
        expires=payload.expires,
    )
