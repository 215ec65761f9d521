"""A fleet whose databases are migrated by the workers of an executor, which may be lost, or set up otherwise."""

import os
import signal
import subprocess
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from alembic_project import COMMAND, ended
from fleet_support import by_name, new_fleet, slow_revision, sql, statuses, wait_for

from ci_migrate.errors import CiMigrateError
from ci_migrate.fleet.engines import Submitted
from ci_migrate.fleet.inputs import FleetInputs
from ci_migrate.fleet.look import read_scripts
from ci_migrate.fleet.members import Member, read_members
from ci_migrate.fleet.remote import Order, task_of
from ci_migrate.fleet.worker import Task
from ci_migrate.ledger.fleets import FleetStatus, FleetTarget
from ci_migrate.plugins.executors import ci_migrate_executor
from ci_migrate.settings.settings import Secret, load

PLUGIN = """
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from ci_migrate import hookimpl

POOLS = {"threads": ThreadPoolExecutor, "pool": ProcessPoolExecutor}

@hookimpl
def ci_migrate_executor(settings):
    if settings.fleet_executor == "broken":
        raise ValueError("no cluster today")
    if settings.fleet_executor == "other":
        return "pool"
    return POOLS[settings.fleet_executor](2) if settings.fleet_executor in POOLS else None
"""
SECRET = "kX7-horse-battery"


@pytest.fixture
def fleet(tmp_path):
    return new_fleet(tmp_path / "project", 4)


@pytest.fixture
def installed(fleet, tmp_path):
    """A distribution with a plugin, which commands of the project find where they run in an interpreter of their own."""
    place = tmp_path / "installed"
    meta = place / "our_pools-1.0.dist-info"
    meta.mkdir(parents=True)
    (place / "our_pools.py").write_text(PLUGIN)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: our-pools\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[ci_migrate]\nour-pools = our_pools\n")
    fleet.project.environ["PYTHONPATH"] = str(place)


def start(fleet, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "fleet", *arguments],
        cwd=fleet.project.folder,
        env=fleet.project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(child: "subprocess.Popen[str]", code: int, *words: str) -> None:
    printed, _ = child.communicate(timeout=300)
    assert child.returncode == code, printed
    for part in words:
        assert part in printed


@pytest.mark.parametrize("executor", ["threads", "pool"])
def test_any_executor_of_an_installed_plugin_does_the_work(fleet, installed, executor):
    fleet.set(f'fleet-executor = "{executor}"\nfleet-processes = 2\n')
    fleet.project.environ["CI_MIGRATE_ACTOR"] = "ana"
    sql(fleet.file("t00003"), "create index by_name on users (name)")
    end(start(fleet, "run"), 1, "3 migrated, 1 left out")
    assert statuses(fleet) == dict.fromkeys(fleet.names[:3], "migrated") | {"t00003": "left out"}
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] * 3 + [["r1"]]
    assert {row["rehearsed"] for row in list(by_name(fleet).values())[:3]} == {"a copy of its own"}


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_a_lost_worker_had_begun_is_resumed_and_done_once(fleet, installed):
    """The pool is broken by that; the gate that it had started goes on, and holds the run lock."""
    slow_revision(fleet, 8)
    fleet.set('fleet-executor = "pool"\nfleet-processes = 1\n')
    child = start(fleet, "run")
    wait_for(fleet.project.folder / "at-work", child)
    for pid in children_of(child.pid):
        os.kill(pid, signal.SIGKILL)
    end(child, 1, "Stopped: the canary t00000 ended as: interrupted", "ci-migrate fleet resume")
    row = by_name(fleet)["t00000"]
    assert (row["status"], row["state"]) == ("interrupted", "running")
    assert row["message"].startswith("its worker was lost (BrokenProcessPool: ")
    assert row["exitCode"] == 5
    assert "is held by another run" in row["message"]
    assert statuses(fleet) == {"t00000": "interrupted"} | dict.fromkeys(fleet.names[1:], "waiting")
    assert not (fleet.project.folder / "waited").exists(), "its gate is at work"
    end(start(fleet, "resume"), 0, "4 of 4 databases at the destination")
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] * 4
    done = fleet.project.call("history", "--target", "tenants/t00000")
    assert ended(done, 0).count("migrated") == 1, (
        "the gate of the lost worker migrated it, nobody a second time"
    )


def test_after_a_signal_no_other_begins_and_what_has_begun_is_ended(fleet, installed):
    slow_revision(fleet, 3)
    fleet.set('fleet-executor = "threads"\nfleet-processes = 1\n')
    child = start(fleet, "run")
    wait_for(fleet.project.folder / "at-work", child)
    child.send_signal(signal.SIGTERM)
    end(child, 143, "1 migrated", "3 waiting", "ci-migrate fleet resume")
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] + [["r1"]] * 3


def test_an_executor_that_is_not_there_is_said_before_anything_is_touched(fleet, installed):
    for name, code, words in (
        ("nope", 2, "is 'nope': no installed plugin has one of that name"),
        ("broken", 2, "Plugin our-pools failed in ci_migrate_executor: ValueError: no cluster today"),
        ("other", 2, "A plugin returned 'pool' from ci_migrate_executor, which is no Executor"),
        ("dask", 2, "fleet-executor-address is not set"),
    ):
        fleet.set(f'fleet-executor = "{name}"\n')
        end(start(fleet, "run"), code, words)
    fleet.set(
        'fleet-executor = "dask"\nfleet-executor-address = "tcp://scheduler:8786"\ntags = ["production"]\n'
    )
    end(start(fleet, "run"), 1, "is no tls://. Whoever reaches such a scheduler can run programs")
    assert not (fleet.project.folder / ".ci-migrate/fleet.sqlite3").exists()


