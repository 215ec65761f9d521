from datetime import timedelta

import msgspec
import pytest
from approval_support import (
    NOW,
    a_payload,
    a_token,
    a_trust,
    public_line,
    refused,
    signature,
    some_facts,
    touched_signature,
)
from ledger_support import a_plan

from ci_migrate.approval.envelope import PAYLOAD_TYPE, Envelope, merge, pae
from ci_migrate.approval.payload import payload_diff
from ci_migrate.approval.verification import plain, refuse_too_few, verify
from ci_migrate.errors import NotApprovedError
from ci_migrate.model import Revision

DAY = timedelta(days=1)


def test_a_token_says_who_signed_what():
    verified = verify(f"  {a_token()}\n", a_trust(), NOW)
    assert verified.payload == a_payload()
    assert verified.approved_by == ("alice@example.com",)
    assert not verified.emergency


def test_both_kinds_of_hardware_keys_approve():
    message = pae(PAYLOAD_TYPE, a_payload().encode())
    for kind in ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"):
        data, line = touched_signature(message, kind)
        token = Envelope(payload=a_payload().encode(), signatures=(data,)).encode()
        assert verify(token, a_trust(f"alice {line}"), NOW).approved_by == ("alice",)


def test_T2_a_flipped_bit_in_payload_signature_or_header_has_one_message():
    whole = Envelope.decode(a_token())
    said = set()
    for field in ("payload", "signature", "payload_type"):
        old = whole.signatures[0] if field == "signature" else getattr(whole, field)
        data = old.encode() if isinstance(old, str) else old
        for at in range(0, len(data), 7):
            new = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            change = {"signatures": (new,)} if field == "signature" else {field: new}
            if isinstance(old, str):
                change = {field: new.decode()}
            said.add(refused(msgspec.structs.replace(whole, **change).encode()))
    assert said == {
        "The token's signature does not fit: it was altered, or not made by the key that it names."
    }


def test_a_good_signature_beside_a_bad_one_is_not_enough():
    whole = Envelope.decode(a_token(None, "alice", "carol"))
    for bad in (signature(b"else", "carol"), signature(whole.signed_bytes, "mallory"), b"SSHSIG"):
        assert refused(msgspec.structs.replace(whole, signatures=(whole.signatures[0], bad)).encode())


def test_what_is_signed_for_something_else_is_no_approval():
    other = "application/vnd.in-toto+json"
    assert refused(a_token(kind=other)) == f"What was signed is no approval but {other}."


def test_T7_signers_who_do_not_count():
    alice, token = f"alice {public_line()}", a_token()
    assert "is signed by a key that is no approver's: SHA256:" in refused(a_token(None, "mallory"))
    assert "alice's key expired at 2026-11-22 11:59:59" in refused(
        token, a_trust(alice.replace(" ", ' valid-before="20261122115959Z" ', 1))
    )
    assert "alice's key is valid after 2026-11-22 12:00:01 only" in refused(
        token, a_trust(alice.replace(" ", ' valid-after="20261122120001Z" ', 1))
    )
    assert "alice's key is not for ci-migrate-approval@v1" in refused(
        token, a_trust(alice.replace(" ", ' namespaces="git,file" ', 1))
    )
    name = a_trust(alice).signers[0].fingerprint
    assert f"signed by a revoked key of alice: {name}" in refused(
        token, a_trust(alice, revoked=frozenset({name}))
    )


def test_T7_a_signature_for_git_is_no_approval():
    whole = Envelope.decode(a_token())
    replayed = signature(whole.signed_bytes, namespace="git")
    said = refused(msgspec.structs.replace(whole, signatures=(replayed,)).encode())
    assert "is for 'git', no approval" in said


def test_T9_who_asks_does_not_approve():
    trust = a_trust(forbid_self_approval=True)
    own = verify(a_token(a_payload(requester="Alice")), trust, NOW)
    with pytest.raises(NotApprovedError, match="alice asks and approves"):
        refuse_too_few(own, trust, ())
    with pytest.raises(NotApprovedError, match="alice asks and approves"):
        refuse_too_few(verify(a_token(), trust, NOW), trust, ("ALICE",))
    refuse_too_few(verify(a_token(), trust, NOW), trust, ("dave",))
    refuse_too_few(own, a_trust(), ("alice",))


def test_T9_a_second_key_of_the_asker_does_not_approve():
    lines = (f"alice {public_line()}", f"alice,root {public_line('second')}")
    trust = a_trust(*lines, forbid_self_approval=True)
    with pytest.raises(NotApprovedError, match="alice asks and approves"):
        refuse_too_few(verify(a_token(None, "second"), trust, NOW), trust, ("alice",))


def test_T9_the_same_person_twice_is_one():
    lines = (f"alice {public_line()}", f"Alice,work {public_line('second')}", f"carol {public_line('carol')}")
    trust = a_trust(*lines, min_approvals=2)
    for names in (("alice",), ("alice", "alice"), ("alice", "second")):
        with pytest.raises(NotApprovedError, match="2 people must approve; there is 1: "):
            refuse_too_few(verify(a_token(None, *names), trust, NOW), trust, ())
    refuse_too_few(verify(a_token(None, "alice", "carol"), trust, NOW), trust, ())


def test_an_emergency_key_suffices_alone_wherever_else_it_stands():
    normal = a_trust(min_approvals=2, forbid_self_approval=True)
    emergency = msgspec.structs.replace(normal.signers[0], emergency=True)
    trust = msgspec.structs.replace(normal, signers=(*normal.signers, emergency))
    verified = verify(a_token(a_payload(requester="alice")), trust, NOW)
    assert verified.emergency
    refuse_too_few(verified, trust, ("alice",))


def test_signatures_of_two_tokens_go_together_if_they_say_the_same():
    first, second = a_token(), a_token(None, "carol")
    merged = merge([first, second, first])
    assert verify(merged, a_trust(), NOW).approved_by == ("alice@example.com", "carol")
    with pytest.raises(NotApprovedError, match="say different things"):
        merge([first, a_token(a_payload(reason="else"))])


def test_200_pending_revisions_fit():
    revisions = tuple(
        Revision(id=f"{n:012x}", file=f"migrations/versions/{n:012x}_a_long_enough_slug_of_{n}.py", sha256="b" * 64, message="m" * 60)
        for n in range(200)
    )  # fmt: skip
    plan = a_plan(revisions=revisions)
    from ci_migrate.approval.payload import files_digest

    token = a_token(a_payload(plan_digest=plan.digest, files_digest=files_digest(plan)), "alice", "carol")
    assert len(token) < 4096
    facts = some_facts(plan=plan, evidence_digest=None)
    assert payload_diff(verify(token, a_trust(), NOW).payload, facts) == []


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("größe 🚚 x", "größe 🚚 x"), ("a\x1b[2Jb", "a\\x1b[2Jb"), ("a\nb\tc", "a\\nb\\tc"),
        ("\u202egpj.exe", "\\u202egpj.exe"), ("a\u200bb", "a\\u200bb"), ("\udcff", "\\udcff"), ("", ""),
    ],
)  # fmt: skip
def test_nothing_in_a_line_turns_or_hides_what_an_approver_sees(line, shown):
    assert plain(line) == shown
    assert plain(line).isprintable()
