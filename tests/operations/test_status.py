"""`ci-migrate status`: one screen, whatever state the target is in, and what to type next."""

import json

import pytest
from alembic_project import AlembicProject, new_project

from ci_migrate.databases.file_lock import file_lock
from ci_migrate.model import Direction, Identity, Plan, PlannedContext, RunRecord, VersionTable, now
from ci_migrate.operations.status import Status, _advise


@pytest.fixture
def status(alembic_project):
    """Run the command; returns its exit code and its rows by name."""

    def look(*arguments: str, project: AlembicProject = alembic_project) -> tuple[int, dict[str, str], str]:
        said = project.run("status", *arguments)
        text = said.out + said.err
        assert "Traceback" not in text
        assert "--json" in arguments or len(text.splitlines()) <= 20, "one screen"
        return said.code, {line[:12].strip(): line[13:] for line in said.out.splitlines()}, text

    return look


def test_a_backup_that_a_refused_run_has_proven(alembic_project, status):
    alembic_project.revision("r3", "r2", "drop table nothing")
    report = alembic_project.gate("run")
    assert report.exit_code == 1
    assert status()[1]["last proven"] == f"{report.backup.backup_id}  just now"


def test_from_the_first_look_to_an_unfinished_run(alembic_project, status):
    code, rows, _ = status()
    assert (code, rows["is at"], rows["scripts at"]) == (0, "base", "r2")
    assert rows["pending"] == "2 revisions: r1, r2"
    assert rows["last proven"] == "no backup was proven yet"
    assert rows["next"] == "ci-migrate run --target dev"
    assert not alembic_project.database.exists(), "it only looks"

    report = alembic_project.gate("run")
    code, rows, _ = status()
    assert (code, rows["is at"], rows["pending"], rows["next"]) == (0, "r2", "nothing", "nothing to do")
    assert rows["last run"].startswith(f"{report.run_id}  run  ")
    assert rows["last run"].endswith("exit 0, migrated")
    assert rows["last proven"] == f"{report.backup.backup_id}  just now"
    assert "outside" not in rows

    for number in range(5):
        alembic_project.sql(f"create index ix{number} on users (name)")
    code, rows, text = status()
    assert (code, rows["outside"]) == (0, "not as the last run left it:")
    assert "index users.ix0 added, but not in the dry run" in text
    assert "ix3" not in text
    assert "and 2 more" in text
    assert rows["next"] == "# names what is different"
    assert rows[""] == "ci-migrate verify --target dev"
    for number in range(5):
        alembic_project.sql(f"drop index ix{number}")

    code, _, text = status("--json")
    found = json.loads(text)
    assert (code, found["heads"], found["pending"], found["next"]) == (0, [["r2"]], [], "nothing to do")
    assert found["last"]["runId"] == report.run_id
    assert found["proven"]["backupId"] == report.backup.backup_id
    assert found["provenAge"] < 600

    alembic_project.leave_unfinished(report.run_id)
    code, rows, _ = status()
    assert code == 7
    assert rows["UNFINISHED"].startswith(f"{report.run_id}: finished: ")
    assert rows["next"] == "# record that the migration is complete"
    assert rows[""] == "ci-migrate repair --target dev"


def test_a_run_at_work_is_told_apart_from_one_that_was_left_unfinished(alembic_project, status):
    """By a script too: its exit code is that of the run that it would collide with."""
    report = alembic_project.gate("run")
    alembic_project.leave_unfinished(report.run_id)
    lock = alembic_project.database.with_name("app.db.ci-migrate.lock")
    with file_lock(lock, "run_other", 0):
        code, rows, text = status()
        assert code == 5, text
        assert rows["RUNNING"].startswith(f"{report.run_id}: ")
        assert "run_other" in rows["RUNNING"]
        assert "UNFINISHED" not in rows
        assert rows["next"] == "# wait for its end, then look again"
        assert rows[""] == "ci-migrate status --target dev"
        assert json.loads(status("--json")[2])["diagnosis"] is None, "its tables are not looked at"
        refused = alembic_project.call("run", "--target", "dev")
        assert refused.code == 5, "as whoever starts one is told"
    code, rows, _ = status()
    assert (code, "RUNNING" in rows, "UNFINISHED" in rows) == (7, False, True)


