"""`ci-migrate history`: the runs of a target, the newest first."""

import json

import pytest
from alembic_project import ended


def test_no_run(alembic_project):
    done = alembic_project.call("history")
    assert (done.code, done.out) == (0, "No run yet.\n")
    assert not list(alembic_project.folder.glob("*.ci-migrate")), "it makes no ledger"


def test_the_newest_first(migrated):
    migrated.gate("migrate")
    lines = migrated.call("history").out.splitlines()
    assert [line.split()[3] for line in lines] == ["migrate", "run"]
    assert "base -> r2" in lines[1]
    assert "exit 0" in lines[1]
    assert migrated.call("history", "--limit", "1").out.splitlines() == lines[:1]


def test_it_is_told_when_the_target_is_broken(migrated):
    migrated.database.write_bytes(b"no database at all " * 500)
    done = migrated.call("history")
    assert done.code == 0, done.text
    assert "base -> r2" in done.out


def test_a_run_that_did_not_end_is_told_as_that(migrated):
    record = json.loads(ended(migrated.call("status", "--json"), 0))["last"]["runId"]
    migrated.leave_unfinished(record)
    assert f"{record}  run       did not end" in ended(migrated.call("history"), 0)


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "x", ""])
def test_limits_that_make_no_sense(shop, limit):
    done = shop.call("history", f"--limit={limit}")
    ended(done, 2, "--limit")
    assert done.out == ""


def test_each_run_has_one_line_whatever_its_actor_is_called(alembic_project):
    ended(alembic_project.call("run", env={"CI_MIGRATE_ACTOR": "ana\n2020-01-01 00:00  x\x1b[2K"}), 0)
    (line,) = ended(alembic_project.call("history"), 0).splitlines()
    assert "\x1b" not in line
    assert line.endswith("base -> r2")
