"""A fleet on a cluster of Dask: on loopback, and with each worker in a network of its own, one of them killed."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from alembic_project import COMMAND, ended
from dask_cluster import DaskCluster
from fleet_support import by_name, new_fleet, report_of, statuses, wait_for
from junitparser import JUnitXml

pytest.importorskip("distributed", reason="the extra dask is not installed")

SETTINGS = 'fleet-executor = "dask"\nfleet-executor-address = "{}"\nfleet-max-failures-in-a-row = 5\n'
SECRET = "kX7-horse-battery"


def marking(fleet, seconds: float) -> None:
    """The revision r2 says which database it is at, and waits there."""
    fleet.project.revision(
        "r2",
        "r1",
        "import os, pathlib, time\n"
        'op.add_column("users", sa.Column("email", sa.Text))\n'
        "if os.environ.get('CI_MIGRATE_STAGE') == 'migrate':\n"
        "    pathlib.Path('at-' + pathlib.Path(op.get_bind().engine.url.database).stem).touch()\n"
        f"    time.sleep({seconds})\n"
        'op.execute("update users set email = name")',
        'op.drop_column("users", "email")',
    )


def start(fleet, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "fleet", *arguments],
        cwd=fleet.project.folder,
        env=fleet.project.environment({"CI_MIGRATE_TOKEN": ""}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def printed(child: "subprocess.Popen[str]", *codes: int) -> str:
    text, _ = child.communicate(timeout=600)
    assert child.returncode in codes, text
    return text


def busy(worker: "subprocess.Popen[bytes]") -> bool:
    """Whether it has a gate at work."""
    return bool(Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()) or any(
        place.read_text().split() for place in Path(f"/proc/{worker.pid}/task").glob("*/children")
    )


def migrations_of(fleet, name: str) -> int:
    return ended(fleet.project.call("history", "--target", f"tenants/{name}"), 0).count("migrated")


def test_the_workers_of_a_scheduler_do_the_work_and_a_lost_one_is_resumed(tmp_path):
    fleet = new_fleet(tmp_path / "project", 6)
    marking(fleet, 3)
    environ = fleet.project.environment({"PGPASSWORD": SECRET})
    (tmp_path / "dask").mkdir()
    with DaskCluster(tmp_path / "dask", environ) as cluster:
        cluster.add_worker()
        cluster.add_worker()
        fleet.set(SETTINGS.format(cluster.address))
        child = start(fleet, "run")
        wait_for(fleet.project.folder / "at-t00002", child)
        lost = next(worker for worker in cluster.workers if busy(worker))
        lost.kill()
        text = printed(child, 1, 5, 7, 8)
        found = statuses(fleet)
        (name,) = (name for name, status in found.items() if status == "interrupted")
        assert found == dict.fromkeys(fleet.names, "migrated") | {name: "interrupted"}, text
        row = by_name(fleet)[name]
        # the scheduler gave it to the other worker, which did not begin with it again
        assert row["message"].startswith(
            "its worker was lost (DatabaseError: the worker that had begun with it"
        )
        assert "ci-migrate fleet resume --target tenants" in row["message"]
        assert "5 migrated" in text
        printed(start(fleet, "resume"), 0)
        assert SECRET not in cluster.logs() + text
        assert "t00001" not in cluster.logs(), "Dask's logs hold nothing of what crosses"
    assert [fleet.at(name) for name in fleet.names] == [["r2"]] * 6
    assert [migrations_of(fleet, name) for name in fleet.names] == [1] * 6


@pytest.fixture
def machines():
    """Three network namespaces on a bridge of 10.213.7.0/24, as good as machines that share a disk."""
    tag = os.urandom(2).hex()
    bridge, names = f"cim{tag}", [f"cim{tag}{n}" for n in range(3)]

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    if not shutil.which("ip") or subprocess.run(["ip", "netns", "add", names[0]], check=False).returncode:
        pytest.skip("network namespaces need root on Linux, and `ip`")
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", "10.213.7.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for number, name in enumerate(names):
            if number:
                ip("netns", "add", name)
            ip("link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"v{name}", "master", bridge, "up")
            ip("-n", name, "addr", "add", f"10.213.7.{number + 2}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)


@pytest.mark.long
def test_of_three_machines_one_is_killed_and_the_fleet_comes_to_its_end(tmp_path, machines):
    """All its processes at once, gates and Alembic among them: what it had begun is as it was, or half done."""
    fleet = new_fleet(tmp_path / "project", 24)
    marking(fleet, 2)
    (tmp_path / "dask").mkdir()
    with DaskCluster(tmp_path / "dask", fleet.project.environment(), "10.213.7.1") as cluster:
        for number, name in enumerate(machines):
            cluster.add_worker(within=("ip", "netns", "exec", name), host=f"10.213.7.{number + 2}")
        fleet.set(SETTINGS.format(cluster.address))
        child = start(fleet, "run")
        wait_for(fleet.project.folder / "at-t00005", child, timeout=300)
        # each of the three is in the middle of a database
        pids = subprocess.run(
            ["ip", "netns", "pids", machines[1]], capture_output=True, text=True, check=True
        ).stdout
        assert len(pids.split()) > 2, "a gate is at work there"
        for pid in pids.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        text = printed(child, 7, 8)
        found = statuses(fleet)
        (name,) = (name for name, status in found.items() if status == "interrupted")
        assert found == dict.fromkeys(fleet.names, "migrated") | {name: "interrupted"}, text
        row = by_name(fleet)[name]
        assert row["message"].startswith("its worker was lost (")
        assert (row["exitCode"], row["state"]) in ((8, "untouched"), (7, "unknown"))
        assert fleet.at(name) == ["r1"], "nobody else took it up"
        assert {fleet.at(other)[0] for other in fleet.names if other != name} == {"r2"}
        suites = JUnitXml.fromfile(str(fleet.project.reports / "fleet.xml"))
        assert (len(list(suites)), suites.failures + suites.errors + suites.skipped) == (24, 1)
        assert report_of(fleet)["run"]["exitCode"] == row["exitCode"]
        text = printed(start(fleet, "resume"), 0)
        assert "24 of 24 databases at the destination" in text
    assert [migrations_of(fleet, name) for name in fleet.names] == [1] * 24


def test_a_scheduler_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("ci_migrate.plugins.executors.PATIENCE", 1)
    from ci_migrate.errors import ToolError
    from ci_migrate.plugins.executors import DaskExecutor

    with pytest.raises(ToolError, match=r"Dask's scheduler at tcp://127.0.0.1:9 can't be reached"):
        DaskExecutor("tcp://127.0.0.1:9")


def test_nothing_of_dask_is_imported_before_a_setting_asks_for_it():
    code = (
        "import sys; from pathlib import Path; from ci_migrate.plugins.manager import create_manager; "
        "import ci_migrate.fleet.runs; create_manager([], Path()); "
        "assert not {'distributed', 'dask'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
