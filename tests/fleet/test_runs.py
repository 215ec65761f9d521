"""`fleet run`, `resume` and `retry`, as processes of their own."""

import json
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing

import pytest
from alembic_project import ended
from fleet_support import (
    SETTINGS,
    by_name,
    damage,
    new_fleet,
    report_of,
    slow_revision,
    sql,
    statuses,
    wait_for,
    workers_of,
)
from junitparser import JUnitXml
from sqlalchemy import make_url

from ci_migrate.ledger.fleets import FleetStatus, targets_of
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.ledger.place import ledger_url

FOUR = 4


@pytest.fixture
def fleet(tmp_path):
    return new_fleet(tmp_path / "project", FOUR)


def test_all_are_migrated_each_with_its_own_backup_and_rehearsal(fleet):
    ended(fleet.project.run("fleet", "run"), 0, "4 migrated", "OK. 4 of 4 databases at the destination.")
    assert {name: fleet.at(name) for name in fleet.names} == {name: ["r2"] for name in fleet.names}
    rows = by_name(fleet)
    assert [t["canary"] for t in rows.values()] == [True, False, False, False]
    assert {t["rehearsed"] for t in rows.values()} == {"a copy of its own"}
    for name in fleet.names:
        done = fleet.project.call("backup", "list", "--target", f"tenants/{name}")
        assert rows[name]["backupId"] in ended(done, 0)
        assert "proven" in done.out
        assert rows[name]["runId"] in ended(fleet.project.call("history", "--target", f"tenants/{name}"), 0)
    done = fleet.project.run("fleet", "run")
    ended(done, 0, "4 nothing to do", "OK. 4 of 4 databases")


def test_what_is_not_as_it_should_be_is_left_out_and_the_others_are_migrated(fleet, tmp_path):
    fleet = new_fleet(tmp_path / "other", 9)
    sql(fleet.file("t00001"), "update alembic_version set version_num = 'zzz'")
    sql(fleet.file("t00002"), "create index by_name on users (name)")
    damage(fleet.file("t00003"))
    fleet.file("t00004").unlink()
    ended(fleet.project.run("fleet", "run"), 8, "5 migrated, 4 left out", "ERROR (exit 8). 5 of 9 databases")
    rows = by_name(fleet)
    words = {name: row["message"] for name, row in rows.items() if row["status"] == "left out"}
    assert set(words) == {"t00001", "t00002", "t00003", "t00004"}
    assert words["t00001"] == "unknown revision: the scripts do not have zzz"
    assert words["t00002"].startswith("drifted: its schema differs")
    assert words["t00004"] == "unreachable: there is no such file, or it is empty"
    states = [rows[name]["state"] for name in sorted(words)]
    assert states == ["unknown revision", "drifted", "unreachable", "unreachable"]
    assert "untouched" not in (fleet.project.reports / "fleet.html").read_text()
    assert fleet.at("t00002") == ["r1"]
    assert not fleet.file("t00004").exists()
    # mended: retry takes them, and nothing else
    sql(fleet.file("t00001"), "update alembic_version set version_num = 'r1'")
    sql(fleet.file("t00002"), "drop index by_name")
    for name in ("t00003", "t00004"):
        fleet.file(name).write_bytes(fleet.file("t00001").read_bytes())
    ended(fleet.project.run("fleet", "resume"), 8, "4 left out")
    ended(fleet.project.run("fleet", "retry"), 0, "9 migrated", "OK. 9 of 9")
    assert {fleet.at(name)[0] for name in fleet.names} == {"r2"}


def test_a_canary_that_fails_stops_everything(fleet):
    sql(fleet.file("t00000"), "insert into users values (7, null)")
    fleet.project.revision("r2", "r1", 'op.execute("insert into users select 7, null")')
    done = fleet.project.run("fleet", "run")
    ended(
        done,
        1,
        "FAIL tenants/t00000 (canary): failed in dry-run",
        "Stopped: the canary t00000 ended as: failed",
    )
    assert statuses(fleet) == {"t00000": "failed"} | dict.fromkeys(fleet.names[1:], "waiting")
    assert {fleet.at(name)[0] for name in fleet.names} == {"r1"}
    assert [p.name for p in (fleet.project.folder / ".ci-migrate/backups").iterdir()] != []
    report = fleet.project.folder / by_name(fleet)["t00000"]["report"]
    assert json.loads(report.read_text())["report"]["target"] == "tenants/t00000"


