"""What must hold for any input to the parsers of approvals; hypothesis and atheris feed it."""

import base64
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from approval_support import (
    KINDS,
    NOW,
    a_payload,
    a_plan,
    public_line,
    signature,
    to_armor,
    touched_signature,
)
from ledger_support import some_evidence

from ci_migrate.approval import sshsig
from ci_migrate.approval.envelope import PAYLOAD_TYPE, Envelope, pae
from ci_migrate.approval.many import MANY_TYPE
from ci_migrate.approval.many_request import (
    ManyRequest,
    collect,
    decode_many_request,
    many_payload_of,
    tokens_for,
)
from ci_migrate.approval.request import approval_request, decode_request, payload_of
from ci_migrate.approval.signers import parse_signers
from ci_migrate.approval.signing import from_armor
from ci_migrate.approval.trust import Trust
from ci_migrate.approval.verification import describe_token, verify
from ci_migrate.errors import NotApprovedError, UsageError
from ci_migrate.model import (
    BackfillRun,
    Finding,
    Identity,
    ProtectionChange,
    Removal,
    Restoration,
    RunRepair,
    Severity,
)

SECONDS = 0.05
SIGNED = a_payload().encode()
MESSAGE = pae(PAYLOAD_TYPE, SIGNED)
SK = "sk-ssh-ed25519@openssh.com"
MODES = ("token", "envelope", "payload", "signature", "payload type", "signers", "request", "armor", "list",
         "entry")  # fmt: skip


@cache
def signatures() -> tuple[bytes, ...]:
    """Good ones over `MESSAGE`, by an approver's key of each kind."""
    return (*(signature(MESSAGE, kind=kind) for kind in KINDS), touched_signature(MESSAGE, SK)[0])


@cache
def lines() -> tuple[str, ...]:
    """Of these approvers."""
    return (*(f"alice {public_line(kind=kind)}" for kind in KINDS), f"alice {touched_signature(b'', SK)[1]}")


@cache
def trust() -> Trust:
    return Trust(signers=parse_signers(lines()))


def token(payload: bytes = SIGNED, kind: str = PAYLOAD_TYPE, *signed: bytes) -> str:
    return Envelope(payload=payload, payload_type=kind, signatures=signed or signatures()[:1]).encode()


@cache
def listed() -> ManyRequest:
    """A request for three databases of a fleet."""
    asked = {}
    for number in range(3):
        identity = Identity(dialect="sqlite", place=f"/{number}", facts={"file": f"/{number}"})
        plan = a_plan(target=f"shops/s{number}", identity=identity)
        own = {"target_uuid": f"u-{number}", "requester": "bob"}
        asked[f"s{number}"] = approval_request(plan, some_evidence(), (), plan.target, "again", **own)
    return collect("shops", "fleet_1", "", asked)


@cache
def tokens_of_list() -> tuple[str, ...]:
    """Of the databases of that list, by an approver."""
    payload = many_payload_of(listed(), reason="why", stages=("migrate",), minutes=30, moment=NOW)
    whole = Envelope(payload=payload.encode(), payload_type=MANY_TYPE)
    signed = msgspec.structs.replace(whole, signatures=(signature(whole.signed_bytes),)).encode()
    return tuple(tokens_for(signed, listed()).values())


