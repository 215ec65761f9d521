import concurrent.futures
import time
import uuid
from datetime import timedelta

import msgspec
import pytest
from approval_support import a_payload, a_token, a_trust
from ledger_support import a_plan, finish, ledger, plan, start_process, tamper, url

from ci_migrate.approval import tokens
from ci_migrate.approval.payload import ApprovalPayload, new_nonce
from ci_migrate.approval.tokens import (
    MAX_VALIDITY_MINUTES,
    TOKEN_LIMIT,
    claim,
    generate,
    kind_of,
    list_tokens,
    reserve,
    reserve_signed,
    revoke,
    used_by,
    validate,
    validate_signed,
)
from ci_migrate.errors import ExitCode, LedgerError, NotApprovedError, UsageError
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.model import (
    Direction,
    Identity,
    PlannedContext,
    ProtectionChange,
    Purpose,
    Revision,
    TokenKind,
    VersionTable,
)

__all__ = ["ledger", "plan", "tamper", "url"]

RUN = """
import msgspec
from ci_migrate.approval.tokens import claim, reserve
from ci_migrate.errors import NotApprovedError
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.model import Plan
ledger = open_ledger(url, create=False)
token, run_id, plan = sys.stdin.readline().split(" ", 2)
approval = reserve(ledger, token, msgspec.json.decode(plan, type=Plan), run_id)
print("reserved", flush=True); sys.stdin.readline()
try:
    claim(ledger, approval.approval_id, run_id)
except NotApprovedError as error:
    print("refused", error.what)
else:
    print("migrates", flush=True)
"""


def make(ledger, plan, **changes: object):
    fields: dict = {"target": "production", "reason": "ticket 4711", "by": "ana", "validity_minutes": 30}
    return generate(ledger, plan=plan, **{**fields, **changes})


@pytest.fixture
def token(ledger, plan) -> str:
    return make(ledger, plan)[0]


def refusal(action, *arguments: object) -> NotApprovedError:
    """The error that an action ends with: a refusal in at most three lines."""
    with pytest.raises(NotApprovedError) as caught:
        action(*arguments)
    assert caught.value.exit_code is ExitCode.NOT_APPROVED
    assert "not touched" in caught.value.state
    assert len(caught.value.lines) <= 3
    assert not any("\n" in line for line in caught.value.lines)
    return caught.value


def move_expiry(ledger, tamper, **delta: float) -> None:
    expires = ledger.clock() + timedelta(**delta)
    tamper("UPDATE ci_migrate_tokens SET expires = :at", at=expires.isoformat(timespec="microseconds"))


# --------------------------------------------------------------------------- making


def test_a_token_is_good_for_its_plan(ledger, plan):
    token, approval = make(ledger, plan, by=" ana ", reason=" ticket 4711\n")
    assert str(uuid.UUID(token)) == token
    assert validate(ledger, token, plan) == approval
    assert validate(ledger, token, None) == approval
    assert (approval.kind, approval.target, approval.plan_digest) == (
        "confirmation",
        "production",
        plan.digest,
    )
    assert (approval.approved_by, approval.reason) == (("ana",), "ticket 4711")
    assert approval.expires - approval.created == timedelta(minutes=30)
    assert abs(approval.created - ledger.clock()) < timedelta(seconds=30)


def test_no_two_tokens_are_alike(ledger, plan):
    assert len({make(ledger, plan)[0] for _ in range(5)}) == 5


@pytest.mark.parametrize("changes", [{"reason": ""}, {"reason": " \n"}, {"by": ""}, {"by": "\t"}])
def test_reason_and_name_are_required(ledger, plan, changes):
    with pytest.raises(UsageError, match="An approval needs"):
        make(ledger, plan, **changes)
    assert list_tokens(ledger) == ()


@pytest.mark.parametrize("minutes", [0, -1, MAX_VALIDITY_MINUTES + 1])
def test_T3_a_lifetime_that_makes_no_sense_is_refused(ledger, plan, minutes):
    with pytest.raises(UsageError, match="can't be valid"):
        make(ledger, plan, validity_minutes=minutes)


