"""`ci-migrate wait`: a release starts once its database is there."""

import json
import time

import pytest
from alembic_project import ended


def test_it_waits_for_what_the_scripts_need(alembic_project):
    ended(
        alembic_project.call("wait", "--timeout", "0"), 1, "The database is at base; not applied yet: r1, r2."
    )
    assert not list(alembic_project.folder.glob("*.ci-migrate")), "it makes no ledger"
    ended(alembic_project.call("run", "r1"), 0)
    ended(alembic_project.call("wait", "--timeout", "0"), 1, "The database is at r1; not applied yet: r2.")
    ended(
        alembic_project.call("wait", "r1", "--timeout", "0"), 0, "nothing that these scripts need is missing"
    )
    ended(alembic_project.call("run"), 0)
    ended(alembic_project.call("wait", "r1", "--timeout", "0"), 0)
    done = alembic_project.call("wait", "--json")
    found = json.loads(done.out)
    assert (done.code, found["served"], found["heads"], found["wanted"], found["exitCode"]) == (
        0,
        True,
        "r2",
        "r2",
        0,
    )
    assert found["seconds"] < 60
    ended(alembic_project.call("wait", "nonsense", "--timeout", "600"), 1, "nonsense")


def test_it_ends_as_soon_as_the_migration_is_committed(alembic_project):
    waiting = alembic_project.start("wait", "--timeout", "100", "--every", "0.1")
    assert waiting.stderr.readline().strip() == "The database is at base; not applied yet: r1, r2."
    alembic_project.gate("run")
    out, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, out.partition(":")[0]) == (0, "The database is at r2")


def test_a_later_release_is_known_by_its_absence(migrated):
    migrated.put_version_rows("r9")
    ended(migrated.call("wait", "--timeout", "0"), 1, "r9, which these scripts do not know: a later release")
    ended(migrated.call("wait", "--timeout", "0", "--allow-newer"), 0)


def test_what_no_waiting_mends_ends_at_once(alembic_project):
    started = time.monotonic()
    ended(alembic_project.call("wait", "--target", "nowhere"), 2)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("url", ["postgresql://u@127.0.0.1:1/x", "mysql+pymysql://u@127.0.0.1:1/x"])
def test_a_database_that_does_not_answer(alembic_project, url):
    alembic_project.settings(f'[targets.dev]\nurl = "{url}"\n')
    done = alembic_project.call("wait", "--timeout", "0.5", "--every", "0.1", "--json")
    assert done.code == 8
    found = json.loads(done.out)
    assert (found["served"], found["exitCode"], found["heads"]) == (False, 8, "")
    assert found["seconds"] >= 0.4
    assert done.err.count("\n") >= 1
