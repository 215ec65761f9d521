"""Signals to a fleet run: from a terminal to all of its processes, from others to one of them."""

import os
import signal

import pytest
from alembic_project import ended
from fleet_support import by_name, new_fleet, slow_revision, statuses, wait_for, workers_of


@pytest.fixture
def fleet(tmp_path):
    fleet = new_fleet(tmp_path / "project", 3)
    fleet.set("fleet-processes = 1\n")
    return fleet


def test_a_signal_ends_it_in_good_order(fleet):
    slow_revision(fleet, 2)
    ready = fleet.project.folder / "at-work"
    done = fleet.project.interrupted("fleet", "run", when=ready.exists, timeout=120)
    assert done.code == 143, done.text
    assert "Stopped: signal 15" in done.words
    rows = statuses(fleet)
    assert rows["t00000"] in ("interrupted", "migrated")
    assert rows["t00002"] == "waiting"
    slow_revision(fleet, 0)
    ended(fleet.project.run("fleet", "resume"), 0)
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] * 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_processes_ends_each_database_between_two_statements(fleet, number, code):
    """As a terminal and `timeout` send it. A worker that got it twice would end its child at once."""
    slow_revision(fleet, 3)
    child = fleet.project.start("fleet", "run")
    wait_for(fleet.project.folder / "at-work", child)
    os.killpg(child.pid, number)
    out, err = child.communicate(timeout=120)
    assert child.returncode == code, out + err
    assert f"Stopped: signal {number:d}" in out
    assert (fleet.project.folder / "waited").exists()
    assert statuses(fleet) == {"t00000": "interrupted", "t00001": "waiting", "t00002": "waiting"}
    assert by_name(fleet)["t00000"]["state"] == "as before"


def test_a_canary_that_is_interrupted_alone_stops_everything(fleet):
    slow_revision(fleet, 2)
    child = fleet.project.start("fleet", "run")
    wait_for(fleet.project.folder / "at-work", child)
    for pid in workers_of(child.pid):
        os.kill(pid, signal.SIGTERM)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 1, out + err
    assert "Stopped: the canary t00000 ended as: interrupted." in out
    assert statuses(fleet) == {"t00000": "interrupted", "t00001": "waiting", "t00002": "waiting"}
    slow_revision(fleet, 0)
    ended(fleet.project.run("fleet", "resume"), 0)