def test_T13_the_token_is_kept_nowhere(ledger, plan, tamper):
    token, approval = make(ledger, plan)
    reserve(ledger, token, plan, "run-1")
    claim(ledger, approval.approval_id, "run-1")
    revoke(ledger, all_before=ledger.clock())
    tables = ("tokens", "audit", "reservations", "runs", "identity")
    stored = [str(row) for table in tables for row in tamper(f"SELECT * FROM ci_migrate_{table}")]
    assert any(approval.approval_id in row for row in stored)
    everything = [
        *stored,
        repr(approval),
        repr(list_tokens(ledger)),
    ]
    errors = [refusal(validate, ledger, token, None), refusal(reserve, ledger, token, plan, "run-2")]
    everything += [line for error in errors for line in error.lines]
    assert not any(token in text or token.replace("-", "") in text for text in everything)


def test_the_audit_trail_tells_the_life_of_a_token(ledger, plan):
    token, approval = make(ledger, plan)
    reserve(ledger, token, plan, "run-1")
    claim(ledger, approval.approval_id, "run-1")
    records = ledger.audit_records()
    assert [(r.kind, r.run_id) for r in records] == [
        ("token generated", None),
        ("token reserved", "run-1"),
        ("token used", "run-1"),
    ]
    assert records[0].facts["approval"]["reason"] == "ticket 4711"
    assert ledger.verify_audit() == []


# --------------------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "is empty"),
        (" \t\n", "is empty"),
        ("{token} {token}", "More than one token"),
        ("{token}\n{other}\n", "More than one token"),
        ("{token},{other}", "malformed"),
        ("{token}x", "malformed"),
        ("{{{token}}}", "malformed"),
        ("'; DROP TABLE ci_migrate_tokens; --", "More than one token"),
        ("x" * (TOKEN_LIMIT + 1), "too long"),
        ("\x00", "malformed"),
        ("\udcff", "malformed"),
        ("\uff11" * 8 + "-1111-1111-1111-111111111111", "malformed"),
    ],
)
def test_T1_what_is_no_token_is_refused_with_its_own_words(ledger, plan, given, words):
    token, _ = make(ledger, plan)
    other, _ = make(ledger, plan)
    error = refusal(validate, ledger, given.format(token=token, other=other), plan)
    assert words in error.what
    assert "--token-file" in error.hint
    assert token not in str(error.lines)


def test_T1_white_space_around_a_token_does_no_harm(ledger, plan, token):
    assert validate(ledger, f"  {token}\r\n", plan) == validate(ledger, token.upper(), plan)


@pytest.mark.parametrize("place", [0, 9, 14, 19, 24, 35])
def test_T2_one_changed_digit_makes_an_unknown_token_of_it(ledger, plan, token, place):
    flipped = token[:place] + format(int(token[place], 16) ^ 1, "x") + token[place + 1 :]
    error = refusal(validate, ledger, flipped, plan)
    other = refusal(validate, ledger, str(uuid.uuid4()), plan)
    assert "knows no such token" in error.what
    assert error.lines == other.lines


def test_T3_a_token_expires_by_the_clock_of_the_ledger(ledger, plan, token, tamper):
    move_expiry(ledger, tamper, seconds=60)
    assert validate(ledger, token, plan)
    move_expiry(ledger, tamper, seconds=-1)
    assert "expired" in refusal(validate, ledger, token, None).what
    error = refusal(validate, ledger, token, plan)
    assert "expired at" in error.what
    assert "UTC" in error.what
    assert "expired" in refusal(reserve, ledger, token, plan, "run-1").what