@cache
def seeds() -> tuple[bytes, ...]:
    """Inputs that are good, each led by its mode."""
    found = (Finding(code="CM201", name="x", severity=Severity.INFO, message="m"),)
    of: dict[str, Any] = {"target": "production", "identity": a_plan().identity}
    asked = [
        approval_request(plan, None, found, "production", "again", target_uuid="u-1", requester="bob")
        for plan in (
            a_plan(),
            Restoration(
                **of, backup_id="b", manifest_sha256="0" * 64, place="/b", heads=("r1",), tables=("t",)
            ),
            BackfillRun(**of, name="b", table="t", statement="UPDATE t SET n = 1 WHERE {batch}"),
            Removal(**of, what="backups", names=("a", "b"), place="/b", manifests=("0" * 64, "")),
            RunRepair(**of, run_id="run_1", forward=True, plan_digest="0" * 64, does=("undo: drop table x",)),
            ProtectionChange(**of, destination="unprotect"),
        )
    ]
    options = 'namespaces="git,ci-*",valid-after="20260101",valid-before="20271231235959Z"'
    texts: list[tuple[str, bytes]] = [
        ("token", token().encode()),
        ("token", token(SIGNED, PAYLOAD_TYPE, *signatures()[:3]).encode()),
        ("envelope", base64.urlsafe_b64decode(token() + "==")),
        ("payload", SIGNED),
        ("payload type", PAYLOAD_TYPE.encode()),
        *(("signature", s) for s in signatures()),
        ("signers", "\n".join(lines()).encode()),
        ("signers", f'# x\n"alice smith,a@b" {options} {public_line()} her laptop'.encode()),
        *(("request", msgspec.json.encode(request)) for request in asked),
        ("armor", to_armor(signatures()[0]).encode()),
        ("list", msgspec.json.encode(listed())),
        *(("entry", base64.urlsafe_b64decode(text + "==")) for text in tokens_of_list()),
    ]
    return tuple(bytes([MODES.index(mode)]) + data for mode, data in texts)


def one_input(data: bytes) -> bool:
    """Feed one input to the parser that its first byte names. Returns whether it was accepted.

    Raises:
        AssertionError: what was not signed is accepted, or it takes too long; anything else is a traceback.
    """
    mode, data = MODES[data[0] % len(MODES)] if data else "token", data[1:]
    trust()
    accepted, took = _timed(mode, data)
    if took >= SECONDS:  # on a busy machine the same takes longer by ten, once
        took = min(_timed(mode, data)[1] for _ in range(3))
    assert took < SECONDS, f"{mode}: {took:.3f} s for {data[:2000]!r}"
    return accepted


def _timed(mode: str, data: bytes) -> tuple[bool, float]:
    """Whether it was accepted, and the processor time that this took, in seconds."""
    begun = time.thread_time()
    try:
        accepted = _fed(mode, data)
    except (NotApprovedError, UsageError) as error:
        assert error.what
        accepted = False
    return accepted, time.thread_time() - begun


def _fed(mode: str, data: bytes) -> bool:
    text = data.decode("utf-8", "surrogateescape")
    if mode == "signers":
        for signer in parse_signers(text.splitlines()):
            signer.refusal(sshsig.NAMESPACE, NOW)
            assert all(p and not set(p) & set("*?!") for p in signer.principals)
        return True
    if mode == "request":
        request = decode_request(data, Path("request"))
        payload = payload_of(request, reason="why", stages=request.stages, minutes=30, moment=NOW)
        assert payload.plan_digest == request.plan.digest
        return True
    if mode == "list":
        found = decode_many_request(data, Path("request"))
        return many_payload_of(found, reason="why", stages=(), minutes=30, moment=NOW).list_digest != ""
    if mode == "entry":
        text = base64.urlsafe_b64encode(data).decode().rstrip("=")
        with suppress(NotApprovedError):
            describe_token(text)
        whole = [verify(one, trust(), NOW).payload for one in tokens_of_list()]
        assert verify(text, trust(), NOW).payload in whole, "what nobody signed is accepted"
        return True
    if mode == "armor":
        try:
            sshsig.parse(from_armor(text))
        except sshsig.BadSignatureError:
            return False
        return True
    if mode == "envelope":
        text = base64.urlsafe_b64encode(data).decode().rstrip("=")
    elif mode == "payload":
        text = token(data)
    elif mode == "payload type":
        text = token(SIGNED, data.decode("utf-8", "replace"))
    elif mode == "signature":
        text = token(SIGNED, PAYLOAD_TYPE, data)
    with suppress(NotApprovedError):
        describe_token(text)
    verified = verify(text, trust(), NOW)
    assert verified.payload.encode() == SIGNED, "what nobody signed is accepted"
    assert verified.approved_by == ("alice",)
    return True
