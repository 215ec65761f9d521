"""`ci-migrate run`: the whole pipeline, and a destination as Alembic takes it."""

import pytest


def test_the_whole_pipeline_is_in_report_database_and_ledger(alembic_project, ledger_of):
    done = alembic_project.call("run")
    assert done.code == 0, done.text
    assert "now at r2" in done.out
    assert done.outcomes == dict.fromkeys(("check", "backup", "dry-run", "migrate", "verify"), "passed")
    assert done.report["command"] == "run"
    assert alembic_project.heads == ["r2"]
    (record,) = ledger_of(alembic_project).runs()
    assert (record.command, record.exit_code, record.state) == ("run", 0, "migrated")


def test_F84_a_revision_without_to(alembic_project):
    done = alembic_project.call("run", "r1")
    assert done.code == 0, done.text
    assert alembic_project.heads == ["r1"]
    assert alembic_project.call("run", "--to", "+1").code == 0
    assert alembic_project.heads == ["r2"]


@pytest.mark.parametrize("verb", ["run", "plan", "check", "dry-run", "migrate"])
def test_F84_a_destination_that_is_given_twice(alembic_project, verb):
    done = alembic_project.call(verb, "r1", "--to", "r2")
    assert done.code == 2
    assert "given twice: r1, and --to r2" in done.err
    assert not alembic_project.database.exists()
