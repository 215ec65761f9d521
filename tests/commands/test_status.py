"""`ci-migrate status`: where the target is, and what to do."""

import json

from alembic_project import ended


def test_before_and_after(alembic_project):
    done = alembic_project.call("status")
    assert done.code == 0, done.text
    rows = {line[:12].strip(): line[13:] for line in done.out.splitlines()}
    assert rows["is at"] == "base"
    assert rows["pending"] == "2 revisions: r1, r2"
    assert rows["next"] == "ci-migrate run --target dev"
    assert not alembic_project.database.exists()
    assert alembic_project.gate("run").exit_code == 0
    found = json.loads(alembic_project.call("status", "--json").out)
    assert (found["heads"], found["pending"]) == ([["r2"]], [])
    assert found["last"]["command"] == "run"


def test_version_rows_that_make_no_sense(migrated):
    migrated.sql("update alembic_version set version_num = 'zzz'")
    done = migrated.call("status")
    assert done.code == 1
    assert "TROUBLE" in done.out
    assert "zzz" in done.out


def test_before_the_first_run(alembic_project):
    ended(
        alembic_project.call("status"),
        0,
        "is at base",
        "no backup was proven yet",
        "ci-migrate run --target dev",
    )
    ended(alembic_project.call("history"), 0, "No run yet")
    ended(alembic_project.call("verify"), 8, "nothing to compare with")
    ended(alembic_project.call("backup", "list"), 0, "No backups")
    ended(alembic_project.call("token", "list"), 0, "No tokens")
    ended(alembic_project.call("repair"), 0, "nothing to repair")
    ended(alembic_project.call("audit", "verify"), 0)
    ended(alembic_project.call("token", "validate"), 4, "The token is empty")
