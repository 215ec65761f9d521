"""`ci-migrate run`: the whole pipeline, and a destination as Alembic takes it."""

import json
import sys

import pytest
from ledger_support import runs_of


def test_the_whole_pipeline_is_in_report_database_and_ledger(alembic_project, ledger_of):
    done = alembic_project.call("run")
    assert done.code == 0, done.text
    assert "now at r2" in done.out
    assert done.outcomes == dict.fromkeys(("check", "backup", "dry-run", "migrate", "verify"), "passed")
    assert done.report["command"] == "run"
    assert alembic_project.heads == ["r2"]
    (record,) = runs_of(ledger_of(alembic_project))
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


def test_the_second_day(migrated):
    """Nothing to do, and nothing made: no backup, no dry run; the third day there is one more revision."""
    backups = sorted((migrated.folder / ".ci-migrate" / "backups").iterdir())
    done = migrated.call("run")
    assert done.code == 0, done.text
    assert done.outcomes == {"check": "passed"}
    assert sorted((migrated.folder / ".ci-migrate" / "backups").iterdir()) == backups
    migrated.revision("r3", "r2", "create table t (id integer)", "drop table t")
    done = migrated.call("run")
    assert done.code == 0, done.text
    assert [r["id"] for r in done.stage("check")["plan"]["revisions"]] == ["r3"]
    assert migrated.sql("select name from users") == [("ana",)]


def test_two_targets_have_each_their_own(alembic_project):
    alembic_project.settings(
        '[targets.dev]\nurl = "sqlite:///app.db"\n[targets.two]\nurl = "sqlite:///two.db"\n'
    )
    refused = alembic_project.call("run")
    assert refused.code == 2, refused.text
    assert "several targets and none was named: dev, two" in refused.words
    done = alembic_project.call("run", "--target", "dev", "--to", "r1")
    assert done.code == 0, done.text
    assert alembic_project.heads == ["r1"]
    assert not (alembic_project.folder / "two.db").exists()


@pytest.mark.parametrize("message", ["größe ✓", "a\\x1b[2Kb", "'; drop table users; --", "x" * 300])
def test_what_a_revision_is_called_is_only_told(alembic_project, message):
    alembic_project.revision("r3", "r2", "create table t (id integer)", "drop table t", message=message)
    done = alembic_project.call("plan", "--report", "json=plan.json")
    assert done.code == 0, done.text
    assert "\x1b" not in done.out
    report = json.loads((alembic_project.folder / "plan.json").read_text())["report"]
    assert report["results"][0]["plan"]["revisions"][-1]["message"]


SHOWN = """
import os, pathlib
pid, found = os.getppid(), []
while "worker/__main__.py" in (words := pathlib.Path(f"/proc/{pid}/cmdline").read_text()):
    found.append(words + pathlib.Path(f"/proc/{pid}/environ").read_text())
    pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
pathlib.Path("shown").write_text("\\n".join(found))
assert os.environ["SHOP_TOKEN"] == "kX7-horse"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_the_kernel_shows_no_variable_of_the_project_in_the_interpreter_that_runs_env_py(alembic_project):
    """Two processes above the child: the one that was forked for this run, and the one that was started."""
    alembic_project.revision("r2", "r1", SHOWN, "pass")
    done = alembic_project.run("run", env={"SHOP_TOKEN": "kX7-horse", "PYTHONHASHSEED": "1"})
    assert done.code == 0, done.text
    shown = (alembic_project.folder / "shown").read_text()
    assert shown.count("worker/__main__.py") == 2
    assert "PYTHONHASHSEED=1" in shown
    assert "kX7-horse" not in shown