def test_F106_a_token_of_a_clock_that_was_put_back_is_of_no_use(ledger, plan, token, tamper):
    """It would live for as long as the clock was ahead."""
    ahead = ledger.clock() + timedelta(days=3)
    tamper("UPDATE ci_migrate_tokens SET created = :moment", moment=ahead.isoformat(timespec="microseconds"))
    assert "was made in the future" in refusal(validate, ledger, token, plan).what
    assert "was made in the future" in refusal(reserve, ledger, token, plan, "run-1").what


def test_T3_expiry_is_judged_when_the_run_starts(ledger, plan, tamper):
    token, approval = make(ledger, plan)
    reserve(ledger, token, plan, "run-1")
    move_expiry(ledger, tamper, hours=-3)
    assert "expired" in refusal(reserve, ledger, token, plan, "run-2").what
    assert reserve(ledger, token, plan, "run-1").approval_id == approval.approval_id
    claim(ledger, approval.approval_id, "run-1")


OTHER_FILE = Revision(id="2222", file="versions/2222_b.py", sha256="c" * 64, message="b")
MORE = Revision(id="3333", file="versions/3333_c.py", sha256="d" * 64, message="c")


def context(
    from_heads: tuple[str, ...] = ("1111",), revisions: tuple[str, ...] = ("2222",)
) -> PlannedContext:
    return PlannedContext(
        version_table=VersionTable(), from_heads=from_heads, to_heads=revisions[-1:], revisions=revisions
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"destination": "3333"}, "destination was head, is 3333"),
        ({"direction": Direction.DOWNGRADE}, "direction was upgrade, is downgrade"),
        ({"contexts": (context(from_heads=("0000",)),)}, "from-heads was 1111, is 0000"),
        ({"contexts": (context(from_heads=()),)}, "from-heads was 1111, is base"),
        ({"revisions": (OTHER_FILE,)}, "revision file versions/2222_b.py was changed"),
        ({"env_sha256": "f" * 64}, "env.py was changed"),
        ({"script_heads": ("2222", "9999")}, "heads of the scripts was 2222, is 2222, 9999"),
        (
            {
                "revisions": (*a_plan().revisions, MORE),
                "contexts": (context(revisions=("2222", "3333")),),
            },
            "to-heads was 2222, is 3333; revision 3333 came in",
        ),
        ({"contexts": (context(revisions=("2222", "2222")),)}, "the order in which revisions run"),
        (
            {"identity": Identity(dialect="sqlite", place="/srv/other.db", facts={"file": "/srv/other.db"})},
            "target was /srv/app.db, is /srv/other.db (file)",
        ),
    ],
)
def test_T4_another_plan_is_refused_naming_what_differs(ledger, token, changes, words):
    other = a_plan(**changes)
    for error in (refusal(validate, ledger, token, other), refusal(reserve, ledger, token, other, "run-1")):
        assert "another plan" in error.what
        assert words in error.what
        assert "ci-migrate token generate --target production" in error.hint


def test_T4_another_target_is_refused_by_name(ledger, token):
    error = refusal(validate, ledger, token, a_plan(target="staging"))
    assert error.what == "The token was made for the target production, not for staging."


def test_T4_a_ledger_that_was_copied_to_another_database_refuses(ledger, plan, token, tamper):
    tamper("UPDATE ci_migrate_identity SET uuid = :other", other=str(uuid.uuid4()))
    assert "another target" in refusal(validate, ledger, token, plan).what


def test_T4_a_token_of_another_ledger_is_unknown(ledger, plan, tmp_path):
    from sqlalchemy import URL

    with open_ledger(URL.create("sqlite", database=str(tmp_path / "other")), create=True) as other:
        token, _ = make(other, plan)
    assert "made for another target, or never" in refusal(validate, ledger, token, plan).what


def test_T4_many_differences_are_counted(ledger, token):
    revisions = tuple(Revision(id=f"n{n}", file=f"{n}.py", sha256="a", message="") for n in range(200))
    error = refusal(validate, ledger, token, a_plan(revisions=revisions))
    assert "196 more differences" in error.what
    assert len(error.what) < 500


