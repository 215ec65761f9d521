"""The store of approval tokens: one table of the ledger, for both kinds of them. Each token counts once.

A confirmation token is random, made here, bound to one plan on one target and kept as a hash only. Whoever reaches the
ledger can make one: that is what this simple form can promise, and what it says. A signed token is made far from the
ledger, which gets to know it when it is reserved or revoked, by the nonce in its payload.
"""

import hashlib
import hmac
import re
import secrets
import shlex
import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NoReturn

import msgspec
from sqlalchemy import Connection, insert, or_, select, update

from ci_migrate.approval.command_lines import generate_command
from ci_migrate.approval.envelope import Envelope, is_envelope
from ci_migrate.approval.many import payload_to_revoke
from ci_migrate.approval.payload import CLOCKS_DIFFER, ApprovalPayload, decode_payload, lifetime_refusal
from ci_migrate.approval.plan_diff import SHOWN, covering, input_refusal, plan_diff
from ci_migrate.approval.token_rows import approval_of, record_of, row_of
from ci_migrate.approval.trust import Trust
from ci_migrate.approval.verification import Verified, refuse_too_few
from ci_migrate.approval.verify_process import verify_isolated
from ci_migrate.errors import NotApprovedError, UsageError
from ci_migrate.ledger import audit
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.tables import clock, identity, reservations, tokens
from ci_migrate.model import Approvable, Approval, Inputs, NamedRehearsal, TokenKind, TokenRecord

TOKEN_LIMIT = 32 * 1024
"""Characters: more than any token has, signed ones included."""

MAX_VALIDITY_MINUTES = 7 * 24 * 60
LONGEST = timedelta(minutes=MAX_VALIDITY_MINUTES + 2)
"""The longest life of a signed token; two minutes are for clocks that differ."""

_CONFIRMATION = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_HINT = "Pass exactly what `ci-migrate token generate` printed: CI_MIGRATE_TOKEN, or --token-file FILE."
_SIGN_ANEW = "Ask for another approval: run again, and send the approvers approval-request.json."


def kind_of(token: str) -> TokenKind | None:
    """The kind of a token by its form, None where it is neither; says nothing of whether it is any good."""
    if _CONFIRMATION.fullmatch(token.strip()):
        return TokenKind.CONFIRMATION
    return TokenKind.SIGNED if is_envelope(token) else None


# --------------------------------------------------------------------------- confirmation tokens


def generate(
    ledger: Ledger,
    *,
    plan: Approvable,
    target: str,
    reason: str,
    by: str,
    validity_minutes: int,
    inputs: Inputs | None = None,
    rehearsal: NamedRehearsal | None = None,
) -> tuple[str, Approval]:
    """Make a confirmation token.

    Args:
        ledger: the target's; the token's hash and what it is bound to go there.
        plan: what is approved, and nothing else.
        target: the target's name in the settings.
        reason: why; required.
        by: who approves.
        validity_minutes: from now, by the ledger's clock.
        inputs: what a dry run of this plan executed and read; None where there was none: then what the plan names.
        rehearsal: that dry run, as `reserve` gives it back; None where there was none.

    Returns:
        The token, which is shown once and kept nowhere, and the approval.

    Raises:
        UsageError: no reason, nobody named, or a validity that makes no sense.
    """
    _refuse_incomplete(reason, by, validity_minutes)
    token = str(uuid.uuid4())
    with ledger.writing() as connection:
        created = clock(connection)
        approval = Approval(
            approval_id=f"approval-{secrets.token_hex(6)}",
            kind=TokenKind.CONFIRMATION,
            plan_digest=plan.digest,
            target=target,
            approved_by=(by.strip(),),
            reason=reason.strip(),
            created=created,
            expires=created + timedelta(minutes=validity_minutes),
            rehearsal=rehearsal,
        )
        row = row_of(approval, plan.purpose, plan.from_heads, plan.destination)
        # with the hash, so that `audit verify` sees another one that was put in its place
        facts = {"approval": approval, "tokenSha256": _digest(token)}
        bound = {
            "token_sha256": _digest(token),
            "target_uuid": _target_uuid(connection),
            "plan": covering(plan, inputs),
            "sequence": audit.append(connection, "token generated", None, facts),
        }
        connection.execute(insert(tokens).values(**row, **bound))
    return token, approval


def _refuse_incomplete(reason: str, by: str, validity_minutes: int) -> None:
    if not reason.strip():
        raise UsageError("An approval needs a reason.", hint="Say why: --reason 'ticket 4711: ...'")
    if not by.strip():
        raise UsageError("An approval needs somebody who gives it.", hint="Say who: --by NAME")
    if not 1 <= validity_minutes <= MAX_VALIDITY_MINUTES:
        raise UsageError(
            f"A token can't be valid for {validity_minutes} minutes.",
            hint=f"Set token-validity-minutes to 1 up to {MAX_VALIDITY_MINUTES}.",
        )


