"""`ci-migrate check`: a finding refuses, and nothing is written."""

import sqlite3
import subprocess
from contextlib import closing

import pytest
from alembic_project import ended


def test_green(alembic_project):
    done = alembic_project.call("check")
    assert done.code == 0, done.text
    assert done.outcomes == {"check": "passed"}
    assert not alembic_project.database.exists()


def test_a_finding_refuses(alembic_project):
    alembic_project.revision("r3", "r1", "create table t (id integer)")  # beside r2
    done = alembic_project.call("check")
    assert done.code == 1, done.text
    assert "CM101" in done.text
    assert not alembic_project.database.exists()


def test_since_takes_no_destination(alembic_project):
    done = alembic_project.call("check", "--since", "main", "--to", "r1")
    assert done.code == 2
    assert "leave --to out" in done.text


def test_since_asks_for_no_target(alembic_project):
    """It reaches none of them."""
    alembic_project.settings('[targets.dev]\nurl = "env:DEV"\n[targets.live]\nurl = "env:LIVE"\n')
    subprocess.run("git init -q && git add -A && git -c user.name=a -c user.email=a@b commit -qm x",
                   shell=True, check=True, cwd=alembic_project.folder)  # fmt: skip
    done = alembic_project.call("check", "--since", "HEAD")
    assert done.code == 0, done.text
    assert "0 revisions are new" in done.words
    assert alembic_project.call("check").code == 2


def test_all_that_refuses_is_told_at_once(alembic_project):
    """Who mends one finding a run needs a run for each."""
    alembic_project.revision("r3", "r2", "create table t (id integer)")
    alembic_project.revision("r4", "r2", "create table u (id integer)")
    done = alembic_project.call("check")
    assert done.code == 1, done.text
    assert done.codes() >= {"CM101", "CM401"}
    to_one = alembic_project.call("check", "--to", "r3")
    assert (to_one.code, to_one.codes()) == (0, {"CM401"}), "who names one of them means it"


def test_an_accepted_finding_stays_in_the_report(alembic_project):
    alembic_project.revision("r3", "r2", "create table t (id integer)")
    done = alembic_project.call("check", "--allow", "CM401@r3=it is meant")
    assert done.code == 0, done.text
    (found,) = [f for f in done.stage("check")["findings"] if f["code"] == "CM401"]
    assert found["acknowledged"] == "it is meant"


@pytest.mark.parametrize("allow", ["CM401@r9=gone", "CM999=no such check"])
def test_what_is_accepted_and_not_found_is_told(alembic_project, allow):
    alembic_project.revision("r3", "r2", "create table t (id integer)")
    done = alembic_project.call("check", "--allow", allow)
    assert allow.partition("=")[0].partition("@")[0] in done.text or "CM401" in done.codes()
    assert done.code == 0, done.text


def test_an_empty_project(alembic_project):
    for script in (alembic_project.folder / "migrations" / "versions").glob("*.py"):
        script.unlink()
    done = alembic_project.call("check")
    assert done.code == 0, done.text
    assert "Nothing to do" in done.words
    assert not alembic_project.database.exists()


def script(project, name: str):
    return project.folder / "migrations" / "versions" / f"{name}.py"


def test_F73_comments_and_formatters_edit_nothing(alembic_project):
    ended(alembic_project.call("run"), 0)
    script(alembic_project, "r1").write_text("# a licence\n" + script(alembic_project, "r1").read_text())
    assert "CM102" not in alembic_project.call("check").codes()
    ended(alembic_project.call("run"), 0)
    script(alembic_project, "r1").write_text(
        script(alembic_project, "r1").read_text().replace("users", "people")
    )
    assert "CM102" in alembic_project.call("check").codes()
    alembic_project.revision("r3", "r2", "create table t (id integer)")
    ended(alembic_project.call("run"), 1, "CM102", "was edited after it was applied here")


def test_F73_a_text_that_nobody_saw_run_is_held_by_its_bytes(alembic_project):
    """A ledger of a version that did not note what scripts do."""
    ended(alembic_project.call("run"), 0)
    ledger = next(alembic_project.folder.glob("app.db.ci-migrate"))
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("delete from ci_migrate_scripts")
        connection.commit()
    text = script(alembic_project, "r1").read_text()
    script(alembic_project, "r1").write_text("# a licence\n" + text)
    assert "CM102" in alembic_project.call("check").codes()
    script(alembic_project, "r1").write_text(text)
    alembic_project.revision("r3", "r2", "create table t (id integer)")
    ended(alembic_project.call("run"), 0)  # it sees the text that ran, and notes what it does
    script(alembic_project, "r1").write_text("# a licence\n" + text)
    assert "CM102" not in alembic_project.call("check").codes()
