"""Approval by confirmation tokens: random, bound to one plan on one target, used once, kept as a hash only.

Whoever reaches the ledger can confirm: that is what this simple form can promise, and what it says. Signed
approvals (kind "signed") answer the same questions with the same types.
"""

import hashlib
import hmac
import re
import secrets
import shlex
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

import msgspec
from sqlalchemy import Connection, insert, or_, select, update

from ci_migrate.approval.commands import generate_command
from ci_migrate.approval.plan_diff import plan_differences
from ci_migrate.errors import NotApprovedError, UsageError
from ci_migrate.ledger import audit
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.tables import approvals, clock, identity, reservations
from ci_migrate.model import Approval, Direction, Frozen, Plan, TokenRecord, canonical_json

TOKEN_LIMIT = 32 * 1024
"""Characters: more than any token has, signed ones included."""

MAX_VALIDITY_MINUTES = 7 * 24 * 60

_CONFIRMATION = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_SHOWN = 5  # differences that a message names; the rest are counted


class Decision(Frozen, frozen=True, kw_only=True):
    """What an approver says to a plan. `granted`: None is no opinion; one False outweighs every True."""

    granted: bool | None
    by: str = ""
    reason: str = ""
    approval: Approval | None = None


class Approver(Protocol):
    """What the hook `ci_migrate_approvals` returns."""

    def decide(self, plan: Plan) -> Decision:
        """Say yes, no or nothing. Raises NotApprovedError for a token that does not fit."""


@dataclass(frozen=True)
class ConfirmationApprover:
    """Grants a plan that the confirmation token was made for.

    Args:
        ledger: where the token's hash is.
        token: as it came from CI_MIGRATE_TOKEN, a file or standard input; None where there is none.
        run_id: the run that reserved it, for which it expires no more; None looks at the token afresh.
    """

    ledger: Ledger
    token: str | None = field(repr=False)
    run_id: str | None = None

    def decide(self, plan: Plan) -> Decision:
        """Say yes, or nothing where there is no token. Raises NotApprovedError for one that does not fit."""
        if self.token is None:
            return Decision(granted=None, reason="no token was given")
        if self.run_id is None:
            approval = validate(self.ledger, self.token, plan)
        else:
            approval = reserve(self.ledger, self.token, plan, self.run_id)
        by = ", ".join(approval.approved_by)
        return Decision(granted=True, by=by, reason=approval.reason, approval=approval)


# --------------------------------------------------------------------------- making


def generate(
    ledger: Ledger, *, plan: Plan, target: str, reason: str, by: str, validity_minutes: int
) -> tuple[str, Approval]:
    """Make a token for a plan.

    Args:
        ledger: the target's; the token's hash and what it is bound to go there.
        plan: what is approved, and nothing else.
        target: the target's name in the settings.
        reason: why; required.
        by: who approves.
        validity_minutes: from now, by the ledger's clock.

    Returns:
        The token, which is shown once and kept nowhere, and the approval.

    Raises:
        UsageError: no reason, nobody named, or a validity that makes no sense.
    """
    _check_request(reason, by, validity_minutes)
    token = str(uuid.uuid4())
    with ledger.writing() as connection:
        created = clock(connection)
        approval = Approval(
            approval_id=f"approval-{secrets.token_hex(6)}",
            kind="confirmation",
            plan_digest=plan.digest,
            target=target,
            approved_by=(by.strip(),),
            reason=reason.strip(),
            created=created,
            expires=created + timedelta(minutes=validity_minutes),
        )
        connection.execute(insert(approvals).values(_row_of(approval, plan, token, _uuid(connection))))
        audit.append(connection, "token generated", None, {"approval": approval})
    return token, approval


def _check_request(reason: str, by: str, validity_minutes: int) -> None:
    if not reason.strip():
        raise UsageError("An approval needs a reason.", hint="Say why: --reason 'ticket 4711: ...'")
    if not by.strip():
        raise UsageError("An approval needs somebody who gives it.", hint="Say who: --by NAME")
    if not 1 <= validity_minutes <= MAX_VALIDITY_MINUTES:
        raise UsageError(
            f"A token can't be valid for {validity_minutes} minutes.",
            hint=f"Set token-validity-minutes to 1 up to {MAX_VALIDITY_MINUTES}.",
        )


def _row_of(approval: Approval, plan: Plan, token: str, target_uuid: str) -> dict[str, Any]:
    return {
        "approval_id": approval.approval_id,
        "kind": approval.kind,
        "token_sha256": _digest(token),
        "target_uuid": target_uuid,
        "target": approval.target,
        "plan_digest": approval.plan_digest,
        "direction": plan.direction.value,
        "from_heads": canonical_json(plan.from_heads).decode(),
        "destination": plan.destination,
        "plan": plan,
        "reason": approval.reason,
        "approved_by": canonical_json(approval.approved_by).decode(),
        "created": approval.created,
        "expires": approval.expires,
    }


