"""Keys of each kind, payloads and tokens, without a ledger."""

import base64
import hashlib
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from ledger_support import a_plan

from ci_migrate.approval.envelope import PAYLOAD_TYPE, Envelope, pae
from ci_migrate.approval.payload import ApprovalPayload, Facts, evidence_digest, files_digest
from ci_migrate.approval.signers import parse_signers
from ci_migrate.approval.signing import sign_with
from ci_migrate.approval.sshsig import NAMESPACE
from ci_migrate.approval.trust import Trust
from ci_migrate.approval.verification import verify
from ci_migrate.errors import NotApprovedError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KINDS = ("ed25519", "nistp256", "nistp384", "nistp521", "rsa")
SK_KINDS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")


@cache
def private_key(name: str = "alice", kind: str = "ed25519") -> Any:
    """The same key for the same name, in one process."""
    del name
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curve = {"nistp256": ec.SECP256R1, "nistp384": ec.SECP384R1, "nistp521": ec.SECP521R1}[kind]
    return ec.generate_private_key(curve())


def public_line(name: str = "alice", kind: str = "ed25519") -> str:
    """`ssh-ed25519 AAAA...`."""
    key = private_key(name, kind).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def key_file(folder: Path, name: str = "alice", kind: str = "ed25519", passphrase: str = "") -> Path:
    """The private key in a file of OpenSSH's format, its public half beside it."""
    path = folder / f"{name}-{kind}"
    builder = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(1)  # the default takes a second
    lock = builder.build(passphrase.encode()) if passphrase else NoEncryption()
    path.write_bytes(private_key(name, kind).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, lock))
    path.chmod(0o600)
    path.with_name(f"{path.name}.pub").write_text(public_line(name, kind) + "\n")
    return path


def signature(
    message: bytes, name: str = "alice", kind: str = "ed25519", namespace: str = NAMESPACE
) -> bytes:
    """An SSH signature in its binary form."""
    return sign_with(private_key(name, kind), message, namespace)


def touched_signature(message: bytes, kind: str, flags: int = 1) -> tuple[bytes, str]:
    """What a hardware key would sign, and its public line: the same bytes, from a key in memory."""
    application = b"ssh:"
    plain = "ed25519" if "ed25519" in kind else "nistp256"
    private = private_key("token", plain)
    raw = private.public_key().public_bytes(
        *(
            (Encoding.Raw, PublicFormat.Raw)
            if plain == "ed25519"
            else (Encoding.X962, PublicFormat.UncompressedPoint)
        )
    )
    parts = [kind.encode(), *([] if plain == "ed25519" else [b"nistp256"]), raw, application]
    key = b"".join(map(wire, parts))
    inner = hashlib.sha512(message).digest()
    data = b"SSHSIG" + b"".join(map(wire, (NAMESPACE.encode(), b"", b"sha512", inner)))
    tail = bytes([flags]) + struct.pack(">I", 7)
    signed = hashlib.sha256(application).digest() + tail + hashlib.sha256(data).digest()
    if plain == "ed25519":
        value = private.sign(signed)
    else:
        r, s = decode_dss_signature(private.sign(signed, ec.ECDSA(hashes.SHA256())))
        value = wire(mpint(r)) + wire(mpint(s))
    blob = wire(kind.encode()) + wire(value) + tail
    fields = (key, NAMESPACE.encode(), b"", b"sha512", blob)
    line = f"{kind} {base64.b64encode(key).decode()}"
    return b"SSHSIG" + struct.pack(">I", 1) + b"".join(map(wire, fields)), line


def to_armor(signature: bytes) -> str:
    """What `ssh-keygen -Y verify` reads."""
    text = base64.encodebytes(signature).decode()
    return f"-----BEGIN SSH SIGNATURE-----\n{text}-----END SSH SIGNATURE-----\n"


def ssh_keygen_verifies(folder: Path, armored: str, line: str, message: bytes) -> bool:
    """Whether `ssh-keygen -Y verify` says so."""
    signers, file = folder / "signers", folder / "message.asc"
    signers.write_text(f"alice {line}\n")
    file.write_text(armored)
    command = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "alice", "-n", NAMESPACE, "-s", file]
    return subprocess.run(command, input=message, capture_output=True, check=False).returncode == 0


def wire(data: bytes) -> bytes:
    """A string as SSH writes it."""
    return struct.pack(">I", len(data)) + data


def mpint(number: int) -> bytes:
    """A number as SSH writes it, without its length."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def some_facts(**changes: Any) -> Facts:
    """What a run would find."""
    plan = changes.pop("plan", a_plan())
    fields = {"target_uuid": "u-1", "commit": "c" * 40, "evidence_digest": some_evidence_digest(plan)}
    return Facts(plan=plan, **{**fields, **changes})


def some_evidence_digest(plan: Any) -> str:
    return evidence_digest(plan.digest, "f0", "stream", ())


def a_payload(**changes: Any) -> ApprovalPayload:
    """An approval of `a_plan()`, that bob asked for at noon."""
    plan = a_plan()
    payload = ApprovalPayload(
        target=plan.target,
        target_uuid="u-1",
        identity=plan.identity,
        plan_digest=plan.digest,
        direction=plan.direction,
        from_heads=plan.from_heads,
        destination=plan.destination,
        files_digest=files_digest(plan),
        commit="c" * 40,
        evidence_digest=some_evidence_digest(plan),
        stages=("migrate", "undo", "downgrade"),
        requester="bob",
        reason="ticket 4711",
        issued=NOW,
        not_before=NOW,
        expires=NOW + timedelta(minutes=30),
        nonce="0123456789abcdef" * 2,
        tool_version="0.1.0",
    )
    return msgspec.structs.replace(payload, **changes)


def a_token(payload: ApprovalPayload | bytes | None = None, *names: str, kind: str = PAYLOAD_TYPE) -> str:
    """A token, signed by `names` (alice)."""
    data = payload if isinstance(payload, bytes) else (payload or a_payload()).encode()
    message = pae(kind, data)
    signatures = tuple(signature(message, name) for name in names or ("alice",))
    return Envelope(payload=data, payload_type=kind, signatures=signatures).encode()


def a_trust(*lines: str, revoked: frozenset[str] = frozenset(), **changes: Any) -> Trust:
    """Who may approve: alice and carol, or who these lines name."""
    lines = lines or (f"alice@example.com,alice {public_line()}", f"carol {public_line('carol')}")
    return Trust(signers=parse_signers(lines), revoked=revoked, **changes)


def refused(token, trust=None, now=NOW):
    """Why a token is refused, in one line."""
    with pytest.raises(NotApprovedError) as caught:
        verify(token, trust or a_trust(), now)
    assert "\n" not in caught.value.what
    return caught.value.what
