from datetime import timedelta

import msgspec
import pytest
from approval_support import (
    NOW,
    a_payload,
    a_token,
    refused,
    some_facts,
)
from ledger_support import a_plan

from ci_migrate.approval.payload import (
    SHOWN,
    STAGE_OF,
    Facts,
    _describe,
    decode_payload,
    files_digest,
    lifetime_refusal,
    payload_diff,
)
from ci_migrate.model import Direction, Identity, ProtectionChange, Purpose, Revision

DAY = timedelta(days=1)


def test_T3_expired_not_yet_valid_made_in_the_future_or_valid_for_too_long():
    second, longest = timedelta(seconds=1), timedelta(minutes=30)
    payload = a_payload()
    said = [
        lifetime_refusal(payload, payload.expires, longest),
        lifetime_refusal(payload, payload.expires + second, longest),
        lifetime_refusal(a_payload(not_before=NOW + second), NOW, longest),
        lifetime_refusal(a_payload(issued=NOW + second), NOW, longest),
        lifetime_refusal(a_payload(expires=payload.expires + second), NOW, longest),
        lifetime_refusal(a_payload(expires=NOW), NOW, longest),
    ]
    assert [words.split(" at ")[0].split(" 2026")[0] for words in said] == [
        "The token expired",
        "The token expired",
        "The token is not valid before",
        "The token was made in the future,",
        "The token is valid for 0:30:01; allowed is 0:30:00.",
        "The token is valid for 0:00:00; allowed is 0:30:00.",
    ]
    assert lifetime_refusal(payload, NOW, longest) == ""
    assert lifetime_refusal(payload, payload.expires - second, longest) == ""


def test_T4_each_field_that_does_not_fit_is_named():
    """Each field of the payload altered in turn, signed by an approver all the same."""
    elsewhere = Identity(dialect="sqlite", place="/srv/other.db", facts={"file": "/srv/other.db"})
    copied = Identity(dialect="sqlite", place="/srv/app.db", facts={"file": "/srv/app.db", "inode": "2"})
    altered = {
        "target": ("staging", "target"),
        "target_uuid": ("u-2", "target's UUID"),
        "plan_digest": ("d" * 64, "plan"),
        "direction": (Direction.DOWNGRADE, "direction"),
        "from_heads": (("0000",), "heads before"),
        "destination": ("3333", "destination"),
        "files_digest": ("f" * 64, "revision files"),
        "commit": ("d" * 40, "commit"),
        "evidence_digest": ("d" * 64, "evidence"),
        "stages": (("rollback",), "stages"),
    }
    for field, (value, name) in altered.items():
        found = payload_diff(a_payload(**{field: value}), some_facts())
        assert [words.split(":")[0] for words in found] == [name], field
    for identity, names in (
        (elsewhere, ["database", "database's identity"]),
        (copied, ["database's identity"]),
    ):
        found = payload_diff(a_payload(identity=identity), some_facts())
        assert [words.split(":")[0] for words in found] == names
    assert payload_diff(a_payload(), some_facts()) == []


def test_T4_one_byte_changed_in_one_revision():
    swapped = a_plan(
        revisions=(Revision(id="2222", file="versions/2222_b.py", sha256="c" * 64, message="b"),)
    )
    found = payload_diff(a_payload(), some_facts(plan=swapped))
    assert [words.split(":")[0] for words in found] == ["revision files", "plan", "evidence"]


def test_an_approval_to_go_forward_goes_back_by_the_ways_that_it_names_only():
    assert payload_diff(a_payload(), some_facts(stage="downgrade")) == []
    assert payload_diff(a_payload(), some_facts(stage="restore")) == [
        "stages: approved was migrate, undo, downgrade, here it is restore"
    ]


def test_an_approval_that_names_a_commit_or_evidence_is_for_nothing_less():
    assert "commit: approved was cccccccccccc, here it is none" in payload_diff(
        a_payload(), some_facts(commit=None)
    )
    assert payload_diff(a_payload(commit=None), some_facts()) == []
    # before the dry run there is no evidence to compare with
    assert payload_diff(a_payload(), some_facts(evidence_digest=None)) == []
    assert payload_diff(a_payload(evidence_digest=None), some_facts())[0].startswith(
        "evidence: approved was none"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.replace(b'"reason"', b'"because"'), "can't be read"),
        (lambda d: d.replace(b'{"', b'{"reason":"x","', 1), "one form"),
        (lambda d: d.replace(b'{"', b'{ "', 1), "one form"),
        (lambda d: d.replace(b'"format":1', b'"format":2'), "one form"),
        (lambda d: d.replace(b"ticket 4711", b"  "), "no reason"),
        (lambda d: d.replace(b"0123456789abcdef", b"x"), "nonce"),
        (lambda d: d.replace(b"12:00:00Z", b"12:00:00"), "no time zone"),
        (lambda _: b"[]", "can't be read"),
        (lambda _: b"[" * 9000, "can't be read"),
    ],
)
def test_a_payload_has_one_form(change, message):
    data = a_payload().encode()
    assert decode_payload(data) == a_payload()
    assert message in refused(a_token(change(data)))


def test_an_approval_of_a_change_of_the_protection_fits_that_change_only():
    plan = a_plan()
    change = ProtectionChange(target=plan.target, identity=plan.identity, destination="unprotect")
    payload = a_payload(
        plan_digest=change.digest,
        direction=change.purpose,
        from_heads=(),
        destination="unprotect",
        files_digest=files_digest(change),
        stages=("protection",),
        commit=None,
        evidence_digest=None,
    )
    assert decode_payload(payload.encode()) == payload
    assert payload_diff(payload, Facts(plan=change, target_uuid="u-1")) == []
    other = msgspec.structs.replace(change, destination="unfreeze")
    found = payload_diff(payload, Facts(plan=other, target_uuid="u-1"))
    assert found[0] == "destination: approved was unprotect, here it is unfreeze"
    assert payload_diff(payload, Facts(plan=plan, target_uuid="u-1"))


def test_every_purpose_has_its_own_stage():
    assert {str(purpose) for purpose in Purpose} == {str(direction) for direction in Direction} | {
        "protection",
        "removal",
        "repair",
        "backfill",
    }
    assert set(STAGE_OF) == set(Purpose)
    assert len(set(STAGE_OF.values())) == len(Purpose)


@pytest.mark.parametrize("where", [0, 3, 150, 399])
def test_of_long_values_what_is_shown_is_where_they_begin_to_differ(where):
    was = "a" * 400
    is_ = was[:where] + "B" + was[where + 1 :]
    told = _describe("destination", was, is_)
    assert "B" in told
    assert len(told) < 2 * SHOWN + 100
    assert _describe("plan", "0" * 64, "1" * 64) == f"plan: approved was {'0' * 12}, here it is {'1' * 12}"
    assert _describe("commit", "abc", None) == "commit: approved was abc, here it is none"
    assert _describe("heads before", "", "r1") == "heads before: approved was base, here it is r1"
