"""One approval for many databases, without a ledger: the list, its entries, and what each token says."""

from datetime import timedelta

import msgspec
import pytest
from approval_support import NOW, a_token, a_trust, refused, signature
from ledger_support import a_plan, some_evidence

from ci_migrate.approval.envelope import TOKEN_LIMIT, Envelope, merge
from ci_migrate.approval.many import MANY_TYPE, decode_many, payload_to_revoke
from ci_migrate.approval.many_request import (
    collect,
    decode_many_request,
    describe_many,
    is_of_many,
    many_payload_of,
    tokens_for,
)
from ci_migrate.approval.payload import Facts, payload_diff
from ci_migrate.approval.request import approval_request, payload_of
from ci_migrate.approval.verification import describe_token, verify
from ci_migrate.errors import NotApprovedError, UsageError
from ci_migrate.model import Finding, Identity, Inputs, NamedRehearsal, Severity, TableContent, TableEvidence

FINDING = Finding(code="CM303", name="x", severity=Severity.WARNING, message="m", revision="2222")


def a_request(number, *, x="", plan=(), evidence=(), findings=(), **changes):
    """What a run of one database of the fleet `shops` asks for."""
    target = f"shops/s{number:03}"
    identity = Identity(dialect="sqlite", place=f"/srv/{number}.db", facts={"file": f"/srv/{number}.db"})
    settings = {"configure": "c", **({"x": x.format(number)} if x else {})}
    inputs = Inputs(files={"env.py": "e" * 64}, settings=settings)
    rows = {"users": TableEvidence(before=TableContent(rows=number), after=TableContent(rows=0))}
    return approval_request(
        **{
            "plan": a_plan(target=target, identity=identity, inputs=inputs, **dict(plan)),
            "evidence": some_evidence(**{"stream_digest": "s" * 64, "tables": rows, **dict(evidence)}),
            "findings": findings,
            "target": target,
            "command_line": "",
            "target_uuid": f"u-{number}",
            "requester": "dev",
            **changes,
        }
    )


def many(*requests, x=""):
    return collect("shops", "fleet_1", x, {one.target.partition("/")[2]: one for one in requests})


def token_of(request, *names, kind=MANY_TYPE, payload=None):
    payload = payload or many_payload_of(
        request, reason="why", stages=("migrate",), minutes=30, moment=NOW - timedelta(minutes=1)
    )
    whole = Envelope(payload=payload.encode(), payload_type=kind)
    signatures = tuple(signature(whole.signed_bytes, name) for name in names or ("alice",))
    return msgspec.structs.replace(whole, signatures=signatures).encode()


def test_for_each_it_says_what_an_approval_of_it_alone_would_say():
    asked = [a_request(number) for number in range(1, 8)]
    request = many(*asked)
    token = token_of(request)
    common = decode_many(Envelope.decode(token).payload)
    for one in asked:
        verified = verify(tokens_for(token, request)[one.target], a_trust(), NOW)
        alone = payload_of(one, reason="why", stages=("migrate",), minutes=30, moment=NOW)
        own = {name: getattr(common, name) for name in ("nonce", "issued", "not_before", "expires")}
        assert verified.payload == msgspec.structs.replace(alone, **own)
        assert verified.list_digest == common.list_digest
        facts = Facts(plan=one.plan, target_uuid=one.target_uuid, evidence_digest=one.evidence_digest,
                      rows={"users": -int(one.target[-3:])}, inputs_digest=one.inputs.digest)  # fmt: skip
        assert payload_diff(verified.payload, facts) == []


def test_five_hundred_databases_make_no_longer_tokens():
    request = many(*(a_request(number) for number in range(500)))
    token = token_of(request)
    assert len(token) < 2_500
    assert max(map(len, tokens_for(token, request).values())) < 6_000 < TOKEN_LIMIT
    shown = "\n".join(describe_many(request))
    assert "500 databases of the fleet shops, asked for by dev" in shown
    assert "and 480 more, shops/s020 to shops/s499: `databases` in the request" in shown
    assert "rows of users in each of them: from -499 to +0" in shown


def test_how_long_dry_runs_may_be_used_again_is_shown_of_all():
    named = NamedRehearsal(run_id="r", at=NOW, evidence="e", backup_id="b", backup_time=NOW)
    asked = [
        a_request(
            number,
            rehearsal=msgspec.structs.replace(named, until=NOW + timedelta(days=number) if number else None),
        )
        for number in range(3)
    ]
    shown = "\n".join(describe_many(many(*asked)))
    assert (
        "2 approved runs may use dry run and backup again, until 2026-11-23 12:00 to 2026-11-24 12:00 UTC"
        in shown
    )


def test_a_token_for_one_database_can_not_be_altered_to_be_for_another():
    request = many(*(a_request(number) for number in range(1, 6)))
    token = token_of(request)
    first, second, *_ = (Envelope.decode(text) for text in tokens_for(token, request).values())
    entry = first.member.entry.replace(b"u-1", b"u-9")
    altered = [
        msgspec.structs.replace(first.member, entry=entry),
        msgspec.structs.replace(first.member, number=1),
        msgspec.structs.replace(first.member, proof=second.member.proof),
        msgspec.structs.replace(first.member, proof=()),
        msgspec.structs.replace(second.member, number=0, proof=first.member.proof),
        msgspec.structs.replace(first.member, number=-1),
    ]
    for member in altered:
        said = refused(msgspec.structs.replace(first, member=member).encode())
        assert said == "The database is not in the list that was approved: the list was altered."
    assert "carries an entry of a list besides" in refused(
        msgspec.structs.replace(Envelope.decode(a_token()), member=first.member).encode()
    )
    assert "5 databases of the fleet shops; only a fleet run takes it" in refused(token)


