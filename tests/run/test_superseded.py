"""A run that did not end, and after which another one migrated: closed by words, proved by nothing."""

from types import SimpleNamespace

import pytest
from ledger_support import a_plan, a_run, ledger, url

from ci_migrate.model import Outcome, TargetState
from ci_migrate.run.superseded import close_superseded

__all__ = ["ledger", "url"]

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.fixture
def two(ledger):
    """The first was killed; the second changed the database after it."""
    first = a_run("run-1", plan=a_plan(), phase="migrating", backup_id="backup_r1")
    second = a_run("run-2", plan=a_plan())
    ledger.begin_run(first)
    ledger.begin_run(second)
    ledger.finish_run("run-2", exit_code=0, state=TargetState.MIGRATED)
    run = SimpleNamespace(ledger=ledger, settings=SimpleNamespace(target="shop"))
    return run, first, second


def test_what_is_only_shown_changes_nothing(two):
    run, first, second = two
    before = (run.ledger.run("run-1"), run.ledger.audit_records())
    result = close_superseded(run, first, second, only_show=True)
    assert (result.outcome, result.state) == (Outcome.SKIPPED, TargetState.UNKNOWN)
    assert "run run-2 of 2026-03-04 05:06 UTC changed the database after it" in result.message
    assert "ci-migrate backup show backup_r1" in result.message
    assert "would close it as not proved, and change nothing" in result.message
    assert (run.ledger.run("run-1"), run.ledger.audit_records()) == before


def test_closed_it_is_unfinished_no_more_and_never_called_good(two):
    run, first, second = two
    assert run.ledger.unfinished(run.ledger.database_id(None)) is not None
    result = close_superseded(run, first, second, only_show=False)
    assert (result.outcome, result.exit_code, result.state) == (Outcome.FAILED, 7, TargetState.UNKNOWN)
    assert "Rows may have been changed twice" in result.message
    assert result.message.endswith("Compare the rows, then: ci-migrate run --target shop")
    closed = run.ledger.run("run-1")
    assert (closed.exit_code, closed.state) == (7, "not proved: run-2 came after it")
    assert run.ledger.unfinished(run.ledger.database_id(None)) is None
    (told,) = [r for r in run.ledger.audit_records() if r.kind == "repaired"]
    assert (told.run_id, told.facts["outcome"]) == ("run-1", "failed")
    assert run.ledger.verify_audit() == []


def test_without_a_backup_none_is_named(two):
    run, _, second = two
    bare = a_run("run-1", plan=a_plan())
    assert "backup show" not in close_superseded(run, bare, second, only_show=True).message