def test_T4_a_forged_digest_in_the_ledger_does_not_make_another_plan_fit(ledger, token, tamper):
    tamper("UPDATE ci_migrate_tokens SET destination = '3333', direction = 'downgrade'")
    assert "another plan" in refusal(validate, ledger, token, a_plan(destination="3333")).what


# --------------------------------------------------------------------------- using once


def test_T5_a_used_token_is_refused(ledger, plan):
    token, approval = make(ledger, plan)
    reserve(ledger, token, plan, "run-1")
    claim(ledger, approval.approval_id, "run-1")
    for error in (
        refusal(validate, ledger, token, plan),
        refusal(validate, ledger, token, None),
        refusal(reserve, ledger, token, plan, "run-2"),
    ):
        assert "was used already, by run run-1" in error.what


def test_T5_two_runs_reserve_it_and_one_uses_it(ledger, plan):
    token, approval = make(ledger, plan)
    reserve(ledger, token, plan, "run-1")
    reserve(ledger, token, plan, "run-2")
    claim(ledger, approval.approval_id, "run-2")
    assert "used already, by run run-2" in refusal(claim, ledger, approval.approval_id, "run-1").what


def test_T5_a_run_that_did_not_reserve_it_can_not_use_it(ledger, plan):
    _, approval = make(ledger, plan)
    assert "has not reserved" in refusal(claim, ledger, approval.approval_id, "run-1").what
    assert "has not reserved" in refusal(claim, ledger, "approval-unknown", "run-1").what


def test_T5_of_six_runners_with_one_token_exactly_one_goes_on(ledger, url, plan):
    token, _ = make(ledger, plan)
    text = msgspec.json.encode(plan).decode()
    runners = [start_process(url, RUN) for _ in range(6)]
    for number, runner in enumerate(runners):
        runner.stdin.write(f"{token} run-{number} {text}\n")
        runner.stdin.flush()
    for runner in runners:
        assert runner.stdout.readline() == "reserved\n"
    with concurrent.futures.ThreadPoolExecutor(6) as pool:  # all at once
        said = list(pool.map(lambda runner: runner.communicate("go\n", timeout=60)[0], runners))
    winners = [number for number, text in enumerate(said) if text == "migrates\n"]
    assert len(winners) == 1, said
    losers = [text for number, text in enumerate(said) if number not in winners]
    assert all(f"used already, by run run-{winners[0]} " in text for text in losers)
    assert [r.used_by for r in list_tokens(ledger)] == [f"run-{winners[0]}"]
    assert [r.kind for r in ledger.audit_records()].count("token used") == 1
    assert ledger.verify_audit() == []


def test_T16_after_a_crash_the_same_run_goes_on_and_no_other(ledger, url, plan):
    token, approval = make(ledger, plan)
    runner = start_process(url, RUN + "\nimport time; time.sleep(60)")
    runner.stdin.write(f"{token} run-1 {msgspec.json.encode(plan).decode()}\n")
    runner.stdin.flush()
    assert runner.stdout.readline() == "reserved\n"
    runner.stdin.write("go\n")
    runner.stdin.flush()
    assert runner.stdout.readline() == "migrates\n"
    runner.kill()
    runner.communicate(timeout=30)

    assert "used already" in refusal(reserve, ledger, token, plan, "run-2").what
    assert "used already" in refusal(validate, ledger, token, plan).what
    assert reserve(ledger, token, plan, "run-1") == approval
    claim(ledger, approval.approval_id, "run-1")


def test_T16_after_a_crash_before_the_claim_another_run_may_use_it(ledger, plan):
    token, approval = make(ledger, plan)
    reserve(ledger, token, plan, "run-1")
    reserve(ledger, token, plan, "run-2")
    claim(ledger, approval.approval_id, "run-2")


# --------------------------------------------------------------------------- failing closed