# --------------------------------------------------------------------------- using


def validate(ledger: Ledger, token: str, plan: Plan | None) -> Approval:
    """The approval that a token stands for, if it could be used now.

    Args:
        ledger: the target's.
        token: as given; white space around it is no harm.
        plan: what it must have been made for; None looks at the token alone.

    Raises:
        NotApprovedError: why not.
    """
    digest = _digest(_well_formed(token))
    with ledger.reading() as connection:
        row = _find(ledger, connection, digest, plan)
        _refuse_unfit(connection, row, plan, run_id=None)
        return _approval(row)


def reserve(ledger: Ledger, token: str, plan: Plan, run_id: str) -> Approval:
    """Bind a token to a run at its start. Expiry is judged now, not later: a backup may take hours.

    Another run may reserve it too; `claim` decides. The same run may reserve it again, when it resumes.

    Raises:
        NotApprovedError: why the token is of no use to this run.
    """
    digest = _digest(_well_formed(token))
    with ledger.writing() as connection:
        row = _find(ledger, connection, digest, plan)
        _refuse_unfit(connection, row, plan, run_id=run_id)
        if not _reserved(connection, row.approval_id, run_id):
            values = {"approval_id": row.approval_id, "run_id": run_id, "at": clock(connection)}
            connection.execute(insert(reservations).values(values))
            audit.append(connection, "token reserved", run_id, {"approvalId": row.approval_id})
        return _approval(row)


def claim(ledger: Ledger, approval_id: str, run_id: str) -> None:
    """Use an approval up, for this run. When this returns it is committed: now the run may migrate.

    Exactly one run gets it. A second call by the same run is fine.

    Raises:
        NotApprovedError: another run used it, it was revoked, or this run never reserved it.
    """
    mine = approvals.c.approval_id == approval_id
    with ledger.writing() as connection:
        if not _reserved(connection, approval_id, run_id):
            raise NotApprovedError(f"Run {run_id} has not reserved {approval_id}.")
        free = (mine, approvals.c.claimed_by.is_(None), approvals.c.revoked.is_(None))
        statement = update(approvals).where(*free)
        if connection.execute(statement.values(claimed_by=run_id, claimed=clock(connection))).rowcount == 1:
            audit.append(connection, "token used", run_id, {"approvalId": approval_id})
            return
        row = connection.execute(select(approvals).where(mine)).one()
        if row.claimed_by != run_id:
            _refuse_gone(row)


def looks_confirming(token: str) -> bool:
    """Whether this has the form of a confirmation token; says nothing of whether it is any good."""
    return _CONFIRMATION.fullmatch(token.strip()) is not None


def _well_formed(token: str) -> str:
    if len(token) > TOKEN_LIMIT:
        raise NotApprovedError(f"The token is too long: {len(token)} characters.", hint=_HINT)
    words = token.split()
    if not words:
        raise NotApprovedError("The token is empty.", hint=_HINT)
    if len(words) > 1:
        raise NotApprovedError("More than one token was given, or one with white space in it.", hint=_HINT)
    if not _CONFIRMATION.fullmatch(words[0]):
        raise NotApprovedError("The token is malformed: ci-migrate makes no such tokens.", hint=_HINT)
    return words[0].lower()


_HINT = "Pass exactly what `ci-migrate token generate` printed: CI_MIGRATE_TOKEN, or --token-file FILE."


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _find(ledger: Ledger, connection: Connection, digest: str, plan: Plan | None) -> Any:
    row = connection.execute(select(approvals).where(approvals.c.token_sha256 == digest)).one_or_none()
    if row is None or not hmac.compare_digest(row.token_sha256, digest):
        raise NotApprovedError(
            f"The ledger ({ledger.place}) knows no such token: it was made for another target, or never.",
            hint=_generate_anew(plan),
        )
    return row


def _refuse_unfit(connection: Connection, row: Any, plan: Plan | None, run_id: str | None) -> None:
    """Raise NotApprovedError unless the token can be used, by this run where one is named."""
    anew = _generate_anew(plan or row.plan)
    if row.target_uuid != _uuid(connection):
        raise NotApprovedError("The token was made for another target than this database.", hint=anew)
    if plan is not None and plan.target != row.target:
        raise NotApprovedError(
            f"The token was made for the target {row.target}, not for {plan.target}.", hint=anew
        )
    if row.revoked is not None or row.claimed_by not in (None, run_id):
        _refuse_gone(row)
    now = clock(connection)
    judged = run_id is not None and _reserved(connection, row.approval_id, run_id)
    if now >= row.expires and not judged:
        raise NotApprovedError(
            f"The token expired at {_time(row.expires)}; the ledger's clock says {_time(now)}.", hint=anew
        )
    if plan is not None and not hmac.compare_digest(row.plan_digest, plan.digest):
        named = plan_differences(row.plan, plan) or ["its details differ"]
        more = [f"{len(named) - _SHOWN} more differences"] if len(named) > _SHOWN else []
        raise NotApprovedError(
            f"The token was made for another plan: {'; '.join(named[:_SHOWN] + more)}.", hint=anew
        )