def validate(ledger: Ledger, token: str, plan: Approvable | None) -> Approval:
    """The approval that a confirmation token stands for, if it could be used now.

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
        return approval_of(row)


def reserve(
    ledger: Ledger, token: str, plan: Approvable, run_id: str, inputs: Inputs | None = None
) -> Approval:
    """Bind a confirmation token to a run at its start. Expiry is judged now, not later: a backup may take hours.

    Another run may reserve it too; `claim` decides. The same run may reserve it again, when it resumes. The token must
    cover `inputs`, those of the plan and its dry run.

    Raises:
        NotApprovedError: why the token is of no use to this run.
    """
    digest = _digest(_well_formed(token))
    with ledger.writing() as connection:
        row = _find(ledger, connection, digest, plan)
        _refuse_unfit(connection, row, plan, run_id=run_id)
        if uncovered := input_refusal(row.plan, inputs):
            _refuse(row, f"The token does not cover what the dry run read: {uncovered}.")
        if not _is_reserved(connection, row.approval_id, run_id):
            values = {"approval_id": row.approval_id, "run_id": run_id, "at": clock(connection)}
            connection.execute(insert(reservations).values(values))
            audit.append(connection, "token reserved", run_id, {"approvalId": row.approval_id})
        return msgspec.structs.replace(approval_of(row), rehearsal=_named(connection, row))


def _named(connection: Connection, row: Any) -> NamedRehearsal | None:
    """The dry run that a confirmation token names: by the trail, in which somebody who edits it is found out."""
    facts = audit.facts_at(connection, row.sequence) if row.sequence is not None else {}
    told = facts.get("approval", {})
    named = told.get("rehearsal") if told.get("approvalId") == row.approval_id else None
    return None if named is None else msgspec.convert(named, NamedRehearsal)


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


def _find(ledger: Ledger, connection: Connection, digest: str, plan: Approvable | None) -> Any:
    row = connection.execute(select(tokens).where(tokens.c.token_sha256 == digest)).one_or_none()
    if row is None or not hmac.compare_digest(row.token_sha256, digest):
        raise NotApprovedError(
            f"The ledger ({ledger.place}) knows no such token: it was made for another target, or never.",
            hint=_generate_anew(plan),
        )
    return row


def _refuse_unfit(connection: Connection, row: Any, plan: Approvable | None, run_id: str | None) -> None:
    """Raise NotApprovedError unless the token can be used, by this run where one is named."""
    anew = _generate_anew(plan or row.plan)
    if row.target_uuid != _target_uuid(connection):
        raise NotApprovedError("The token was made for another target than this database.", hint=anew)
    if plan is not None and plan.target != row.target:
        raise NotApprovedError(
            f"The token was made for the target {row.target}, not for {plan.target}.", hint=anew
        )
    _refuse_gone(row, run_id)
    now = clock(connection)
    judged = run_id is not None and _is_reserved(connection, row.approval_id, run_id)
    if not judged and not row.created - CLOCKS_DIFFER <= now < row.expires:
        put_back = f"was made in the future, at {_time(row.created)}"  # the clock was, since
        words = f"expired at {_time(row.expires)}" if now >= row.expires else put_back
        raise NotApprovedError(f"The token {words}; the ledger's clock says {_time(now)}.", hint=anew)
    if plan is not None and not hmac.compare_digest(row.plan_digest, plan.digest):
        named = plan_diff(row.plan, plan) or ["its details differ"]
        more = [f"{len(named) - SHOWN} more differences"] if len(named) > SHOWN else []
        raise NotApprovedError(
            f"The token was made for another plan: {'; '.join(named[:SHOWN] + more)}.", hint=anew
        )


def _target_uuid(connection: Connection) -> str:
    return str(connection.execute(select(identity.c.uuid)).scalar_one())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _generate_anew(plan: Approvable | None) -> str:
    command = ["ci-migrate", "token", "generate"] if plan is None else generate_command(plan)
    return f"Ask for a new one: {shlex.join(command)} --reason '...'"


# --------------------------------------------------------------------------- signed tokens


def validate_signed(ledger: Ledger, token: str, trust: Trust, asking: Collection[str]) -> Verified:
    """Verify a signed token that could be used now.

    What it was signed for is compared with the plan later, when there is one; see `payload.payload_diff`.

    Args:
        ledger: the target's; its clock counts.
        token: as given.
        trust: who may approve.
        asking: names of who started this run.

    Raises:
        NotApprovedError: why it can't be used.
    """
    verified = _verify(ledger, token, trust, asking)
    with ledger.reading() as connection:
        _refuse_unfit_signed(connection, verified, run_id=None)
    return verified


def reserve_signed(
    ledger: Ledger, token: str, trust: Trust, asking: Collection[str], run_id: str
) -> Verified:
    """As `validate_signed`, and bind the token to a run: for that one it expires no more."""
    verified = _verify(ledger, token, trust, asking)
    with ledger.writing() as connection:
        _refuse_unfit_signed(connection, verified, run_id)
        if not _is_reserved(connection, verified.payload.nonce, run_id):
            _reserve_signed(connection, verified, run_id)
    return verified


def _verify(ledger: Ledger, token: str, trust: Trust, asking: Collection[str]) -> Verified:
    # outside of a transaction: a process is started, and others wait for the ledger
    verified = verify_isolated(token, trust, ledger.clock())
    refuse_too_few(verified, trust, asking)
    return verified


def _refuse_unfit_signed(connection: Connection, verified: Verified, run_id: str | None) -> None:
    """Raise NotApprovedError unless a token whose signatures are good can be used, by this run where one is named."""
    payload = verified.payload
    # all databases of a list have one nonce: what this ledger writes down under it is of its own database alone
    if verified.list_digest and payload.target_uuid != _target_uuid(connection):
        raise NotApprovedError(
            f"The token was made for another target ({payload.target}) than this database.", hint=_SIGN_ANEW
        )
    row = _row(connection, payload.nonce)
    if row is not None:
        _refuse_gone(row, run_id)
    if run_id is not None and _is_reserved(connection, payload.nonce, run_id):
        return
    refusal = lifetime_refusal(payload, clock(connection), LONGEST)
    if refusal:
        raise NotApprovedError(refusal, hint=_SIGN_ANEW)


def _reserve_signed(connection: Connection, verified: Verified, run_id: str) -> None:
    payload = verified.payload
    facts = {
        "approvalId": payload.nonce,
        "by": verified.approved_by,
        "keys": [signer.fingerprint for signer in verified.signers],
        "reason": payload.reason,
        "requester": payload.requester,
        "planDigest": payload.plan_digest,
        **({"listDigest": verified.list_digest} if verified.list_digest else {}),
    }
    # first: it lets one writer in at a time, and two runs that come with one token would both add its row
    sequence = audit.append(connection, "token reserved", run_id, facts)
    if _row(connection, payload.nonce) is None:
        own = {"emergency": verified.emergency, "sequence": sequence}
        _add_signed(connection, payload, verified.approved_by, **own)
    values = {"approval_id": payload.nonce, "run_id": run_id, "at": clock(connection)}
    connection.execute(insert(reservations).values(values))
    if verified.emergency:
        audit.append(connection, "EMERGENCY KEY", run_id, facts)


def _add_signed(
    connection: Connection, payload: ApprovalPayload, approved_by: tuple[str, ...] = (), **own: object
) -> None:
    approval = signed_approval(payload, approved_by)
    row = row_of(approval, payload.direction, payload.from_heads, payload.destination)
    signed = {"target_uuid": payload.target_uuid, "payload": payload.encode().decode(), **own}
    connection.execute(insert(tokens).values(**row, **signed))


def signed_approval(payload: ApprovalPayload, approved_by: tuple[str, ...]) -> Approval:
    """A signed token as the noun that reports show."""
    return Approval(
        approval_id=payload.nonce,
        kind=TokenKind.SIGNED,
        plan_digest=payload.plan_digest,
        target=payload.target,
        approved_by=approved_by,
        reason=payload.reason,
        created=payload.issued,
        expires=payload.expires,
        rehearsal=payload.rehearsal or None,
    )


# --------------------------------------------------------------------------- both kinds


def claim(ledger: Ledger, approval_id: str, run_id: str) -> None:
    """Use an approval up, for this run. When this returns it is committed: now the run may migrate.

    Exactly one run gets it. A second call by the same run is fine.

    Raises:
        NotApprovedError: another run used it, it was revoked, or this run never reserved it.
    """
    with ledger.writing() as connection:
        if not _is_reserved(connection, approval_id, run_id):
            raise NotApprovedError(f"Run {run_id} has not reserved {approval_id}.")
        free = (tokens.c.approval_id == approval_id, *_FREE)
        values = {"claimed_by": run_id, "claimed": clock(connection)}
        if connection.execute(update(tokens).where(*free).values(**values)).rowcount == 1:
            audit.append(connection, "token used", run_id, {"approvalId": approval_id})
            return
        row = _row(connection, approval_id)
        if row is None:
            raise NotApprovedError(f"The ledger ({ledger.place}) does not know {approval_id} any more.")
        _refuse_gone(row, run_id)


def used_by(ledger: Ledger, run_id: str) -> tuple[TokenRecord, ...]:
    """What a run, or a repair of it, was approved by; of signed ones with the stages that they name."""
    with ledger.reading() as connection:
        rows = connection.execute(select(tokens).where(tokens.c.claimed_by == run_id)).all()
        now = clock(connection)
        stages = [() if row.payload is None else decode_payload(row.payload.encode()).stages for row in rows]
        return tuple(
            msgspec.structs.replace(record_of(row, now), stages=named)
            for row, named in zip(rows, stages, strict=True)
        )


def revoke(
    ledger: Ledger, which: str | None = None, *, all_before: datetime | None = None, by: str = ""
) -> tuple[str, ...]:
    """Make tokens useless. A run that has reserved one but not yet used it stops before it migrates.

    Args:
        ledger: the target's.
        which: an approval's id, or the token itself; a signed one also if the ledger never saw it.
        all_before: or all that were made before this time.
        by: who revokes, for the audit trail.

    Returns:
        The ids of those that were revoked now; used and revoked ones are left alone.

    Raises:
        UsageError: neither or both were given, or there is no such token, or it was used already.
        NotApprovedError: it is a signed token whose payload can't be read.
    """
    if (which is None) == (all_before is None):
        raise UsageError(
            "Name one token, or a time before which all are revoked.", hint="ci-migrate token list"
        )
    with ledger.writing() as connection:
        chosen = tokens.c.created < all_before if which is None else _chosen(connection, which.strip())
        free = (chosen, *_FREE)
        ids = tuple(connection.execute(select(tokens.c.approval_id).where(*free).with_for_update()).scalars())
        if ids:
            statement = update(tokens).where(tokens.c.approval_id.in_(ids))
            connection.execute(statement.values(revoked=clock(connection)))
            sequence = audit.append(connection, "token revoked", None, {"approvalIds": ids, "by": by})
            unheard = (tokens.c.approval_id.in_(ids), tokens.c.sequence.is_(None))
            connection.execute(update(tokens).where(*unheard).values(sequence=sequence))
    return ids


_FREE = (tokens.c.claimed_by.is_(None), tokens.c.revoked.is_(None))
"""A token that nobody used or revoked. This condition of an UPDATE is what makes each token count once."""


def _chosen(connection: Connection, name: str) -> Any:
    """The condition for one token, by its id or by itself. Raises UsageError, NotApprovedError."""
    if kind_of(name) is TokenKind.SIGNED:
        payload = payload_to_revoke(Envelope.decode(name))
        if _row(connection, payload.nonce) is None:
            # not verified: whoever may revoke need not prove that somebody signed it
            _add_signed(connection, payload, emergency=False)
        name = payload.nonce
    chosen = or_(tokens.c.approval_id == name, tokens.c.token_sha256 == _digest(name.lower()))
    row = connection.execute(select(tokens).where(chosen)).one_or_none()
    if row is None:
        raise UsageError("The ledger knows no such token.", hint="ci-migrate token list")
    if row.claimed_by is not None:
        raise UsageError(
            f"{row.approval_id} was used already, by run {row.claimed_by} at {_time(row.claimed)}.",
            hint="ci-migrate history",
        )
    return chosen


def list_tokens(ledger: Ledger) -> tuple[TokenRecord, ...]:
    """All tokens that were made or seen, newest first; without the tokens themselves."""
    with ledger.reading() as connection:
        now = clock(connection)
        rows = connection.execute(select(tokens).order_by(tokens.c.sequence.desc())).all()
        return tuple(record_of(row, now) for row in rows)


def _row(connection: Connection, approval_id: str) -> Any:
    return connection.execute(select(tokens).where(tokens.c.approval_id == approval_id)).one_or_none()


def _is_reserved(connection: Connection, approval_id: str, run_id: str) -> bool:
    mine = (reservations.c.approval_id == approval_id, reservations.c.run_id == run_id)
    return connection.execute(select(reservations.c.at).where(*mine)).first() is not None


def _refuse_gone(row: Any, run_id: str | None) -> None:
    """Raise NotApprovedError where a token was revoked, or used by another run than this one."""
    if row.revoked is not None:
        _refuse(row, f"The token was revoked at {_time(row.revoked)}.")
    if row.claimed_by not in (None, run_id):
        _refuse(row, f"The token was used already, by run {row.claimed_by} at {_time(row.claimed)}.")


def _refuse(row: Any, what: str) -> NoReturn:
    hint = _SIGN_ANEW if row.kind == TokenKind.SIGNED else _generate_anew(row.plan)
    raise NotApprovedError(what, hint=hint)


def _time(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"
