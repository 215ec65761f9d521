"""One approval for many databases: what is signed for all of them, and for each what an approval of it alone would say.

The payload has a digest over the list of the databases. A token for one of them carries its entry, and the proof that
it is in the list; together they say what `ApprovalPayload` says, and are held against the run as that is.
"""

from datetime import datetime

import msgspec

from ci_migrate.approval import merkle
from ci_migrate.approval.envelope import Envelope
from ci_migrate.approval.payload import ApprovalPayload, decode_payload, decode_signed
from ci_migrate.errors import NotApprovedError
from ci_migrate.model import Frozen, Identity, NamedRehearsal, Purpose, canonical_json

MANY_TYPE = "application/vnd.ci-migrate.fleet-approval.v1+json"
"""DSSE's payload type: a list can't pass for an approval of one database, nor the other way round."""


class ManyPayload(Frozen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signed part of a fleet's token: what all databases of the list have in common, and the list's digest."""

    format: int = 1
    fleet: str
    databases: int
    list_digest: str
    direction: Purpose = Purpose.UPGRADE
    from_heads: tuple[str, ...]
    destination: str
    files_digest: str
    commit: str | None = None
    stages: tuple[str, ...]
    reason: str
    issued: datetime
    not_before: datetime
    expires: datetime
    nonce: str
    tool_version: str

    def encode(self) -> bytes:
        """The bytes that are signed."""
        return canonical_json(self)

    def payload_of(self, entry: "ApprovedDatabase") -> ApprovalPayload:
        """What is approved for one database of the list: as if it had been approved by itself."""
        return ApprovalPayload(
            target=entry.target,
            target_uuid=entry.target_uuid,
            identity=entry.identity,
            plan_digest=entry.plan_digest,
            direction=self.direction,
            from_heads=self.from_heads,
            destination=self.destination,
            files_digest=self.files_digest,
            commit=self.commit,
            evidence_digest=entry.evidence_digest,
            inputs_digest=entry.inputs_digest or msgspec.UNSET,
            rows=entry.rows,
            rehearsal=entry.rehearsal or msgspec.UNSET,
            stages=self.stages,
            requester=entry.requester,
            reason=self.reason,
            issued=self.issued,
            not_before=self.not_before,
            expires=self.expires,
            nonce=self.nonce,
            tool_version=self.tool_version,
        )


class ApprovedDatabase(Frozen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of the list: what `ApprovalPayload` says of one database alone. Its canonical JSON is what is hashed."""

    target: str
    target_uuid: str
    identity: Identity
    plan_digest: str
    evidence_digest: str
    inputs_digest: str
    rows: dict[str, int]
    rehearsal: NamedRehearsal | None
    requester: str


def decode_many(data: bytes) -> ManyPayload:
    """What was signed for a fleet. Raises NotApprovedError, as `decode_payload`."""
    return decode_signed(data, ManyPayload)


def payload_in(envelope: Envelope) -> ApprovalPayload:
    """What an envelope whose signatures were verified says for one database.

    Raises:
        NotApprovedError: it can't be read; it is for many databases and comes without one, or with one that is not in
            the list that was signed.
    """
    member = envelope.member
    if envelope.payload_type != MANY_TYPE:
        if member is not None:
            raise NotApprovedError("The token is for one database, and carries an entry of a list besides.")
        return decode_payload(envelope.payload)
    many = decode_many(envelope.payload)
    if member is None:
        raise NotApprovedError(
            f"The token is for {many.databases} databases of the fleet {many.fleet}; only a fleet run takes it.",
            hint=f"ci-migrate fleet run --target {many.fleet} --token-file FILE",
        )
    if not merkle.is_in(member.entry, member.number, many.databases, member.proof, many.list_digest):
        raise NotApprovedError("The database is not in the list that was approved: the list was altered.")
    try:
        entry = msgspec.json.decode(member.entry, type=ApprovedDatabase)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise NotApprovedError("The approved list can't be read by this version of ci-migrate.") from error
    payload = many.payload_of(entry)
    return decode_payload(payload.encode())  # held to all that holds for an approval of one


def payload_to_revoke(envelope: Envelope) -> ApprovalPayload:
    """As `payload_in`; of a fleet's token as a whole what all of its databases have in common."""
    if envelope.payload_type != MANY_TYPE or envelope.member is not None:
        return payload_in(envelope)
    many = decode_many(envelope.payload)
    nobody = Identity(dialect="", place="", facts={})
    anyone = ApprovedDatabase(
        target=many.fleet,
        target_uuid="",
        identity=nobody,
        plan_digest="",
        evidence_digest="",
        inputs_digest="",
        rows={},
        rehearsal=None,
        requester="",
    )
    return many.payload_of(anyone)
