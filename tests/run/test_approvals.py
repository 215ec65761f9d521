"""What an approval is worth on a target: who may give one, of which kind, and for what; each refusal is written down."""

from types import SimpleNamespace

import pytest
from ledger_support import a_plan, a_run, ledger
from permits import protect, unprotect
from signing_support import Approver, a_payload, signed
from sqlalchemy import URL

from ci_migrate.approval import tokens
from ci_migrate.errors import NotApprovedError
from ci_migrate.ledger import protection as ledger_protection
from ci_migrate.ledger.protection import Rules
from ci_migrate.model import Direction, Report, now
from ci_migrate.run.approvals import (
    TokenApprover,
    evidence_of,
    how_many_approve,
    how_to_approve,
    look_at_token,
    protection,
    reserve_approval,
    trust,
    validate_token,
)
from ci_migrate.settings.settings import Secret

__all__ = ["ledger"]


@pytest.fixture
def url(tmp_path) -> URL:
    return URL.create("sqlite", database=f"{tmp_path}/state.db")


@pytest.fixture
def ana(tmp_path) -> Approver:
    return Approver("ana", tmp_path)


@pytest.fixture
def ben(tmp_path) -> Approver:
    return Approver("ben", tmp_path)


@pytest.fixture
def a_gate(ledger, tmp_path):
    """`a_gate(token=..., GITHUB_ACTOR=...)`: a run as far as approvals look at it, on a real ledger."""
    ledger.begin_run(a_run())

    def make(token: str | None = None, **environ: str):
        settings = SimpleNamespace(target="production", environ=environ, project_dir=tmp_path)
        return SimpleNamespace(
            id="run-1", subject="run-1", ledger=ledger, settings=settings, verb=SimpleNamespace(name="run"),
            protection=ledger_protection.read(ledger), token=None if token is None else Secret(token),
        )  # fmt: skip

    return make


def confirmed(ledger, by: str = "ana", **changes) -> str:
    plan = a_plan(**changes)
    token, _ = tokens.generate(
        ledger, plan=plan, target="production", reason="why", by=by, validity_minutes=30
    )
    return token


def refusals(ledger) -> list[str]:
    return [record.facts["words"] for record in ledger.audit_records() if record.kind == "refused"]


# --------------------------------------------------------------------------- who may approve


def test_nobody_is_registered_so_confirmation_tokens_count(ledger, a_gate):
    assert trust(a_gate()) is None
    assert how_many_approve(a_gate()) == "One confirmation token suffices."
    assert how_to_approve(a_gate(), a_plan()).startswith("ci-migrate token generate ")


def test_whom_the_ledger_names_wins_over_what_the_environment_says(ledger, a_gate, ana, ben):
    named = a_gate(CI_MIGRATE_TRUST=ben.line)
    assert [s.principals for s in trust(named).signers] == [("ben",)]
    protect(ledger, Rules(approvers=(ana.line,)), by="root")
    assert [s.principals for s in trust(a_gate(CI_MIGRATE_TRUST=ben.line)).signers] == [("ana",)]


def test_a_key_that_was_revoked_is_known_as_such_and_counts_no_more(ledger, a_gate, ana, ben):
    protect(ledger, Rules(approvers=(ana.line, ben.line)), by="root")
    protect(ledger, Rules(approvers=(ben.line,)), by="root", approval_id="a1")
    found = trust(a_gate())
    assert len(found.signers) == 2, "so that a refusal can name whose it was"
    assert len(found.revoked) == 1
    assert how_many_approve(a_gate()) == "1 of 1 approver must sign: ben."
    protect(ledger, Rules(approvers=(ben.line, ana.line)), by="root", approval_id="a2")
    assert trust(a_gate()).revoked == frozenset(), "whoever is named again counts again"


def test_an_emergency_key_is_none_of_those_that_are_counted(ledger, a_gate, ana, ben):
    protect(ledger, Rules(approvers=(ana.line,), emergency=(ben.line,)), by="root")
    assert how_many_approve(a_gate()) == "1 of 1 approver must sign: ana."
    assert [s.emergency for s in trust(a_gate()).signers] == [False, True]


@pytest.mark.parametrize("change", ["unprotect", "other rules"])
def test_F28_protection_that_was_taken_away_while_the_run_was_at_work_is_told(
    ledger, a_gate, ana, ben, change
):
    """Code of the repository has run since, maybe with a login that can write the ledger."""
    protect(ledger, Rules(approvers=(ana.line,)), by="root")
    run = a_gate(confirmed(ledger))
    if change == "unprotect":
        unprotect(ledger, by="eve", approval_id="a1")
    else:
        protect(ledger, Rules(approvers=(ben.line,)), by="eve", approval_id="a1")
    for ask in (protection, trust, how_many_approve, lambda r: reserve_approval(r, a_plan())):
        with pytest.raises(NotApprovedError, match="was changed while this run was at work"):
            ask(run)
    assert len(refusals(ledger)) >= 4


def test_protection_that_was_added_meanwhile_counts_at_once(ledger, a_gate, ana):
    run = a_gate(confirmed(ledger))
    protect(ledger, Rules(approvers=(ana.line,)), by="root")
    with pytest.raises(NotApprovedError, match="a confirmation token is not enough, they sign"):
        reserve_approval(run, a_plan())


# --------------------------------------------------------------------------- tokens of the wrong kind, or for something else


def test_without_a_token_the_command_that_gives_one_is_named(ledger, a_gate):
    with pytest.raises(NotApprovedError, match="A restore needs an approval") as caught:
        reserve_approval(a_gate(), a_plan(), "A restore")
    assert caught.value.hint.startswith("ci-migrate token generate ")
    assert caught.value.hint.endswith("then again with CI_MIGRATE_TOKEN")
    assert refusals(ledger) == ["A restore needs an approval."]
    assert TokenApprover(a_gate()).decide(a_plan()).granted is None, "another approver may have one"