def _refuse_gone(row: Any) -> NoReturn:
    anew = _generate_anew(row.plan)
    if row.revoked is not None:
        raise NotApprovedError(f"The token was revoked at {_time(row.revoked)}.", hint=anew)
    raise NotApprovedError(
        f"The token was used already, by run {row.claimed_by} at {_time(row.claimed)}.", hint=anew
    )


# --------------------------------------------------------------------------- looking after


def list_tokens(ledger: Ledger) -> tuple[TokenRecord, ...]:
    """All tokens that were ever made, newest first; without the tokens themselves."""
    with ledger.reading() as connection:
        now = clock(connection)
        rows = connection.execute(select(approvals).order_by(approvals.c.created.desc())).all()
    return tuple(_record(row, now) for row in rows)


def revoke(
    ledger: Ledger, which: str | None = None, *, all_before: datetime | None = None, by: str = ""
) -> tuple[str, ...]:
    """Make tokens useless. A run that has reserved one but not yet used it stops before it migrates.

    Args:
        ledger: the target's.
        which: an approval's id, or the token itself.
        all_before: or all that were made before this time.
        by: who revokes, for the audit trail.

    Returns:
        The ids of those that were revoked now; used and revoked ones are left alone.

    Raises:
        UsageError: neither or both were given, or there is no such token, or it was used already.
    """
    if (which is None) == (all_before is None):
        raise UsageError(
            "Name one token, or a time before which all are revoked.", hint="ci-migrate token list"
        )
    with ledger.writing() as connection:
        if which is None:
            chosen = approvals.c.created < all_before
        else:
            name = which.strip()
            chosen = or_(approvals.c.approval_id == name, approvals.c.token_sha256 == _digest(name.lower()))
            _refuse_missing(connection.execute(select(approvals).where(chosen)).one_or_none())
        free = (chosen, approvals.c.claimed_by.is_(None), approvals.c.revoked.is_(None))
        ids = tuple(
            connection.execute(select(approvals.c.approval_id).where(*free).with_for_update()).scalars()
        )
        if ids:
            statement = update(approvals).where(approvals.c.approval_id.in_(ids))
            connection.execute(statement.values(revoked=clock(connection)))
            audit.append(connection, "token revoked", None, {"approvalIds": ids, "by": by})
    return ids


def _refuse_missing(row: Any) -> None:
    if row is None:
        raise UsageError("The ledger knows no such token.", hint="ci-migrate token list")
    if row.claimed_by is not None:
        raise UsageError(
            f"{row.approval_id} was used already, by run {row.claimed_by} at {_time(row.claimed)}.",
            hint="ci-migrate history",
        )


# --------------------------------------------------------------------------- small


def _reserved(connection: Connection, approval_id: str, run_id: str) -> bool:
    mine = (reservations.c.approval_id == approval_id, reservations.c.run_id == run_id)
    return connection.execute(select(reservations.c.at).where(*mine)).first() is not None


def _uuid(connection: Connection) -> str:
    return str(connection.execute(select(identity.c.uuid)).scalar_one())


def _approval(row: Any) -> Approval:
    return Approval(
        approval_id=row.approval_id,
        kind=row.kind,
        plan_digest=row.plan_digest,
        target=row.target,
        approved_by=msgspec.json.decode(row.approved_by, type=tuple[str, ...]),
        reason=row.reason,
        created=row.created,
        expires=row.expires,
    )


def _record(row: Any, now: datetime) -> TokenRecord:
    status = "valid"
    if row.revoked is not None:
        status = "revoked"
    elif row.claimed_by is not None:
        status = "used"
    elif now >= row.expires:
        status = "expired"
    return TokenRecord(
        approval=_approval(row),
        status=status,
        direction=Direction(row.direction),
        destination=row.destination,
        from_heads=msgspec.json.decode(row.from_heads, type=tuple[str, ...]),
        used_by=row.claimed_by,
        used=row.claimed,
        revoked=row.revoked,
    )


def _generate_anew(plan: Plan | None) -> str:
    command = ["ci-migrate", "token", "generate"] if plan is None else generate_command(plan)
    return f"Ask for a new one: {shlex.join(command)} --reason '...'"


def _time(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"
