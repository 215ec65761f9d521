"""Signed tokens: who signed, whether they may, and what they signed. Verified first, parsed after."""

import hmac
from collections.abc import Collection
from datetime import datetime
from typing import NoReturn

import msgspec

from ci_migrate.approval import sshsig
from ci_migrate.approval.envelope import HINT, PAYLOAD_TYPE, Envelope
from ci_migrate.approval.payload import ApprovalPayload, decode_payload
from ci_migrate.approval.signers import Signer, distinct_people
from ci_migrate.approval.sshsig import NAMESPACE, BadSignatureError
from ci_migrate.errors import NotApprovedError

_BAD = "The token's signature does not fit: it was altered, or not made by the key that it names."


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Who may approve; from the ledger or CI_MIGRATE_TRUST, never from the repository.

    `revoked` are fingerprints of keys (`SHA256:...`) that count no more, whoever they belong to.
    """

    signers: tuple[Signer, ...]
    revoked: frozenset[str] = frozenset()
    min_approvals: int = 1
    forbid_self_approval: bool = False


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A token whose signatures are all good. `signers` are the lines that they are by."""

    payload: ApprovalPayload
    signers: tuple[Signer, ...]

    @property
    def approved_by(self) -> tuple[str, ...]:
        """The first name of each line, once."""
        return tuple(dict.fromkeys(signer.principals[0] for signer in self.signers))

    @property
    def emergency(self) -> bool:
        """Whether a key signed that suffices alone."""
        return any(signer.emergency for signer in self.signers)


def verify(token: str, trust: Trust, now: datetime) -> Verified:
    """Who signed a token, and what.

    Args:
        token: as given.
        trust: who may approve.
        now: by the database's clock; keys are valid or not then. The token's own life is looked at elsewhere.

    Raises:
        NotApprovedError: it is malformed; one of its signatures is bad, or by somebody who may not approve.
        SettingsError: the extra `approval` is not installed.
    """
    envelope = Envelope.decode(token)
    message = envelope.signed_bytes
    signers = tuple(_signer(data, message, trust, now) for data in envelope.signatures)
    if envelope.payload_type != PAYLOAD_TYPE:  # signed, by an approver, but for something else
        _refuse(f"What was signed is no approval but {envelope.payload_type[:60]}.")
    return Verified(payload=decode_payload(envelope.payload), signers=signers)


def _signer(data: bytes, message: bytes, trust: Trust, now: datetime) -> Signer:
    try:
        signature = sshsig.parse(data)
    except BadSignatureError:
        _refuse(_BAD)
    lines = [s for s in trust.signers if hmac.compare_digest(s.key, signature.key)]
    name = sshsig.fingerprint(signature.key)
    if not lines:
        _refuse(f"The token is signed by a key that is no approver's: {name}.")
    try:
        sshsig.verify(signature, message)
    except BadSignatureError:
        _refuse(_BAD)
    if name in trust.revoked:
        _refuse(f"The token is signed by a revoked key of {lines[0].principals[0]}: {name}.")
    if signature.namespace != NAMESPACE:
        _refuse(
            f"What {lines[0].principals[0]} signed is for {signature.namespace[:60]!r}, no approval ({NAMESPACE})."
        )
    refusals = [line.refusal(NAMESPACE, now) for line in lines]
    if all(refusals):
        _refuse(f"The token does not count: {refusals[0]}.")
    return next(line for line, refusal in zip(lines, refusals, strict=True) if not refusal)


def refuse_too_few(verified: Verified, trust: Trust, asking: Collection[str]) -> None:
    """Raise NotApprovedError unless enough people approved, none of whom asks.

    Args:
        verified: the token.
        trust: how many it takes, and whether who asks may approve.
        asking: the names of who started this run, case folded; the payload's requester counts too.
    """
    if verified.emergency:
        return
    names = {*asking, verified.payload.requester.casefold()}
    if trust.forbid_self_approval:
        own = [s for s in verified.signers if names & {p.casefold() for p in s.principals}]
        if own:
            _refuse(f"{own[0].principals[0]} asks and approves: on this target that takes two people.")
    people = distinct_people(verified.signers)
    if people < trust.min_approvals:
        who = ", ".join(verified.approved_by)
        _refuse(
            f"{trust.min_approvals} people must approve; there is {people}: {who}.",
            "Let another one sign too: ci-migrate approve --token-file TOKEN, or ci-migrate token merge.",
        )


def _refuse(what: str, hint: str = HINT) -> NoReturn:
    raise NotApprovedError(what, hint=hint)
