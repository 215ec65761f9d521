"""`ci-migrate rollback`: which rollback path, what it loses, and that it says so before it does it."""

import pytest
from alembic_project import AlembicProject, ended, new_project

from ci_migrate.gate import run
from ci_migrate.model import Direction, Outcome, Report
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS

LIVE = '[targets.dev]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'


@pytest.fixture
def filled(alembic_project) -> AlembicProject:
    """At r2, with rows that going back to base loses; a backup was taken at base."""
    assert alembic_project.gate("run").exit_code == 0
    alembic_project.sql("insert into users values (3, 'cy', 'cy@x'), (4, 'di', 'di@x')")
    return alembic_project


def downgrade(project: AlembicProject, destination: str, **flags) -> Report:
    settings = load(project.folder, project.environment(), flags)
    return run(
        settings, GateRequest(VERBS["rollback"], direction=Direction.DOWNGRADE, destination=destination)
    )


def findings(report: Report) -> list[tuple[str, str]]:
    return [(f.code, f.message) for f in report.findings]


def test_M19_a_downgrade_that_loses_rows_is_refused_with_both_ways(filled):
    done = filled.run("rollback", "--to", "base")
    assert done.code == 1, done.text
    said = done.words
    assert "The downgrade loses table users with 2 rows. --yes accepts that." in said
    assert "# or by its backup backup_base_" in said
    assert "users has 2 rows now, no table in it" in said
    assert "\n  ci-migrate rollback --to base --by restore --target dev\n" in done.out
    assert done.outcomes == {"check": "passed", "backup": "passed", "dry-run": "failed"}
    assert filled.heads == ["r2"]

    accepted = filled.run("rollback", "--to", "r1", "--yes")
    assert accepted.code == 0, accepted.text
    assert "accepted: The downgrade loses column users.email with 2 values" in accepted.words
    assert filled.heads == ["r1"]
    assert filled.sql("select count(*) from users") == [(2,)], "what others wrote stays"


def test_all_that_goes_is_named(alembic_project):
    alembic_project.revision(
        "r3",
        "r2",
        "create table notes (id integer primary key, word text); insert into notes values (1, 'a'), (2, 'b'), (3, 'c');"
        "insert into users values (1, 'ana', ''), (2, 'bo', ''), (3, 'cy', ''), (4, 'di', '')",
        "drop table notes; delete from users where id = 4",
    )
    assert alembic_project.gate("run").exit_code == 0
    report = downgrade(alembic_project, "r2")
    assert report.exit_code == 1
    assert {message for code, message in findings(report) if code == "CM403"} == {
        "The downgrade loses table notes with 3 rows.",
        "The downgrade loses 1 of 4 rows of table users.",
    }
    alembic_project.revision(
        "r3", "r2", "pass", "drop table notes; update users set name = null where id < 3"
    )
    report = downgrade(alembic_project, "r2", checks={"CM102": "ignore"})
    assert "The downgrade loses 2 of 4 values of column users.name." in {m for _, m in findings(report)}


def test_one_that_leads_elsewhere_is_refused(alembic_project):
    alembic_project.revision(
        "r3",
        "r2",
        "create table extra (id integer primary key); create index ix on users (name)",
        "drop table extra",
    )
    assert alembic_project.gate("run").exit_code == 0
    alembic_project.sql("create table by_hand (id integer primary key)")
    report = downgrade(alembic_project, "r2")
    assert report.exit_code == 1
    (found,) = [m for code, m in findings(report) if code == "CM404"]
    assert "does not lead back to the schema of r2: index users.ix added" in found
    assert "by_hand" not in found, "what others made is no fault of the downgrade"
    assert "No backup was taken at r2" in report.result("dry-run").message
    assert alembic_project.heads == ["r3"]
    report = downgrade(alembic_project, "r2", allow=["CM404=seen"])
    assert report.exit_code == 0


def test_a_revision_without_downgrade_is_refused_before_the_backup(alembic_project):
    alembic_project.revision("r3", "r2", "create table extra (id integer primary key)", "pass")
    assert alembic_project.gate("run").exit_code == 0
    report = downgrade(alembic_project, "r2")
    assert report.exit_code == 1
    check = report.result("check")
    assert check.outcome is Outcome.FAILED
    assert "r3.py has no downgrade: the version row would go" in check.message
    assert alembic_project.heads == ["r3"]


