"""Approvers with keys, and tokens that they sign, for tests that run the gate."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ci_migrate.approval import signing
from ci_migrate.approval.envelope import PAYLOAD_TYPE, Envelope, pae
from ci_migrate.approval.payload import ApprovalPayload, files_digest, new_nonce
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Plan


class Approver:
    """Somebody with a key in a file."""

    def __init__(self, name: str, folder: Path) -> None:
        private = Ed25519PrivateKey.generate()
        self.name = name
        self.file = folder / f"{name}.key"
        self.file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        self.file.chmod(0o600)
        public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        self.line = f"{name} {public}"


def a_payload(plan: Plan, ledger: Ledger, **changes: Any) -> ApprovalPayload:
    """An approval of this plan, asked for by `requester`, for 30 minutes from now."""
    now = ledger.clock()
    fields: dict[str, Any] = {
        "target": plan.target,
        "target_uuid": ledger.uuid,
        "identity": plan.identity,
        "plan_digest": plan.digest,
        "direction": plan.direction,
        "from_heads": plan.from_heads,
        "destination": plan.destination,
        "files_digest": files_digest(plan),
        "inputs_digest": (getattr(plan, "inputs", None) and plan.inputs.digest) or msgspec.UNSET,
        "stages": ("migrate", "rollback", "restore", "stamp", "protection"),
        "requester": "dev",
        "reason": "ticket 4711",
        "issued": now,
        "not_before": now,
        "expires": now + timedelta(minutes=30),
        "nonce": new_nonce(),
        "tool_version": "0.1.0",
    }
    return ApprovalPayload(**{**fields, **changes})


def signed(payload: ApprovalPayload, *approvers: Approver) -> str:
    """A token with their signatures."""
    data = payload.encode()
    message = pae(PAYLOAD_TYPE, data)
    signatures = tuple(signing.sign(approver.file, message) for approver in approvers)
    return Envelope(payload_type=PAYLOAD_TYPE, payload=data, signatures=signatures).encode()