@pytest.mark.parametrize("table", ["tokens", "reservations", "identity", "audit_head"])
def test_T15_a_table_that_was_dropped_refuses(ledger, plan, tamper, table):
    token, approval = make(ledger, plan)
    if table != "reservations":
        reserve(ledger, token, plan, "run-1")
    tamper(f"DROP TABLE ci_migrate_{table}")
    with pytest.raises(LedgerError) as caught:
        reserve(ledger, token, plan, "run-2")
        claim(ledger, approval.approval_id, "run-2")
    assert caught.value.exit_code is not ExitCode.OK
    assert token not in str(caught.value.lines)


def test_T15_an_emptied_ledger_refuses(ledger, plan, token, tamper):
    tamper("DELETE FROM ci_migrate_tokens")
    assert "knows no such token" in refusal(validate, ledger, token, plan).what


def test_T15_a_ledger_out_of_reach_refuses(postgresql_url, plan):
    from ledger_support import run_sql
    from sqlalchemy import make_url

    from ci_migrate.ledger.ledger import ledger_url

    where = ledger_url(make_url(postgresql_url), None)
    with open_ledger(where, create=True) as ledger:
        token, approval = make(ledger, plan)
        reserve(ledger, token, plan, "run-1")
        run_sql(make_url(postgresql_url), f'DROP DATABASE "{where.database}" WITH (FORCE)')
        with pytest.raises(LedgerError):
            claim(ledger, approval.approval_id, "run-1")
        with pytest.raises(LedgerError) as caught:
            reserve(ledger, token, plan, "run-1")
    assert token not in str(caught.value.lines)


# --------------------------------------------------------------------------- looking after


def test_tokens_are_listed_with_what_became_of_them(ledger, plan, tamper):
    made = {}
    for name in ("expired", "used", "revoked", "valid"):
        made[name] = make(ledger, plan, reason=name)
        if name == "expired":
            move_expiry(ledger, tamper, seconds=-1)
    reserve(ledger, made["used"][0], plan, "run-1")
    claim(ledger, made["used"][1].approval_id, "run-1")
    revoke(ledger, made["revoked"][1].approval_id)
    records = list_tokens(ledger)
    assert [record.status for record in records] == ["valid", "revoked", "used", "expired"]
    assert [record.approval.reason for record in records] == ["valid", "revoked", "used", "expired"]
    assert (records[2].used_by, records[2].direction, records[2].destination) == (
        "run-1",
        Direction.UPGRADE,
        "head",
    )
    assert records[0].from_heads == ("1111",)
    assert records[1].revoked is not None


def test_F106_tokens_are_listed_as_they_came_whatever_the_clock_said(ledger, plan, monkeypatch):
    """Also those that approvers signed, on machines with clocks of their own."""
    now = ledger.clock()
    for reason, jump in (("first", 9), ("second", -3), ("third", 0)):
        monkeypatch.setattr(tokens, "clock", lambda _connection, jump=jump: now + timedelta(hours=jump))
        make(ledger, plan, reason=reason)
    monkeypatch.undo()
    reserved, token = signed_token(ledger)
    reserve_signed(ledger, token, a_trust(), (), "run-1")
    revoked, token = signed_token(ledger, issued=now - timedelta(hours=1))
    revoke(ledger, token, by="ana")
    _, last = make(ledger, plan, reason="last")
    newest, *others = list_tokens(ledger)
    assert newest.approval == last
    assert [r.approval.approval_id for r in others[:2]] == [revoked.nonce, reserved.nonce]
    assert [r.approval.reason for r in others[2:]] == ["third", "second", "first"]


def test_of_runs_that_reserve_a_signed_token_at_once_all_get_it(ledger):
    """`claim` decides which one goes on; none must end as if the ledger were broken."""
    payload, token = signed_token(ledger)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        runs = [f"run-{number}" for number in range(4)]
        verified = list(pool.map(lambda run: reserve_signed(ledger, token, a_trust(), (), run), runs))
    assert [found.payload.nonce for found in verified] == [payload.nonce] * 4
    told = [r.run_id for r in ledger.audit_records() if r.kind == "token reserved"]
    assert sorted(told) == runs
    assert len(list_tokens(ledger)) == 1


