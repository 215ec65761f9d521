"""The verification of signed tokens: who signed, whether they may, and what they signed. Parsed after that only."""

import hmac
from collections.abc import Collection
from datetime import datetime
from typing import NoReturn

import msgspec

from ci_migrate.approval import sshsig
from ci_migrate.approval.envelope import HINT, PAYLOAD_TYPE, Envelope
from ci_migrate.approval.many import MANY_TYPE, decode_many, payload_in
from ci_migrate.approval.payload import ApprovalPayload
from ci_migrate.approval.signers import Signer, people_of
from ci_migrate.approval.sshsig import NAMESPACE, BadSignatureError
from ci_migrate.approval.trust import Trust
from ci_migrate.errors import NotApprovedError

_BAD = "The token's signature does not fit: it was altered, or not made by the key that it names."


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A token whose signatures are all good. `signers` are the lines that they are by.

    `list_digest` is of the list of databases that were approved together; "" where the approval is for one.
    """

    payload: ApprovalPayload
    signers: tuple[Signer, ...]
    list_digest: str = ""

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
    if envelope.payload_type not in (
        PAYLOAD_TYPE,
        MANY_TYPE,
    ):  # signed, by an approver, but for something else
        _refuse(f"What was signed is no approval but {envelope.payload_type[:60]}.")
    listed = decode_many(envelope.payload).list_digest if envelope.payload_type == MANY_TYPE else ""
    return Verified(payload=payload_in(envelope), signers=signers, list_digest=listed)


def _signer(data: bytes, message: bytes, trust: Trust, now: datetime) -> Signer:
    try:
        signature = sshsig.parse(data)
    except BadSignatureError:
        _refuse(_BAD)
    # whoever it is by: a bit that flips in the key, too, is a bad signature, in the same time and words
    try:
        sshsig.verify(signature, message)
    except BadSignatureError:
        _refuse(_BAD)
    lines = [s for s in trust.signers if hmac.compare_digest(s.key, signature.key)]
    name = sshsig.fingerprint(signature.key)
    if not lines:
        _refuse(f"The token is signed by a key that is no approver's: {name}.")
    if name in trust.revoked:
        _refuse(f"The token is signed by a revoked key of {lines[0].principals[0]}: {name}.")
    if signature.namespace != NAMESPACE:
        _refuse(
            f"What {lines[0].principals[0]} signed is for {signature.namespace[:60]!r}, no approval ({NAMESPACE})."
        )
    refusals = [line.refusal(NAMESPACE, now) for line in lines]
    if all(refusals):
        _refuse(f"The token does not count: {refusals[0]}.")
    good = [line for line, refusal in zip(lines, refusals, strict=True) if not refusal]
    # a key may stand in a line of each kind: that it suffices alone must be told wherever it does
    return max(good, key=lambda line: line.emergency)


def refuse_too_few(verified: Verified, trust: Trust, asking: Collection[str]) -> None:
    """Raise NotApprovedError unless enough people approved, none of whom asks.

    Args:
        verified: the token.
        trust: how many it takes, and whether who asks may approve.
        asking: the names of who started this run; the payload's requester counts too.
    """
    if verified.emergency:
        return
    # by all lines, not by those that signed alone: two keys of one person share a name in a third line
    people = [p for p in people_of(trust.signers) if any(s.key in p for s in verified.signers)]
    names = {name.casefold() for name in (*asking, verified.payload.requester)}
    own = sorted(name for name in names if any(name in person for person in people))
    if trust.forbid_self_approval and own:
        _refuse(f"{own[0]} asks and approves: on this target that takes two people.")
    if len(people) < trust.min_approvals:
        who = ", ".join(verified.approved_by)
        _refuse(
            f"{trust.min_approvals} people must approve; there is {len(people)}: {who}.",
            "Let another one sign too: ci-migrate approve --token-file FILE --key KEY.",
        )


def describe_token(token: str) -> str:
    """What a token says, for people: each field on a line, and the keys whose signatures fit.

    Raises:
        NotApprovedError: it is malformed, or a signature does not fit.
    """
    envelope = Envelope.decode(token)
    keys = []
    for data in envelope.signatures:
        try:
            signature = sshsig.parse(data)
            sshsig.verify(signature, envelope.signed_bytes)
        except BadSignatureError:
            _refuse(_BAD)
        keys.append(f"{sshsig.fingerprint(signature.key)} ({signature.namespace})")
    if envelope.payload_type == MANY_TYPE and envelope.member is None:
        fields = msgspec.to_builtins(decode_many(envelope.payload))
    else:
        fields = msgspec.to_builtins(payload_in(envelope))
        fields["identity"] = fields["identity"]["place"]
    shown = {name: ", ".join(v) if isinstance(v, list) else v for name, v in fields.items() if v is not None}
    lines = [f"{name:<14} {value}" for name, value in [*shown.items(), *(("signed by", key) for key in keys)]]
    return "\n".join(map(plain, lines))


def plain(line: str) -> str:
    """A line in which nothing can turn, hide or add to what an approver sees: each unfit character as its escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _refuse(what: str, hint: str = HINT) -> NoReturn:
    raise NotApprovedError(what, hint=hint)
