"""verify: each thing that it compares, and what it says where that is not as rehearsed. On SQLite."""

import pytest
from alembic_project import AlembicProject, new_project
from pasted import checked

from ci_migrate.gate import run as run_gate
from ci_migrate.model import Outcome, Progress, Report, command_lines
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import load
from ci_migrate.stages.verify import run_stage
from ci_migrate.verbs import VERBS


@pytest.fixture(scope="module")
def migrated(tmp_path_factory) -> tuple[AlembicProject, Report]:
    """A project, and the report of the run that brought it to r2 with a dry run."""
    project = new_project(tmp_path_factory.mktemp("verify") / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate", "r1").exit_code == 0
    settings = load(project.folder, project.environment(), {})
    report = run_gate(settings, GateRequest(VERBS["run"]))
    assert report.exit_code == 0
    return project, report


def verify(project, report, **flags):
    """The stage's result alone, with what the stages before it told."""
    settings = load(project.folder, project.environment(), flags)
    with open_session(settings, GateRequest(VERBS["run"])) as run:
        return run_stage(run, report.plan, report)


def failed(result):
    """Its message; it repaired nothing and names what to type."""
    assert result.outcome is Outcome.FAILED
    assert result.state == "unknown"
    first, last = result.message.splitlines()
    assert last == "The migration ended without an error; nothing was repaired."
    assert result.diagnosis.found is Progress.FINISHED
    assert checked(list(command_lines(result.diagnosis.commands))) == [
        "ci-migrate verify --target dev",
        "ci-migrate backup list --target dev",
    ]
    return first


def test_as_rehearsed(migrated):
    result = verify(*migrated)
    assert (result.outcome, result.state) == (Outcome.PASSED, "migrated")
    assert result.message.startswith("At r2; ")
    assert result.message.endswith("changed as rehearsed")
    assert result.proof.not_compared == ("rows",), "nobody claims them"


def test_without_a_dry_run_the_heads_alone_are_compared(migrated):
    project, report = migrated
    alone = report.__class__(
        run_id=report.run_id, command="migrate", target="dev", started=report.started, version="",
        results=tuple(r for r in report.results if r.stage == "check"),
    )  # fmt: skip
    result = verify(project, alone)
    assert result.outcome is Outcome.PASSED
    assert result.message == "Heads are right; there was no dry run to compare with."
    assert "schema: there was no dry run to compare with" in result.proof.not_compared


def test_other_heads_and_another_schema(migrated):
    project, report = migrated
    project.sql("update alembic_version set version_num = 'r1'")
    assert failed(verify(project, report)) == "The target is at r1 instead of r2."
    project.sql("update alembic_version set version_num = 'r2'")
    for column in ("one", "two", "three", "four"):
        project.sql(f"alter table users add column {column} int")
    project.sql("alter table users drop column email")
    lacks = "column users.email added in the dry run, but not here"
    assert failed(verify(project, report)) == f"The schema did not change as rehearsed: {lacks}."
    project.sql("alter table users add column email text")
    result = verify(project, report)
    assert "somebody else changed the schema meanwhile: column users.four added;" in result.message
    assert result.message.endswith(" and 1 more.\nIt stays as it is until a person accepts that.")
    assert checked(list(command_lines(result.diagnosis.commands))) == [
        "ci-migrate repair --accept-foreign --target dev"
    ]
    for column in ("one", "two", "three", "four"):
        project.sql(f"alter table users drop column {column}")
    assert verify(project, report).outcome is Outcome.PASSED


def test_the_projects_own_questions_are_asked_of_the_target(migrated):
    project, report = migrated
    project.write(
        "ci-migrate.toml",
        """
        [targets.dev]
        url = "sqlite:///app.db"
        [[assertions]]
        name = "somebody is there"
        query = "select count(*) from users"
        expect = 1
        """,
    )
    try:
        words = failed(verify(project, report))
    finally:
        project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert words.startswith("CM604 assertion-fails: ")
    assert "somebody is there" in words
