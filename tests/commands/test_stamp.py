"""`ci-migrate stamp`: version rows through the gate, the schema proved untouched."""

import pytest
from alembic_project import AlembicProject, new_project

from ci_migrate.gate import repair, run
from ci_migrate.model import Direction, Outcome, Report
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS

DEV = '[targets.dev]\nurl = "{url}"\n'
LIVE = '[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'


def settings_of(project: AlembicProject):
    return load(project.folder, project.environment(), {})


def stamp(project: AlembicProject, revision: str, *, purge: bool = False) -> Report:
    request = GateRequest(
        VERBS["stamp"], direction=Direction.STAMP, destination=revision, purge=purge, reason="by hand"
    )
    return run(settings_of(project), request)


def outcomes(report: Report) -> dict[str, str]:
    return {r.stage: r.outcome.value for r in report.results if r.outcome is not Outcome.SKIPPED}


def by_hand(project: AlembicProject) -> None:
    """The schema of r2, made without Alembic."""
    project.sql("create table users (id integer primary key, name text, email text)")


def test_a_database_made_without_alembic_is_marked(alembic_project):
    by_hand(alembic_project)
    done = alembic_project.run("stamp", "r2", "--reason", "made by the old script")
    assert done.code == 0, done.text
    assert done.outcomes == {"check": "passed", "migrate": "passed", "verify": "passed"}
    assert "The database is stamped: now at r2." in done.text
    assert "the schema is untouched; it was at base" in " ".join(done.text.split())
    assert alembic_project.heads == ["r2"]
    assert not (alembic_project.folder / ".ci-migrate" / "backups").exists(), (
        "it changes one row, which the ledger knows"
    )
    trail = alembic_project.run("audit", "show").out
    assert "made by the old script" in trail
    assert "stamp begun" in trail
    again = alembic_project.run("stamp", "head", "--reason", "again")
    assert again.code == 0, again.text
    assert "Nothing to do" in again.text
    assert alembic_project.run("run").code == 0


@pytest.mark.parametrize(
    "arguments", [("stamp", "r2"), ("stamp", "--reason", "x"), ("stamp", "r2", "--reason", " ")]
)
def test_usage(alembic_project, arguments):
    done = alembic_project.run(*arguments)
    assert done.code == 2, done.text


def test_an_unknown_revision_is_refused(alembic_project):
    report = stamp(alembic_project, "nonsense")
    assert report.exit_code == 1
    assert "nonsense" in report.result("check").message
    assert alembic_project.heads == []


def test_backwards_to_base_and_from_one_branch_to_both(alembic_project):
    alembic_project.revision(
        "side", None, "create table side (id integer primary key)", extra="branch_labels = ('aside',)"
    )
    report = stamp(alembic_project, "r2")
    assert report.exit_code == 0, report.results[0].message
    assert stamp(alembic_project, "side").exit_code == 0
    assert alembic_project.heads == ["r2", "side"]
    report = stamp(alembic_project, "r1")
    assert (report.exit_code, alembic_project.heads) == (0, ["r1", "side"])
    assert report.plan.to_heads == ("r1", "side"), "what was planned is what was written"
    report = stamp(alembic_project, "base")
    assert (report.exit_code, alembic_project.heads) == (0, [])


def test_production_needs_an_approval_of_its_own(alembic_project):
    alembic_project.settings(LIVE)
    by_hand(alembic_project)
    done = alembic_project.run("stamp", "r2", "--reason", "x")
    assert done.code == 4, done.text
    asked = "ci-migrate token generate --target live --stamp --to r2"
    assert asked in done.text
    made = alembic_project.run("token", "generate", "--to", "r2", "--quiet", "--reason", "to migrate")
    done = alembic_project.run("stamp", "r2", "--reason", "x", env={"CI_MIGRATE_TOKEN": made.out.strip()})
    assert done.code == 4, "an approval to migrate is none to stamp"
    assert "direction was upgrade, is stamp" in " ".join(done.text.split())
    assert alembic_project.heads == []
    made = alembic_project.run(*asked.split()[1:], "--quiet", "--reason", "looked at it")
    done = alembic_project.run("stamp", "r2", "--reason", "x", env={"CI_MIGRATE_TOKEN": made.out.strip()})
    assert done.code == 0, done.text
    assert alembic_project.heads == ["r2"]


WRITES_TOO = """
import os
if os.environ.get("CI_MIGRATE_STAGE") == "migrate":
    import sqlite3
    other = sqlite3.connect("app.db"); other.execute("create table sneaked (id integer)"); other.commit()
    other.close()
"""


def test_a_schema_that_changes_meanwhile_is_found(alembic_project):
    env = alembic_project.folder / "migrations" / "env.py"
    env.write_text(env.read_text() + WRITES_TOO)
    report = stamp(alembic_project, "r2")
    assert report.exit_code == 7
    assert "table sneaked" in report.result("verify").message


def test_a_stamp_whose_end_was_not_recorded_is_found_complete(alembic_project):
    report = stamp(alembic_project, "r1")
    alembic_project.leave_unfinished(report.run_id)
    assert alembic_project.run("run").code == 7
    alembic_project.sql("delete from alembic_version")  # killed between the two statements of --purge
    alembic_project.sql("insert into alembic_version values ('r2')")
    report = repair(settings_of(alembic_project), GateRequest(VERBS["repair"]))
    assert report.exit_code == 7
    assert report.diagnosis.commands[0].command == "alembic stamp --purge r1"
    alembic_project.sql("update alembic_version set version_num = 'r1'")
    assert repair(settings_of(alembic_project), GateRequest(VERBS["repair"])).exit_code == 0
    assert (
        repair(settings_of(alembic_project), GateRequest(VERBS["repair"]))
        .result("repair")
        .message.startswith("There is no")
    )


@pytest.mark.parametrize("engine", ["postgresql", pytest.param("mysql", marks=pytest.mark.long)])
def test_on_a_server(tmp_path, request, engine):
    url = request.getfixturevalue(f"{engine}_url").render_as_string(hide_password=False)
    project = new_project(tmp_path)
    project.environ["DATABASE_URL"] = url
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    report = stamp(project, "r2")
    assert report.exit_code == 0, report
    assert report.plan.to_heads == ("r2",)
    report = stamp(project, "r1")
    assert (report.exit_code, report.plan.from_heads) == (0, ("r2",))
