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


def test_a_json_of_each_state_has_the_same_keys(migrated):
    before = json.loads(ended(migrated.call("status", "--json"), 0))
    migrated.leave_unfinished(before["last"]["runId"])
    done = migrated.call("status", "--json")
    after = json.loads(done.out)
    assert done.code == 7
    assert before.keys() == after.keys()
    assert (before["next"], after["next"]) == ("nothing to do", after["commands"][0]["command"])
    assert "ci-migrate repair" in after["next"]


def test_what_somebody_else_changed_is_counted(migrated):
    for name in "abcde":
        migrated.sql(f"create table {name} (id integer)")
    out = ended(
        migrated.call("status"),
        0,
        "not as the last run left it:",
        "next # names what is different ci-migrate verify --target dev",
    )
    told = [line.strip() for line in out.splitlines()]
    assert any(line.startswith("and ") and line.endswith(" more") for line in told)


def test_it_makes_nothing(alembic_project):
    before = sorted(alembic_project.folder.rglob("*"))
    ended(alembic_project.call("status"), 0)
    after = [p for p in sorted(alembic_project.folder.rglob("*")) if "__pycache__" not in p.parts]
    assert after == [p for p in before if "__pycache__" not in p.parts]