def test_neither_kind_passes_for_the_other():
    request = many(a_request(1), a_request(2))
    one = payload_of(a_request(1), reason="why", stages=("migrate",), minutes=30, moment=NOW)
    assert "can't be read" in refused(token_of(request, payload=one))
    assert "can't be read" in refused(token_of(request, kind="application/vnd.ci-migrate.approval.v1+json"))
    with pytest.raises(NotApprovedError, match="for one database, and this is a fleet"):
        tokens_for(a_token(), request)
    with pytest.raises(NotApprovedError, match="for one database, and this is a fleet"):
        tokens_for(tokens_for(token_of(request), request)["shops/s001"], request)


def test_a_token_is_for_the_list_that_was_signed():
    request = many(a_request(1), a_request(2), a_request(3))
    token = token_of(request)
    for databases in (request.databases[:2], request.databases[::-1]):
        with pytest.raises(NotApprovedError, match="another list of databases"):
            tokens_for(token, msgspec.structs.replace(request, databases=databases))
    mine = msgspec.structs.replace(request.databases[1], rows={"users": -900})
    with pytest.raises(NotApprovedError, match="another list of databases"):
        tokens_for(token, msgspec.structs.replace(request, databases=(request.databases[0], mine)))


def test_two_sign_the_same_list():
    request = many(a_request(1), a_request(2))
    payload = many_payload_of(request, reason="why", stages=("migrate",), minutes=30, moment=NOW)
    token = merge([token_of(request, name, payload=payload) for name in ("alice", "carol")])
    assert len(verify(tokens_for(token, request)["shops/s002"], a_trust(), NOW).signers) == 2
    shown = describe_token(token)
    assert payload.list_digest in shown
    assert "shops/s002" in describe_token(tokens_for(token, request)["shops/s002"])
    assert payload_to_revoke(Envelope.decode(token)).nonce == payload.nonce


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"findings": (FINDING,)}, "findings"),
        ({"evidence": {"stream_digest": "t" * 64}}, "statements"),
        ({"evidence": {"without_rows": True}}, "rows in the copy"),
        ({"evidence": {"proven": False}}, "proof of backup and rollback path"),
        ({"plan": {"env_sha256": "f" * 64}}, "plan"),
        ({"commit": "c" * 40}, "commit"),
    ],
)
def test_what_is_not_the_same_is_left_out_and_the_reason_named(other, words):
    request = many(a_request(1, **other), a_request(2), a_request(3))
    assert [one.target for one in request.databases] == ["shops/s002", "shops/s003"]
    assert request.left_out == {"s001": f"not the same {words} as shops/s002"}
    assert "s001: not the same" in "\n".join(describe_many(request))


def test_a_name_in_x_is_its_own_and_no_other_text_differs():
    asked = [a_request(number, x="tenant=s{:03}") for number in (1, 2)]
    assert not many(*asked, x="tenant={name}").left_out
    assert many(*asked).left_out == {"s002": "not the same settings as shops/s001"}
    strange = a_request(2, x="tenant=s001")
    assert many(asked[0], strange, x="tenant={name}").left_out == {
        "s002": "not the same settings as shops/s001"
    }


def test_two_databases_with_one_ledger_are_not_both_in_it():
    request = many(a_request(1), a_request(2, target_uuid="u-1"), a_request(3))
    assert request.left_out == {"s002": "its ledger is a copy of that of shops/s001"}


def test_what_was_not_rehearsed_is_left_out():
    request = many(msgspec.structs.replace(a_request(1), evidence=None), a_request(2))
    assert request.left_out == {"s001": "it asks for no migration that was rehearsed"}
    with pytest.raises(UsageError, match="waits for the approval"):
        many()


def test_a_request_that_was_edited_is_not_signed(tmp_path):
    request = many(a_request(1), a_request(2), a_request(3))
    first, second, third = request.databases
    assert decode_many_request(msgspec.json.encode(request), tmp_path) == request
    assert is_of_many(msgspec.json.encode(request))
    assert not is_of_many(msgspec.json.encode(a_request(1)))
    assert not is_of_many(b"[")
    for databases, words in (
        ((), "none of them"),
        ((second, third), "none of them"),
        ((msgspec.structs.replace(first, rows={}), second), "none of them"),
        ((first, second, second), "lists a database twice"),
        ((first, msgspec.structs.replace(second, target_uuid="u-1")), "lists a database twice"),
        ((first, msgspec.structs.replace(second, target="bank/s002")), "not of the fleet"),
        ((first, msgspec.structs.replace(second, requester="")), "not of the fleet"),
    ):
        edited = msgspec.structs.replace(request, databases=databases)
        with pytest.raises(UsageError, match=words):
            decode_many_request(msgspec.json.encode(edited), tmp_path)
    wrong = msgspec.structs.replace(
        request, request=msgspec.structs.replace(request.request, plan_digest="0")
    )
    with pytest.raises(UsageError, match="not the one that its digests name"):
        decode_many_request(msgspec.json.encode(wrong), tmp_path)
    with pytest.raises(UsageError, match="no request for the databases of a fleet"):
        decode_many_request(b"{}", tmp_path)