@pytest.mark.parametrize("by_token", [True, False])
def test_a_revoked_token_is_refused(ledger, plan, by_token):
    token, approval = make(ledger, plan)
    reserve(ledger, token, plan, "run-1")
    assert revoke(ledger, token if by_token else approval.approval_id, by="bo") == (approval.approval_id,)
    assert revoke(ledger, approval.approval_id) == ()
    for error in (
        refusal(validate, ledger, token, None),
        refusal(reserve, ledger, token, plan, "run-1"),
        refusal(claim, ledger, approval.approval_id, "run-1"),
    ):
        assert "was revoked at" in error.what
    record = ledger.audit_records()[-1]
    assert (record.kind, record.facts) == (
        "token revoked",
        {"approvalIds": [approval.approval_id], "by": "bo"},
    )


def test_all_tokens_before_a_time_are_revoked_and_no_later_ones(ledger, plan, tamper):
    used, used_approval = make(ledger, plan)
    reserve(ledger, used, plan, "run-1")
    claim(ledger, used_approval.approval_id, "run-1")
    old, old_approval = make(ledger, plan)
    earlier = ledger.clock() - timedelta(hours=1)
    tamper("UPDATE ci_migrate_tokens SET created = :at", at=earlier.isoformat(timespec="microseconds"))
    new, _ = make(ledger, plan)
    assert revoke(ledger, all_before=earlier) == ()
    assert revoke(ledger, all_before=earlier + timedelta(seconds=1)) == (old_approval.approval_id,)
    assert "revoked" in refusal(validate, ledger, old, plan).what
    assert "used" in refusal(validate, ledger, used, plan).what
    assert validate(ledger, new, plan)


def test_revoking_what_is_not_there_or_was_used_is_told(ledger, plan):
    token, approval = make(ledger, plan)
    reserve(ledger, token, plan, "run-1")
    claim(ledger, approval.approval_id, "run-1")
    with pytest.raises(UsageError, match="used already, by run run-1"):
        revoke(ledger, token)
    with pytest.raises(UsageError, match="no such token") as caught:
        revoke(ledger, str(uuid.uuid4()))
    assert "token list" in caught.value.hint
    for arguments in ({}, {"which": token, "all_before": ledger.clock()}):
        with pytest.raises(UsageError, match="Name one token"):
            revoke(ledger, **arguments)


def test_looking_at_a_token_does_not_use_it(ledger, url, plan, token):
    before = list_tokens(ledger)
    said = finish([start_process(url, LOOK, token)])
    assert said == ["True\n"]
    assert list_tokens(ledger) == before


# --------------------------------------------------------------------------- both kinds in one store


def signed_token(ledger, **changes: object) -> tuple[ApprovalPayload, str]:
    now = ledger.clock()
    times = {"issued": now, "not_before": now, "expires": now + timedelta(minutes=30)}
    fields = {"target_uuid": ledger.uuid, "nonce": new_nonce(), **times, **changes}
    payload = a_payload(**fields)
    return payload, a_token(payload)


def test_the_kind_is_told_by_the_form(ledger, plan, token):
    assert kind_of(f" {token.upper()}\n") is TokenKind.CONFIRMATION
    assert kind_of(signed_token(ledger)[1]) is TokenKind.SIGNED
    for neither in ("", "rubbish", token[:-1], "a" * (TOKEN_LIMIT + 1)):
        assert kind_of(neither) is None