def test_the_named_canary_goes_first_and_each_revision_that_databases_are_at_has_one(fleet):
    fleet.set('fleet-canary = "t00002"\n')
    sql(fleet.file("t00003"), "drop table users; delete from alembic_version")
    ended(fleet.project.run("fleet", "run"), 0)
    rows = by_name(fleet)
    assert {name for name, row in rows.items() if row["canary"]} == {"t00002", "t00003"}
    assert rows["t00002"]["started"] < rows["t00000"]["started"]
    assert rows["t00003"]["started"] < rows["t00000"]["started"]


def test_where_the_named_canary_is_left_out_or_failed_no_other_takes_its_place(fleet):
    fleet.set('fleet-canary = "t00002"\n')
    damage(fleet.file("t00002"))
    for command in ("run", "resume"):
        ended(
            fleet.project.run("fleet", command),
            8,
            "Stopped: the canary t00002 ended as: left out",
            "1 left out",
            "3 waiting",
            "next: ci-migrate fleet retry",
        )
    fleet.file("t00002").write_bytes(fleet.file("t00001").read_bytes())
    fleet.project.revision("r2", "r1", "create table users (id integer)")
    for command in ("retry", "resume"):
        ended(
            fleet.project.run("fleet", command), 1, "Stopped: the canary t00002 ended as: failed", "3 waiting"
        )
    fleet.project.revision("r2", "r1", "alter table users add column email text")
    ended(fleet.project.run("fleet", "retry"), 0, "4 migrated")


def test_the_canary_s_dry_run_will_do_where_that_is_chosen_and_it_is_told(fleet):
    fleet.set('fleet-dry-run = "canary"\n')
    ended(
        fleet.project.run("-v", "fleet", "run"),
        0,
        "tenants/t00003: migrated",
        "rehearsed on a copy of t00000, not of this one",
    )
    rows = by_name(fleet)
    assert rows["t00000"]["rehearsed"] == "a copy of its own"
    assert (rows["t00001"]["rehearsed"], rows["t00001"]["instead"]) == ("nothing", "t00000")
    assert rows["t00001"]["schemaAfter"] == rows["t00000"]["schemaAfter"] != ""
    history = fleet.project.call("history", "--target", "tenants/t00001").out
    assert " migrate " in history
    page = (fleet.project.reports / "fleet.html").read_text()
    assert "a copy of t00000, not of this one" in page


def test_production_is_never_migrated_on_the_strength_of_another_s_rehearsal(fleet):
    fleet.set('fleet-dry-run = "canary"\ntags = ["production"]\n')
    ended(fleet.project.run("fleet", "run"), 1, "fleet-dry-run", "is canary, and tenants is production")
    assert {fleet.at(name)[0] for name in fleet.names} == {"r1"}
    fleet.set('fleet-dry-run = "canary"\n')
    ended(fleet.project.run("protect", "--target", "tenants/t00001"), 0)  # by itself, not by settings
    ended(fleet.project.run("fleet", "run"), 1, "1 failed")
    assert "leaves out the dry run" in by_name(fleet)["t00001"]["message"]
    assert fleet.at("t00001") == ["r1"]


