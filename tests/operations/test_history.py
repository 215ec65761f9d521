"""What is told of past runs: by whom they were approved and why, wherever that was written down."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from ledger_support import a_plan, a_run, ledger
from sqlalchemy import URL

from ci_migrate.approval import tokens
from ci_migrate.ledger import audit
from ci_migrate.model import PlannedContext, TargetState, VersionTable
from ci_migrate.operations import history
from ci_migrate.operations.history import past_runs, who_and_why

__all__ = ["ledger"]


@pytest.fixture
def url(tmp_path) -> URL:
    return URL.create("sqlite", database=f"{tmp_path}/state.db")


@pytest.fixture
def run(ledger, monkeypatch):
    """A run on the database of this ledger, which nobody asks."""
    monkeypatch.setattr(history, "database_of", lambda _run: ledger.database_id(None))
    return SimpleNamespace(ledger=ledger)


def approve(ledger, run_id: str, by: str, reason: str) -> None:
    token, approval = tokens.generate(
        ledger, plan=a_plan(), target="production", reason=reason, by=by, validity_minutes=30
    )
    tokens.reserve(ledger, token, a_plan(), run_id)
    tokens.claim(ledger, approval.approval_id, run_id)


def test_without_a_ledger_nothing_ran():
    assert past_runs(SimpleNamespace(ledger=None), 20) == ()


def test_why_a_run_was_asked_for_comes_before_why_it_was_approved(ledger):
    for name in ("both", "approved", "asked", "neither"):
        ledger.begin_run(a_run(name))
    approve(ledger, "both", "ana", "approved because")
    approve(ledger, "approved", "ben", "approved because")
    for name in ("both", "asked"):
        ledger.audit(audit.REASON, name, reason="asked because")
    assert who_and_why(ledger, ["both", "approved", "asked", "neither", "nobody"]) == {
        "both": (("ana",), "asked because"), "approved": (("ben",), "approved because"),
        "asked": ((), "asked because"), "neither": ((), ""), "nobody": ((), ""),
    }  # fmt: skip
    assert who_and_why(ledger, []) == {}


def test_a_run_is_told_with_heads_in_words_and_seconds(run, ledger):
    two = a_plan(
        contexts=(
            PlannedContext(version_table=VersionTable(), from_heads=(), to_heads=("r1", "r2"), revisions=()),
            PlannedContext(
                version_table=VersionTable(name="b"), from_heads=("b1",), to_heads=(), revisions=()
            ),
        )
    )
    started = ledger.clock() - timedelta(seconds=90)
    ledger.begin_run(a_run("run-1", plan=two, started=started, backup_id="backup_1"))
    ledger.finish_run("run-1", 6, TargetState.AS_BEFORE)
    (told,) = past_runs(run, 20)
    assert (told.from_heads, told.to_heads) == ("base, b1", "r1 + r2, base")
    assert 89 < told.seconds < 150
    assert (told.exit_code, told.state, told.backup_id) == (6, "as before", "backup_1")


def test_a_run_that_did_not_end_or_came_to_no_plan_is_told_as_that(run, ledger):
    ledger.begin_run(a_run("run-1"))
    (told,) = past_runs(run, 20)
    assert (told.seconds, told.exit_code, told.state, told.from_heads, told.to_heads) == (
        None,
        None,
        None,
        "",
        "",
    )


def test_the_newest_come_first_and_no_more_than_asked_for(run, ledger):
    for number in range(5):
        ledger.begin_run(a_run(f"run-{number}"))
    assert [told.run_id for told in past_runs(run, 3)] == ["run-4", "run-3", "run-2"]