def test_a_signed_token_counts_once(ledger):
    payload, token = signed_token(ledger)
    validate_signed(ledger, token, a_trust(), ())
    assert list_tokens(ledger) == (), "looking leaves no trace"
    for run in ("run-1", "run-2", "run-1"):
        reserve_signed(ledger, token, a_trust(), (), run)
    claim(ledger, payload.nonce, "run-1")
    claim(ledger, payload.nonce, "run-1")
    for error in (
        refusal(claim, ledger, payload.nonce, "run-2"),
        refusal(reserve_signed, ledger, token, a_trust(), (), "run-3"),
        refusal(validate_signed, ledger, token, a_trust(), ()),
    ):
        assert "used already, by run run-1" in error.what
        assert "approval-request.json" in error.hint
    (used,) = used_by(ledger, "run-1")
    assert (used.stages, used.approval.plan_digest) == (payload.stages, payload.plan_digest)
    assert used_by(ledger, "run-2") == ()
    assert ledger.verify_audit() == []


def test_a_signed_token_expires_for_those_who_have_not_reserved_it(ledger):
    past = ledger.clock() - timedelta(minutes=5)
    _, token = signed_token(ledger, issued=past, not_before=past, expires=past + timedelta(minutes=1))
    assert "expired at" in refusal(reserve_signed, ledger, token, a_trust(), (), "run-1").what
    soon = ledger.clock() + timedelta(seconds=3)
    _, token = signed_token(ledger, issued=past, not_before=past, expires=soon)
    reserve_signed(ledger, token, a_trust(), (), "run-1")
    while ledger.clock() < soon:
        time.sleep(0.1)
    reserve_signed(ledger, token, a_trust(), (), "run-1")
    assert "expired at" in refusal(reserve_signed, ledger, token, a_trust(), (), "run-2").what


@pytest.mark.parametrize("seen", [True, False])
def test_a_signed_token_is_revoked_by_itself_or_by_its_id(ledger, seen):
    payload, token = signed_token(ledger)
    if seen:
        reserve_signed(ledger, token, a_trust(), (), "run-1")
    assert revoke(ledger, payload.nonce if seen else token, by="bo") == (payload.nonce,)
    assert revoke(ledger, token) == ()
    assert "was revoked at" in refusal(reserve_signed, ledger, token, a_trust(), (), "run-1").what
    if seen:
        assert "was revoked at" in refusal(claim, ledger, payload.nonce, "run-1").what
    assert ledger.audit_records()[-1].facts == {"approvalIds": [payload.nonce], "by": "bo"}


def test_both_kinds_are_listed_and_revoked_together(ledger, plan):
    _, approval = make(ledger, plan)
    payload, token = signed_token(ledger, issued=ledger.clock() - timedelta(hours=1))
    reserve_signed(ledger, token, a_trust(), (), "run-1")
    found = list_tokens(ledger)
    assert [(r.approval.kind, r.approval.approval_id) for r in found] == [
        (TokenKind.SIGNED, payload.nonce),
        (TokenKind.CONFIRMATION, approval.approval_id),
    ], "as the ledger got to know them, the newest first"
    assert found[0].approval.approved_by == ("alice@example.com",)
    assert found[1].from_heads == found[0].from_heads
    before = ledger.clock() + timedelta(seconds=1)
    assert set(revoke(ledger, all_before=before)) == {approval.approval_id, payload.nonce}


def test_a_change_of_the_protection_is_no_plan(ledger, plan):
    change = ProtectionChange(target=plan.target, identity=plan.identity, destination="unprotect")
    token, _ = make(ledger, change)
    assert validate(ledger, token, change)
    error = refusal(validate, ledger, token, plan)
    assert "direction was protection, is upgrade" in error.what
    other = ProtectionChange(target=plan.target, identity=plan.identity, destination="unfreeze")
    error = refusal(validate, ledger, token, other)
    assert "destination was unprotect, is unfreeze" in error.what
    assert "--protection unfreeze" in error.hint
    assert list_tokens(ledger)[0].direction is Purpose.PROTECTION


LOOK = """
from ci_migrate.approval.tokens import validate
from ci_migrate.ledger.ledger import open_ledger
print(validate(open_ledger(url, create=False), args[0], None).target == "production")
"""