@pytest.mark.parametrize("address", ["tls://scheduler:8786", "tcp://127.0.0.1:8786", "tcp://[::1]:8786"])
def test_where_nobody_listens_the_scheduler_of_production_may_be_asked(fleet, monkeypatch, address):
    asked = []
    monkeypatch.setattr("ci_migrate.plugins.executors.DaskExecutor", asked.append)
    fleet.set(f'fleet-executor = "dask"\nfleet-executor-address = "{address}"\ntags = ["production"]\n')
    ci_migrate_executor(load(fleet.project.folder, fleet.project.environment(), {"target": "tenants"}))
    assert asked == [address]


# --------------------------------------------------------------------------- what crosses, and what must fit


class Recorder(Executor):
    """Keeps what it is handed."""

    def submit(self, fn, /, *arguments, **named):
        self.handed = arguments
        return Future()


def task(fleet, **more) -> Task:
    target = FleetTarget(
        name="t00000", number=1, place="db1:5432/acme", server="db1:5432", status=FleetStatus.RUNNING
    )
    return Task(
        member=Member("t00000", Secret(f"postgresql://app:{SECRET}@db1/acme"), "db1:5432/acme", "db1:5432"),
        target=target,
        fleet_run="fleet_1",
        directory=fleet.project.folder,
        environ={"PGPASSWORD": SECRET, "DATABASE_URL": f"postgresql://app:{SECRET}@db1/acme"},
        flags={"target": "tenants"},
        rehearse=True,
        goes_on=False,
        inputs=FleetInputs(files={"env.py": "1"}),
        by="ana",
        reason="release",
        **more,
    )


def test_no_url_no_password_and_no_variable_goes_to_a_worker(fleet):
    settings = load(fleet.project.folder, {"PGPASSWORD": SECRET}, {"target": "tenants"})
    recorder = Recorder()
    Submitted(recorder, settings).start(task(fleet, token=Secret("signed-token")))
    (sealed,) = recorder.handed
    assert SECRET.encode() not in sealed.content
    assert b"postgresql" not in sealed.content
    assert b"PGPASSWORD" not in sealed.content
    assert b"signed-token" in sealed.content
    assert "signed-token" not in repr(sealed), "what an executor logs of its calls"


def order(fleet, **other) -> Order:
    settings = load(fleet.project.folder, fleet.project.environment(), {"target": "tenants"})
    (first, *_) = read_members(settings)
    values = {
        "version": "0.1.0",
        "directory": str(fleet.project.folder),
        "production": False,
        "inputs": FleetInputs.of(settings, read_scripts(settings)),
        "target": FleetTarget(
            name=first.name, number=1, place=first.place, server="", status=FleetStatus.RUNNING
        ),
        "fleet_run": "fleet_1",
        "flags": {"target": "tenants"},
        "rehearse": True,
        "goes_on": False,
        "left": False,
        "by": "ana",
        "reason": "",
    }
    return Order(**values | other)


def test_a_worker_takes_the_url_from_its_own_list(fleet, monkeypatch):
    monkeypatch.setattr("ci_migrate.fleet.remote.own_environment", fleet.project.environment)
    made = task_of(order(fleet))
    assert made.member.url.reveal() == f"sqlite:///{fleet.file('t00000')}"
    assert made.environ == fleet.project.environment()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"version": "0.0.9"}, "has ci-migrate 0.1.0, not 0.0.9"),
        ({"directory": "/nowhere"}, "has no folder /nowhere"),
        ({"production": True}, "does not take the fleet for production, as the coordinator does"),
        (
            {"inputs": FleetInputs(files={"migrations/env.py": "0"})},
            "has another migrations/env.py than the coordinator",
        ),
        (
            {"inputs": FleetInputs(files={"ci-migrate.toml": ""})},
            "has another ci-migrate.toml than the coordinator",
        ),
        (
            {"inputs": FleetInputs(files={"migrations/versions/r9.py": "0"})},
            "has another migrations/versions/r9.py than",
        ),
    ],
)
def test_a_worker_that_is_set_up_otherwise_does_nothing(fleet, monkeypatch, other, words):
    monkeypatch.setattr("ci_migrate.fleet.remote.own_environment", fleet.project.environment)
    with pytest.raises(CiMigrateError, match=words) as raised:
        task_of(order(fleet, **other))
    assert raised.value.exit_code == 2


def test_a_worker_whose_list_names_another_database_does_nothing(fleet, monkeypatch):
    monkeypatch.setattr("ci_migrate.fleet.remote.own_environment", fleet.project.environment)
    known = order(fleet)
    fleet.project.write("tenants.txt", "t00000 sqlite:///data/t00001.db\n")
    with pytest.raises(CiMigrateError, match=r"has t00000 at .*t00001.db, not at .*t00000.db"):
        task_of(known)


@pytest.mark.parametrize("file", ["migrations/versions/r3.py", "alembic.ini"])
def test_a_worker_with_one_revision_more_or_another_configuration_does_nothing(fleet, monkeypatch, file):
    monkeypatch.setattr("ci_migrate.fleet.remote.own_environment", fleet.project.environment)
    known = order(fleet)
    with (fleet.project.folder / file).open("a") as there:
        there.write("# more\n")
    with pytest.raises(CiMigrateError, match=f"has another {file} than the coordinator"):
        task_of(known)