def test_several_heads_and_tables_without_a_version_row(alembic_project, status):
    alembic_project.sql("create table others (id integer primary key)")
    alembic_project.revision("r2b", "r1", "pass")
    code, rows, _ = status()
    assert code == 0
    assert rows["is at"] == "base   (no version row, and 1 table)"
    assert rows["scripts at"] == "r2 + r2b"
    assert rows["next"] == "# the scripts have several heads: make them one"


def test_F72_branches_are_not_to_be_merged(alembic_project, status):
    alembic_project.revision("r1b", None, "pass", extra='branch_labels = ("billing",)')
    assert status()[1]["scripts at"] == "r1b + r2"
    assert "merge" not in status()[2]
    assert "ci-migrate run --to heads --target dev" in status()[2]
    assert alembic_project.gate("run", "heads").exit_code == 0
    code, rows, _ = status()
    assert (code, rows["is at"], rows["next"]) == (0, "r1b + r2", "nothing to do")
    alembic_project.revision("r2b", "r1", "pass")  # of nobody's branch
    assert "alembic merge heads" in status()[2]


def test_a_server_that_is_down(tmp_path, status):
    project = new_project(tmp_path)
    project.settings('[targets.dev]\nurl = "postgresql://me@127.0.0.1:1/shop"\n')
    code, rows, text = status(project=project)
    assert (code, rows) == (8, {})
    assert 1 <= len(text.splitlines()) <= 3


@pytest.mark.parametrize(
    ("unfinished", "running", "trouble", "code"),
    [
        (False, "", "", 0),
        (False, "", "no such revision", 1),
        (True, "", "", 7),
        (True, "", "no such revision", 7),  # what is to be mended first
        (True, "held by another run", "", 5),
    ],
)
def test_the_exit_code_of_what_was_found(unfinished, running, trouble, code):
    record = RunRecord(run_id="1", target="dev", command="run", started=now()) if unfinished else None
    found = Status(
        target="dev", place="p", heads=(), script_heads=(), pending=(), production="", protection="", last=record,
        unfinished=record, running=running, diagnosis=None, outside=(), proven=None, proven_age=None,
        trouble=trouble, commands=(), next="nothing to do",
    )  # fmt: skip
    assert found.exit_code == code


@pytest.mark.parametrize(
    ("heads", "destination", "pending", "outside", "commands"),
    [
        (("r2",), "head", 0, [], []),
        (("r2",), "head", 2, [], ["ci-migrate run --target dev"]),
        (("r2",), "head", 2, ["column gone"], ["ci-migrate run --target dev"]),
        (("r2",), "head", 0, ["column gone"], ["ci-migrate verify --target dev"]),
        (
            ("r2", "r2b"),
            "head",
            2,
            [],
            ["alembic merge heads", "ci-migrate run --to heads --target dev"],
        ),
        (("r2", "r2b"), "heads", 2, [], ["ci-migrate run --target dev"]),
    ],
)
def test_what_to_type_next(heads, destination, pending, outside, commands):
    contexts = (
        PlannedContext(
            version_table=VersionTable(),
            from_heads=(),
            to_heads=(),
            revisions=tuple(f"r{n}" for n in range(pending)),
        ),
    )
    plan = Plan(
        target="dev", identity=Identity(dialect="sqlite", place="p", facts={}), direction=Direction.UPGRADE,
        destination=destination, contexts=contexts, revisions=(), env_sha256="", script_heads=heads,
    )  # fmt: skip
    assert [command.command for command in _advise(plan, outside)] == commands