def test_on_production_each_database_asks_for_an_approval_of_its_own(fleet):
    fleet.set('tags = ["production"]\n')
    done = fleet.project.run("fleet", "run")
    ended(done, 4, "4 approval required", "NOT APPROVED (exit 4). 0 of 4 databases")
    assert {fleet.at(name)[0] for name in fleet.names} == {"r1"}
    run = report_of(fleet)["run"]["fleetRun"]
    requests = sorted((fleet.project.folder / ".ci-migrate/fleet" / run).glob("*approval-request.json"))
    assert len(requests) == FOUR
    made = fleet.project.run("token", "generate", "--target", "tenants/t00001", "--reason", "why", "--quiet")
    assert made.code == 0, made.text
    token = made.out.strip().splitlines()[-1]
    done = fleet.project.run("run", "--target", "tenants/t00001", env={"CI_MIGRATE_TOKEN": token})
    ended(done, 0, "OK. The database is migrated: now at r2.")
    ended(fleet.project.run("fleet", "retry"), 4, "3 approval required")
    assert [fleet.at(name)[0] for name in fleet.names] == ["r1", "r2", "r1", "r1"]


def test_rules_stop_it_and_what_is_left_can_be_resumed(tmp_path):
    fleet = new_fleet(tmp_path / "project", 12)
    fleet.set(
        "fleet-wave = 5\nfleet-processes = 1\nfleet-max-failures-in-a-row = 2\nfleet-max-fail-percentage = 100\n"
    )
    fleet.project.revision("r2", "r1", "create unique index by_name on users (name)")
    for name in ("t00003", "t00004"):
        sql(fleet.file(name), "insert into users (name) values ('Ada')")
    done = fleet.project.run("fleet", "run")
    ended(
        done,
        1,
        "Stopped: 2 databases failed one after the other (t00003, t00004)",
        "next: ci-migrate fleet resume",
    )
    assert list(statuses(fleet).values()) == ["migrated"] * 3 + ["failed"] * 2 + ["waiting"] * 7
    ended(fleet.project.run("fleet", "resume"), 1, "10 migrated, 2 failed")
    failed = by_name(fleet)["t00003"]
    assert (failed["stage"], failed["exitCode"]) == ("dry-run", 1)
    assert "UNIQUE constraint failed" in failed["message"]
    suites = {suite.name: suite for suite in JUnitXml.fromfile(str(fleet.project.reports / "fleet.xml"))}
    assert len(suites) == 12
    assert suites["ci-migrate.tenants/t00003"].failures == 1
    assert suites["ci-migrate.tenants/t00005"].failures == 0
    assert sum(suite.failures + suite.errors for suite in suites.values()) == 2


def test_a_killed_worker_is_told_and_retry_repairs_what_it_left(fleet):
    slow_revision(fleet, 6)
    fleet.set("fleet-processes = 1\n")
    child = fleet.project.start("fleet", "run")
    wait_for(fleet.project.folder / "at-work", child)
    for pid in workers_of(child.pid):
        os.kill(pid, signal.SIGKILL)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 7, out + err
    assert "its process was killed (signal 9): " in out + err
    assert statuses(fleet) == {"t00000": "failed"} | dict.fromkeys(fleet.names[1:], "waiting")
    assert by_name(fleet)["t00000"]["state"] in ("running", "unfinished run")
    assert "untouched" not in (fleet.project.reports / "fleet.html").read_text()
    slow_revision(fleet, 0)
    time.sleep(6)  # its child ends before its next statement, and holds the lock till then
    found = fleet.project.run("fleet", "status")
    ended(found, 7, "unfinished run 1", "ci-migrate repair --dry-run --target tenants/t00000")
    ended(fleet.project.run("fleet", "retry"), 0, "4 migrated")
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] * FOUR
    for name in fleet.names:
        with closing(sqlite3.connect(fleet.file(name))) as connection:
            assert connection.execute("select name, email from users").fetchall() == [("Ada", "Ada")]
    assert by_name(fleet)["t00000"]["attempts"] == 2