def test_back_by_restore_says_what_was_written_since_and_asks(filled):
    asked = filled.run("rollback", "--to", "base", "--by", "restore")
    assert asked.code == 1, asked.text
    assert "users: 2 rows now, no table in the backup" in asked.words
    assert "Add --yes, or: ci-migrate rollback --to base --by downgrade --target dev" in asked.words
    assert filled.heads == ["r2"]
    done = filled.run("rollback", "--to", "base", "--by", "restore", "--yes", "--json")
    assert done.code == 0, done.text
    assert '"direction": "restore"' in done.out
    assert "The database is restored: now at base." in done.err
    assert filled.heads == []
    assert filled.sql("select name from sqlite_master where name = 'users'") == []
    status = filled.run("status")
    assert (status.code, "outside" in status.out) == (0, False), "what a restore left is no surprise"
    again = filled.run("rollback", "--to", "base", "--by", "restore", "--yes")
    assert (again.code, "Nothing to do" in again.text) == (0, True)


def test_no_backup_there_names_the_other_way(alembic_project):
    assert alembic_project.gate("run").exit_code == 0
    done = alembic_project.run("rollback", "--to", "r1", "--by", "restore", "--yes")
    assert done.code == 1, done.text
    assert "No whole backup of target dev was taken at r1" in done.words
    assert "ci-migrate rollback --to r1 --by downgrade --target dev" in done.words
    assert alembic_project.heads == ["r2"]


def test_production_needs_an_approval_of_each_way(filled):
    filled.settings(LIVE)
    done = filled.run("rollback", "--to", "base", "--by", "restore", "--yes")
    assert done.code == 4, done.text
    assert "--restore backup_base_" in done.words
    made = filled.run("token", "generate", "--rollback", "--to", "base", "--quiet", "--reason", "x")
    done = filled.run(
        "rollback", "--to", "base", "--by", "restore", "--yes", env={"CI_MIGRATE_TOKEN": made.out.strip()}
    )
    assert done.code == 4, "an approval of the downgrade is none of the restore"
    assert filled.heads == ["r2"]


def test_on_postgresql(tmp_path, postgresql_url):
    """Definitions that a restore writes anew are no difference to where the revision was."""
    project = new_project(tmp_path)
    project.environ["DATABASE_URL"] = postgresql_url.render_as_string(hide_password=False)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    project.revision(
        "r2",
        "r1",
        "alter table users add email text check (email in ('a', 'b')); create view v as select id from users where name in ('x', 'y')",
        "drop view v; alter table users drop email",
    )
    assert project.gate("run").exit_code == 0
    report = downgrade(project, "r1")
    assert report.exit_code == 0, report.first_bad
    assert "it loses nothing" in report.result("dry-run").message


def test_rollback(migrated):
    done = migrated.call("rollback", "--to", "r1", "--yes")
    ended(done, 0, "now at r1", "accepted: The downgrade loses column users.email with 1 value")
    assert done.outcomes == dict.fromkeys(("check", "backup", "dry-run", "migrate", "verify"), "passed")
    assert migrated.heads == ["r1"]
    assert migrated.sql("select name from users") == [("ana",)]
    ended(migrated.call("rollback", "--to", "nonsense"), 1, "nonsense")
    ended(migrated.call("rollback", "--to", "r1"), 0, "Nothing to do")


@pytest.fixture(scope="module")
def halfway(tmp_path_factory) -> AlembicProject:
    """At r1 of two revisions."""
    project = new_project(tmp_path_factory.mktemp("halfway") / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate", "r1").exit_code == 0
    return project


@pytest.mark.parametrize(
    ("to", "by"), [("head", "downgrade"), ("r2", "downgrade"), ("+1", "downgrade"), ("r2", "restore")]
)
def test_forward_is_no_way_back(halfway, to, by):
    """`rollback --to` a revision that is not there yet would be a migration without its checks."""
    done = halfway.call("rollback", "--to", to, "--by", by, "--yes")
    assert done.code == 1, done.text
    assert "Alembic says:" in done.words
    assert halfway.heads == ["r1"]


def test_a_way_that_is_none(alembic_project):
    ended(alembic_project.call("rollback", "--to", "r1", "--by", "magic"), 2, "'magic' is not one of")
