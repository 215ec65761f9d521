"""Fleets on PostgreSQL, MariaDB and MySQL: databases of one server, each through its own gate."""

import json
import os
import signal
import time

import pytest
from alembic_project import ended
from fleet_servers import ENGINES, server_fleet, sql_at
from fleet_support import by_name, slow_revision, statuses, wait_for, workers_of
from signing_support import Approver


@pytest.fixture(params=ENGINES)
def fleet(request, tmp_path):
    url = request.getfixturevalue(ENGINES[request.param])
    with server_fleet(tmp_path / "project", url, 3) as made:
        yield made


@pytest.fixture
def slow(fleet):
    """Its revision waits in the middle, where MariaDB and MySQL have committed half of it."""
    fleet.set("fleet-processes = 1\n")
    slow_revision(fleet, 6)
    return fleet


def look(fleet):
    done = fleet.project.call("fleet", "status", "--json")
    return {seen["name"]: seen for seen in json.loads(done.out)["databases"]}


def emails(fleet):
    return [fleet.sql(name, "select name, email from users") for name in fleet.listed]


def test_a_look_tells_each_state_and_runs_no_env_py(fleet):
    fleet.project.write("migrations/env.py", "raise SystemExit('env.py was run')\n")
    fleet.add(3)
    fleet.sql(
        "t00001",
        "alter table users add column email text",
        "update alembic_version set version_num = 'r2'",
    )
    fleet.sql("t00002", "create index by_name on users (name)")
    fleet.sql("t00003", "update alembic_version set version_num = 'zzz'")
    fleet.sql("t00004", "drop view people", "drop table users", "delete from alembic_version")
    sql_at(fleet.admin, f"drop database {fleet.url('t00005').database}")
    found = look(fleet)
    assert {name: seen["state"] for name, seen in found.items()} == {
        "t00000": "behind",
        "t00001": "at head",
        "t00002": "drifted",
        "t00003": "unknown revision",
        "t00004": "behind",
        "t00005": "unreachable",
    }
    assert fleet.url("t00005").database in found["t00005"]["words"]
    assert fleet.admin.password is None or fleet.admin.password not in str(found)
    assert {seen["server"] for seen in found.values()} == {f"127.0.0.1:{fleet.admin.port}"}


def test_the_canary_and_then_the_others_come_to_one_schema_and_what_drifted_is_left_out(fleet):
    fleet.set('fleet-dry-run = "canary"\n')
    fleet.sql("t00002", "create index by_name on users (name)")
    ended(fleet.project.run("-v", "fleet", "run"), 1, "2 migrated, 1 left out")
    rows = by_name(fleet)
    assert [name for name, row in rows.items() if row["canary"]] == ["t00000"]
    assert (rows["t00001"]["rehearsed"], rows["t00001"]["instead"]) == ("nothing", "t00000")
    assert rows["t00001"]["schemaAfter"] == rows["t00000"]["schemaAfter"] != ""
    assert rows["t00002"]["message"].startswith("drifted: its schema differs")
    assert [fleet.at(name) for name in fleet.names] == [["r2"], ["r2"], ["r1"]]
    fleet.sql("t00002", f"drop index by_name{'' if fleet.postgresql else ' on users'}")
    ended(fleet.project.run("fleet", "retry"), 0, "3 migrated")
    assert {seen["state"] for seen in look(fleet).values()} == {"at head"}
    kept = b"".join(p.read_bytes() for p in (fleet.project.folder / ".ci-migrate").rglob("*") if p.is_file())
    assert fleet.admin.password is None or fleet.admin.password.encode() not in kept


def test_a_killed_worker_is_told_and_retry_repairs_what_it_left(slow):
    """What it left is half of a schema on MariaDB and MySQL, by which the only other one is not to be judged."""
    slow.list_only(slow.names[:2])
    child = slow.project.start("fleet", "run")
    wait_for(slow.project.folder / "at-work", child)
    assert look(slow)["t00000"]["state"] == "running"
    for pid in workers_of(child.pid):
        os.kill(pid, signal.SIGKILL)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 7, out + err
    assert "its process was killed (signal 9): " in out + err
    assert statuses(slow) == {"t00000": "failed", "t00001": "waiting"}
    assert by_name(slow)["t00000"]["state"] in ("running", "unfinished run")
    slow_revision(slow, 0)
    ended(slow.project.run("fleet", "retry"), 0, "2 migrated")
    assert emails(slow) == [[("Ada", "Ada")]] * 2
    assert by_name(slow)["t00000"]["attempts"] == 2


def test_a_killed_coordinator_s_run_is_resumed_to_its_end(slow):
    child = slow.project.start("fleet", "run")
    wait_for(slow.project.folder / "at-work", child)
    child.kill()
    child.communicate()
    ended(slow.project.run("fleet", "status", "--run"), 0, "2 waiting, 1 running", "not ended")
    deadline = time.monotonic() + 120
    while slow.project.run("fleet", "resume").code == 5:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert set(statuses(slow).values()) <= {"migrated", "nothing to do"}
    assert emails(slow) == [[("Ada", "Ada")]] * 3


def test_one_approval_lets_all_of_them_through(fleet, tmp_path):
    """What the databases of one server have in common has none of their names in it."""
    ana = Approver("ana", tmp_path)
    fleet.set('tags = ["production"]\nscratch = "server"\nx = ["tenant={name}"]\n')
    fleet.project.environ["CI_MIGRATE_TRUST"] = ana.line
    ended(fleet.project.run("fleet", "run"), 4, "3 approval required")
    done = fleet.project.call("fleet", "request")
    assert "not in the list" not in ended(done, 0, "3 databases of the fleet tenants")
    request = str(fleet.project.reports / "fleet-approval-request.json")
    done = fleet.project.call("approve", request, "--key", str(ana.file), "--reason", "seen")
    fleet.project.write("token", ended(done, 0).strip())
    ended(fleet.project.run("fleet", "run", "--token-file", "token"), 0, "3 migrated")
    assert {seen["state"] for seen in look(fleet).values()} == {"at head"}