def test_a_signed_token_counts_nowhere_without_approvers(ledger, a_gate, ana):
    run = a_gate(signed(a_payload(a_plan(), ledger), ana))
    for ask in (
        reserve_approval,
        lambda r, plan: validate_token(r, ledger, plan),
        lambda r, _plan: look_at_token(r),
    ):
        with pytest.raises(NotApprovedError, match="nobody says whose signature counts") as caught:
            ask(run, a_plan())
        assert "ci-migrate protect --target production --approver" in caught.value.hint


@pytest.mark.parametrize(
    "change", [{"destination": "3333"}, {"direction": Direction.DOWNGRADE}, {"target": "other"}]
)
def test_a_token_for_something_else_is_of_no_use(ledger, a_gate, ana, change):
    with pytest.raises(NotApprovedError):
        reserve_approval(a_gate(confirmed(ledger)), a_plan(**change))
    protect(ledger, Rules(approvers=(ana.line,)), by="root")
    run = a_gate(signed(a_payload(a_plan(), ledger), ana))
    with pytest.raises(NotApprovedError, match="The token was made for something else"):
        reserve_approval(run, a_plan(**change))
    assert len(refusals(ledger)) == 2
    assert not any(token.used_by for token in tokens.list_tokens(ledger)), "what was refused is not used up"


def test_looking_reserves_nothing(ledger, a_gate):
    run = a_gate(confirmed(ledger))
    look_at_token(run)
    assert validate_token(run, ledger, a_plan()).approved_by == ("ana",)
    kinds = [record.kind for record in ledger.audit_records()]
    assert "token reserved" not in kinds
    decision = TokenApprover(run).decide(a_plan())
    assert (decision.granted, decision.by, decision.reason) == (True, "ana", "why")
    assert [record.kind for record in ledger.audit_records()] == [*kinds, "token reserved"]


@pytest.mark.parametrize("token", ["", "nonsense", "0" * 36])
def test_what_is_no_token_is_told_as_that(ledger, a_gate, token):
    for ask in (look_at_token, lambda r: reserve_approval(r, a_plan())):
        with pytest.raises(NotApprovedError):
            ask(a_gate(token))


def test_without_a_ledger_there_are_no_tokens(ledger, a_gate):
    run = a_gate("0" * 36)
    run.ledger = None
    with pytest.raises(NotApprovedError, match="has no ledger yet"):
        look_at_token(run)


# --------------------------------------------------------------------------- two people


STRICT = Rules(forbid_self_approval=True)


@pytest.mark.parametrize("name", ["ana", "ANA", " Ana "])
def test_who_starts_a_job_can_not_confirm_it_however_they_are_spelled(ledger, a_gate, name):
    protect(ledger, STRICT, by="root")
    with pytest.raises(NotApprovedError, match="ana asks and approves"):
        reserve_approval(a_gate(confirmed(ledger), GITHUB_ACTOR=name), a_plan())
    assert reserve_approval(a_gate(confirmed(ledger), GITHUB_ACTOR="ben"), a_plan()).approved_by == ("ana",)


def test_who_asked_for_it_can_not_confirm_it_whoever_starts_the_job(ledger, a_gate):
    protect(ledger, STRICT, by="root")
    ledger.note_request(None, plan_digest=a_plan().digest, direction="upgrade", by="Ana")
    with pytest.raises(NotApprovedError, match="that takes two people"):
        reserve_approval(a_gate(confirmed(ledger), GITHUB_ACTOR="ben"), a_plan())
    ledger.note_request(None, plan_digest="0" * 64, direction="upgrade", by="cem")
    assert reserve_approval(a_gate(confirmed(ledger, by="cem"), GITHUB_ACTOR="ben"), a_plan()), (
        "of another plan"
    )


def test_a_ci_that_does_not_say_who_started_it_is_refused(ledger, a_gate):
    protect(ledger, STRICT, by="root")
    with pytest.raises(NotApprovedError, match="does not say who started the job") as caught:
        reserve_approval(a_gate(confirmed(ledger), CI="true"), a_plan())
    assert "CI_MIGRATE_ACTOR" in caught.value.hint


def test_a_signature_needs_a_record_of_who_asked(ledger, a_gate, ana):
    protect(ledger, Rules(approvers=(ana.line,), forbid_self_approval=True), by="root")
    token = signed(a_payload(a_plan(), ledger), ana)
    with pytest.raises(NotApprovedError, match="has no record of who asked"):
        reserve_approval(a_gate(token, GITHUB_ACTOR="ben"), a_plan())
    ledger.note_request("run-1", plan_digest=a_plan().digest, direction="upgrade", by="dev")
    assert reserve_approval(a_gate(token, GITHUB_ACTOR="ben"), a_plan()).approved_by == ("ana",)
    ledger.note_request("run-1", plan_digest=a_plan().digest, direction="upgrade", by="ana")
    with pytest.raises(NotApprovedError):
        reserve_approval(a_gate(token, GITHUB_ACTOR="ben"), a_plan())


def test_where_it_is_not_forbidden_one_may_do_both(ledger, a_gate):
    protect(ledger, Rules(), by="root")
    assert reserve_approval(a_gate(confirmed(ledger), GITHUB_ACTOR="ana"), a_plan()).approved_by == ("ana",)


def test_there_is_evidence_only_of_what_was_rehearsed():
    report = Report(run_id="r", command="run", target="t", started=now(), version="1")
    assert evidence_of(report) is None
