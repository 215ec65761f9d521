"""check: what its report entry says of the plan, of what refuses, and of a token that does not fit. On SQLite."""

import pytest

from ci_migrate.model import Direction, Outcome
from ci_migrate.session import GateRequest, create_manager, load_extensions, open_session
from ci_migrate.settings.settings import Secret, load
from ci_migrate.stages.check import run_stage
from ci_migrate.verbs import VERBS


def check(project, verb="plan", direction=Direction.UPGRADE, destination=None, token=None, **flags):
    """The stage's result alone."""
    settings = load(project.folder, project.environment(), flags)
    request = GateRequest(VERBS[verb], direction=direction, destination=destination, token=token, reason="x")
    manager = create_manager(settings)
    with open_session(settings, request, manager=manager) as run:
        return run_stage(load_extensions(run, manager), None)


def test_what_is_to_run_is_said_with_both_ends(alembic_project):
    result = check(alembic_project)
    assert (result.outcome, result.message) == (Outcome.PASSED, "2 revisions to run: base -> r2")
    assert [r.id for r in result.plan.revisions] == ["r1", "r2"]
    assert result.state == "untouched"
    assert result.approval is None
    assert check(alembic_project, destination="r1").message == "1 revision to run: base -> r1"
    stamped = check(alembic_project, "stamp", Direction.STAMP, "r2")
    assert stamped.message == "Version rows to write: base -> r2"
    assert alembic_project.gate("migrate").exit_code == 0
    nothing = check(alembic_project)
    assert nothing.message == f"Nothing to do: {alembic_project.database} is at r2."
    assert nothing.plan.changes_nothing


def test_what_refuses_has_its_place_and_all_findings(alembic_project):
    alembic_project.revision("r3", "r2", "op.get_bind().commit()", message="half")
    alembic_project.revision("r3b", "r2", "pass")
    result = check(alembic_project)
    assert result.outcome is Outcome.FAILED
    assert result.message.startswith("CM101 single-head: ")
    assert result.plan is not None
    assert {f.code for f in result.findings} >= {"CM101"}
    assert [f.refuses for f in result.findings if f.code == "CM101"] == [True]
    accepted = check(alembic_project, destination="heads")
    assert accepted.outcome is Outcome.PASSED, "all of them were asked for"


def test_env_py_that_writes_when_it_is_loaded_is_a_warning_with_the_statement(alembic_project):
    env = alembic_project.folder / "migrations" / "env.py"
    line = "    with connectable.connect() as connection:\n"
    writes = line + '        connection.exec_driver_sql("create table if not exists   noted (id integer)")\n'
    env.write_text(env.read_text().replace(line, writes))
    (found,) = [f for f in check(alembic_project).findings if f.code == "CM104"]
    assert found.severity == "warning"
    assert "(1 statement, first: create table if not exists noted (id integer))" in found.message
    assert not alembic_project.database.exists(), "they were not sent"


@pytest.mark.parametrize("token", ["0" * 36, "nonsense-4711", "\u00fc"])
def test_a_token_that_does_not_fit_stops_before_anything_is_copied(alembic_project, token):
    alembic_project.settings('[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\n')
    settings = load(alembic_project.folder, alembic_project.environment(), {})
    from ci_migrate.gate import run

    report = run(settings, GateRequest(VERBS["run"], token=Secret(token)))
    assert report.exit_code == 4
    assert {r.stage for r in report.results if r.outcome != "skipped"} == {"check"}
    assert token not in report.result("check").message
    assert not (alembic_project.folder / ".ci-migrate" / "backups").exists()