def test_a_killed_coordinator_s_run_is_resumed_to_its_end(fleet):
    slow_revision(fleet, 4)
    fleet.set("fleet-processes = 2\n")
    child = fleet.project.start("fleet", "run")
    wait_for(fleet.project.folder / "at-work", child)
    ended(fleet.project.run("fleet", "run"), 5, "of the fleet tenants")
    child.kill()
    child.communicate()
    ledger = open_ledger(
        ledger_url(make_url("sqlite:////x"), f"sqlite:///{fleet.project.folder}/.ci-migrate/fleet.sqlite3"),
        create=False,
    )
    assert ledger is not None
    done = fleet.project.run("fleet", "status", "--run")
    ended(done, 0, "1 running" if "1 running" in done.words else "waiting", "not ended")
    with ledger:
        rows = targets_of(ledger, report_name(done))
        assert FleetStatus.RUNNING in {row.status for row in rows}
    deadline = time.monotonic() + 60
    while fleet.project.run("fleet", "resume").code == 5 or fleet.at("t00000") != ["r2"]:
        assert time.monotonic() < deadline
        time.sleep(1)
    ended(fleet.project.run("fleet", "retry"), 0)
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] * FOUR
    assert set(statuses(fleet).values()) <= {"migrated", "nothing to do"}


def report_name(done):
    return next(word.rstrip(":") for word in done.out.split() if word.startswith("fleet_"))


def test_shards_are_runs_of_their_own(fleet):
    codes = [fleet.project.run("fleet", "run", "--shard", f"{n}/2").code for n in (1, 2)]
    assert codes == [0, 0]
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] * FOUR
    ended(fleet.project.run("fleet", "run", "--shard", "3/2"), 2, "it is I/N")
    parts = json.loads(fleet.project.call("fleet", "matrix", "--shards", "40").out)["shard"]
    assert 1 <= len(parts) <= FOUR
    assert all(part.endswith("/40") for part in parts)


def test_what_forks_the_workers_was_started_without_secrets(fleet):
    """Its environment, and its helper's, can be read by children of this user; the workers' are theirs."""
    fleet.project.revision(
        "r2",
        "r1",
        "import glob, pathlib\n"
        "for place in glob.glob('/proc/[0-9]*'):\n"
        "    try:\n"
        "        words = pathlib.Path(place, 'cmdline').read_bytes()\n"
        "        if b'multiprocessing' in words:\n"
        "            text = pathlib.Path(place, 'environ').read_bytes()\n"
        "            with open('found', 'ab') as file:\n"
        "                file.write(words + b'|' + text + b'\\n')\n"
        "    except OSError:\n"
        "        continue\n"
        'op.add_column("users", sa.Column("email", sa.Text))',
        'op.drop_column("users", "email")',
    )
    ended(fleet.project.run("fleet", "run", env={"CI_MIGRATE_TOKEN": "kX7-horse", "PYTHONHASHSEED": "1"}), 0)
    found = (fleet.project.folder / "found").read_bytes()
    assert b"forkserver" in found
    assert b"resource_tracker" in found
    assert b"PYTHONSAFEPATH=1" in found
    assert b"kX7-horse" not in found


def test_one_interpreter_is_forked_for_all_databases_and_has_nobody_s_variables(fleet):
    python = fleet.project.folder.parent / "python"  # not in the working tree
    python.write_text(
        f'#!/bin/sh\ntr "\\0" "\\n" < /proc/$$/environ >> started\necho end >> started\nexec "{sys.executable}" "$@"\n',
    )
    python.chmod(0o755)
    fleet.project.revision("r2", "r1", "import os\nassert os.environ['SHOP_TOKEN'] == 'kX7-horse'", "pass")
    fleet.project.settings(f'python = "{python}"\n{SETTINGS}')
    ended(fleet.project.run("fleet", "run", env={"SHOP_TOKEN": "kX7-horse"}), 0, "4 migrated")
    first, *others = (fleet.project.folder / "started").read_text().split("end\n")[:-1]
    assert "SHOP_TOKEN=kX7-horse" in first  # it reads the scripts alone
    assert len(others) == 1
    assert "PATH=" in others[0]
    assert "kX7-horse" not in others[0]


def test_a_module_of_the_repository_is_not_taken_for_python_s_own(fleet):
    fleet.project.write("multiprocessing.py", "open('taken', 'w')\n")
    ended(fleet.project.run("fleet", "run", env={"PYTHONHASHSEED": "1"}), 0)
    assert not (fleet.project.folder / "taken").exists()
