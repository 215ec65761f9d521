"""`ci-migrate status`: where the target is, and what to do."""

import json


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
