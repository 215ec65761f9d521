"""How long a step will take: told before, and held against what it took."""

import msgspec
import pytest

from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.run.expected import expect_restore
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS


@pytest.fixture
def telling(alembic_project, monkeypatch):
    monkeypatch.setattr("ci_migrate.run.expected.WORTH_TELLING", 0.0)
    monkeypatch.setattr("ci_migrate.run.expected.WORTH_ASKING", 1)
    return alembic_project


def test_what_a_run_expects_of_the_last_one_is_told_before_and_behind_what_came_out(telling):
    first = telling.call("run", "r1")
    assert first.code == 0, first.text
    assert "backup: about" not in first.text  # nothing tells yet
    assert "restore of the backup" not in first.text
    assert "migrate: 1 revision, about 0 s, as on the copy" in first.text
    assert telling.call("run").code == 0  # the first that has something to back up
    telling.revision("r3", "r2", "pass", "pass")
    done = telling.call("run")
    assert done.code == 0, done.text
    assert "backup: about " in done.text
    assert "restore of the backup, about 0 s" in done.text
    assert done.stage("backup")["message"].endswith(" in 0 s (about 0 s expected)")
    assert done.stage("dry-run")["message"].endswith("; the restore was expected to take about 0 s")
    assert done.stage("migrate")["message"] == "1 revision run in 0 s (about 0 s expected), now at r3"


def test_what_takes_a_moment_is_not_worth_telling(alembic_project):
    for destination in ("r1", "r2"):
        done = alembic_project.call("run", destination)
        assert done.code == 0, done.text
        assert "expected" not in done.text
        assert "about" not in done.text


def test_a_copy_without_rows_says_nothing_of_how_long_it_will_take(telling):
    telling.settings('dry-run = "schema"\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    done = telling.call("run", "--allow", "CM606=a test")
    assert done.code == 0, done.text
    assert "as on the copy" not in done.text
    assert "expected" not in done.stage("migrate")["message"]


def test_a_restore_is_told_by_its_size_and_the_last_one(telling):
    assert telling.call("run", "r1").code == 0
    assert telling.call("run").code == 0
    settings = load(telling.folder, telling.environment(), {})
    with open_session(settings, GateRequest(VERBS["dry-run"]), Interrupt()) as run:
        record, _ = run.ledger.history(run.ledger.database_id(run.database.identity()))
        backup = next(s.backup for s in run.ledger.stages(record.run_id) if s.backup)
        took = run.ledger.evidence(record.run_id).restore_seconds
        larger = msgspec.structs.replace(backup, database_size=3 * backup.database_size)
        assert expect_restore(run, larger) == pytest.approx(3 * took)
        assert expect_restore(run, msgspec.structs.replace(backup, database_size=0)) is None
