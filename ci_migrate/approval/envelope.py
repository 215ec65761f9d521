"""The envelope of a signed token: DSSE (https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md).

A token is the base64url of the envelope's JSON, without padding. Each envelope has exactly one text: what decodes to
the same but is written in another way (white space, a key twice, other padding) is refused.
"""

import base64
import binascii
from collections.abc import Sequence

import msgspec

from ci_migrate.errors import NotApprovedError
from ci_migrate.model import canonical_json

PAYLOAD_TYPE = "application/vnd.ci-migrate.approval.v1+json"
TOKEN_LIMIT = 32 * 1024
PAYLOAD_LIMIT = 16 * 1024
SIGNATURES_LIMIT = 8
SIGNATURE_LIMIT = 4 * 1024

HINT = "Pass exactly what `ci-migrate approve` printed: CI_MIGRATE_TOKEN, or --token-file FILE."


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sig: str


class _Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    entry: str
    number: int
    proof: tuple[str, ...]


class _Envelope(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    payload: str
    payload_type: str
    signatures: tuple[_Signature, ...]
    member: _Member | msgspec.UnsetType = msgspec.UNSET


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a list whose digest is signed: its bytes, its place in the list, and the proof that it is there."""

    entry: bytes
    number: int
    proof: tuple[bytes, ...]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A payload, its type, and signatures over both; nothing of it is verified.

    `member` is the one database that it is used for, where the payload is for many; the signatures are not over it.
    """

    payload: bytes
    payload_type: str = PAYLOAD_TYPE
    signatures: tuple[bytes, ...] = ()
    member: Member | None = None

    @property
    def signed_bytes(self) -> bytes:
        """What each signature is over."""
        return pae(self.payload_type, self.payload)

    def encode(self) -> str:
        """The token."""
        signatures = tuple(_Signature(base64.b64encode(s).decode()) for s in self.signatures)
        payload = base64.b64encode(self.payload).decode()
        envelope = _Envelope(payload, self.payload_type, signatures, _encode_member(self.member))
        return base64.urlsafe_b64encode(canonical_json(envelope)).decode().rstrip("=")

    @classmethod
    def decode(cls, token: str) -> "Envelope":
        """The envelope of a token; white space around it is no harm.

        Raises:
            NotApprovedError: it is empty, several, too long, malformed, or carries too much.
        """
        words = token.split(None, 2) if len(token) <= TOKEN_LIMIT else [token]
        if not words:
            raise NotApprovedError("The token is empty.", hint=HINT)
        if len(words) > 1:
            raise NotApprovedError("More than one token was given, or one with white space in it.", hint=HINT)
        if len(words[0]) > TOKEN_LIMIT:
            raise NotApprovedError(f"The token is too long: {len(token)} characters.", hint=HINT)
        found = _decode(words[0])
        if found is None or found.encode() != words[0]:
            raise NotApprovedError("The token is malformed: ci-migrate makes no such tokens.", hint=HINT)
        if len(found.payload) > PAYLOAD_LIMIT:
            raise NotApprovedError(f"The token's payload is too long: {len(found.payload)} bytes.", hint=HINT)
        if not found.signatures:
            raise NotApprovedError("The token is not signed.", hint=HINT)
        if len(found.signatures) > SIGNATURES_LIMIT:
            raise NotApprovedError(f"The token has too many signatures: {len(found.signatures)}.", hint=HINT)
        if any(len(signature) > SIGNATURE_LIMIT for signature in found.signatures):
            raise NotApprovedError("The token has a signature that is too long.", hint=HINT)
        return found


def _encode_member(member: Member | None) -> _Member | msgspec.UnsetType:
    if member is None:
        return msgspec.UNSET
    entry = base64.b64encode(member.entry).decode()
    return _Member(entry, member.number, tuple(node.hex() for node in member.proof))


def _decode_member(member: _Member | msgspec.UnsetType) -> Member | None:
    if isinstance(member, msgspec.UnsetType):
        return None
    entry, proof = base64.b64decode(member.entry, validate=True), tuple(map(bytes.fromhex, member.proof))
    return Member(entry=entry, number=member.number, proof=proof)


def _decode(token: str) -> Envelope | None:
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        envelope = msgspec.json.decode(data, type=_Envelope)
        return Envelope(
            payload=base64.b64decode(envelope.payload, validate=True),
            payload_type=envelope.payload_type,
            signatures=tuple(base64.b64decode(s.sig, validate=True) for s in envelope.signatures),
            member=_decode_member(envelope.member),
        )
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        return None


def is_envelope(token: str) -> bool:
    """Whether this is an envelope rather than a confirmation token; says nothing of whether it is any good."""
    return len(token) <= TOKEN_LIMIT and _decode(token.strip()) is not None


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed, so that no payload can pass for one of another type."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def merge(tokens: Sequence[str]) -> str:
    """One token with the signatures of several over the same payload.

    Raises:
        NotApprovedError: one is malformed, or they are not over the same payload.
    """
    envelopes = [Envelope.decode(token) for token in tokens]
    if not envelopes:
        raise NotApprovedError("There is no token to merge.", hint=HINT)
    first = envelopes[0]
    if any(
        (e.payload_type, e.payload, e.member) != (first.payload_type, first.payload, first.member)
        for e in envelopes
    ):
        raise NotApprovedError(
            "These tokens say different things: only signatures under the same payload go together.",
            hint="Let the second approver sign the first one's token: ci-migrate approve --token-file FILE.",
        )
    signatures = tuple(dict.fromkeys(s for e in envelopes for s in e.signatures))
    merged = msgspec.structs.replace(first, signatures=signatures).encode()
    Envelope.decode(merged)  # not more than anybody would accept
    return merged
