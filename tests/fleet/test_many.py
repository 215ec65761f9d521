"""A fleet of 2,000 files of which 30 are wrong in ways of their own, through kills to its end; and one on each server.

TEST_FLEET says how many files, 2,000 by default; TEST_FLEET_BEHIND how many of them are behind, by default all, the others
being at the destination; TEST_FLEET_ON_A_SERVER how many databases, 100 by default. The files are migrated by processes of
the coordinator's machine, and by the workers of a scheduler of Dask.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from alembic_project import COMMAND
from dask_cluster import DaskCluster
from fleet_servers import ENGINES, ServerFleet, server_fleet, sql_at
from fleet_support import Fleet, damage, new_fleet, read_only, sql, workers_of
from junitparser import JUnitXml

COUNT = int(os.environ.get("TEST_FLEET", "2000"))
BEHIND = int(os.environ.get("TEST_FLEET_BEHIND", str(COUNT)))
ON_A_SERVER = int(os.environ.get("TEST_FLEET_ON_A_SERVER", "100"))


def fleet_command(fleet: Fleet | ServerFleet, *arguments: str, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as out:
        return subprocess.Popen(
            [*COMMAND, "fleet", *arguments],
            cwd=fleet.project.folder,
            env=fleet.project.environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def rows_of(fleet: Fleet) -> dict[str, dict]:
    done = fleet.project.run("fleet", "status", "--run", "--json", timeout=600)
    return {target["name"]: target for target in json.loads(done.out)["targets"]}


def counted(fleet: Fleet, status: str) -> int:
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(fleet.project.folder / ".ci-migrate/fleet.sqlite3")) as c,
    ):
        return c.execute(
            "select count(*) from ci_migrate_fleet_targets where status = ?", [status]
        ).fetchone()[0]
    return 0


def wait_until(condition, child: subprocess.Popen, log: Path, timeout: float = 3600) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert child.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.2)


LOST = r"was killed \(signal 9\)|its worker was lost"
"""What is said of a database whose worker was killed."""

WRONG = {
    "locked": "left out",
    "damaged": "left out",
    "missing": "left out",
    "empty": "left out",
    "unknown": "left out",
    "drifted": "left out",
    "unfinished": "left out",
    "twins": "failed",
    "read only": "failed",
    "no room": "failed",
}


class HereWorkers:
    """Those that the coordinator starts itself."""

    settings = "fleet-processes = 4\n"

    def kill(self, coordinator: int) -> None:
        killed = workers_of(coordinator)
        assert killed
        for pid in killed[:2]:
            os.kill(pid, signal.SIGKILL)


class DaskWorkers:
    """Two workers of a scheduler; for one that is killed another takes its place."""

    def __init__(self, cluster: DaskCluster) -> None:
        self._cluster = cluster
        for _ in range(2):
            cluster.add_worker()
        self.settings = f'fleet-executor = "dask"\nfleet-executor-address = "{cluster.address}"\n'

    def kill(self, coordinator: int) -> None:
        lost = next(worker for worker in self._cluster.workers if worker.poll() is None)
        lost.kill()
        lost.wait()
        self._cluster.add_worker()


@contextmanager
def workers(executor: str, fleet: Fleet, folder: Path) -> Iterator[HereWorkers | DaskWorkers]:
    if executor == "processes":
        yield HereWorkers()
        return
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    folder.mkdir()
    with DaskCluster(folder, fleet.project.environment()) as cluster:
        yield DaskWorkers(cluster)


@pytest.mark.long
@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_two_thousand_files_of_which_thirty_fail_through_kills_to_the_end(executor, tmp_path):
    fleet = new_fleet(tmp_path / "project", COUNT)
    with workers(executor, fleet, tmp_path / "workers") as at_work:
        through_kills_to_the_end(fleet, at_work, tmp_path / "log")


def through_kills_to_the_end(fleet: Fleet, at_work: HereWorkers | DaskWorkers, log: Path) -> None:
    fleet.set(
        "fleet-wave = 100\nfleet-max-failures-in-a-row = 10\nfleet-max-fail-percentage = 90\n"
        f'lock-timeout = "2s"\n{at_work.settings}'
    )
    fleet.project.revision(
        "r2",
        "r1",
        "import os, signal\n"
        "from pathlib import Path\n"
        'op.add_column("users", sa.Column("email", sa.Text))\n'
        'if Path("die-" + Path(op.get_bind().engine.url.database).name).exists():\n'
        '    if os.environ.get("CI_MIGRATE_STAGE") == "migrate":\n'
        "        gate = os.getppid()\n"
        "        while b'--target' not in Path(f'/proc/{gate}/cmdline').read_bytes():\n"
        "            gate = int(Path(f'/proc/{gate}/stat').read_text().rpartition(')')[2].split()[1])\n"
        "        os.kill(gate, signal.SIGKILL)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "op.execute(\"update users set email = lower(name) || '@example.com'\")\n"
        'op.execute("create unique index users_email on users (email)")',
        'op.execute("drop index users_email")\nop.drop_column("users", "email")',
    )
    at_head(fleet, fleet.names[BEHIND:])
    # three of each kind, spread over those that are behind, the canary and its neighbour apart
    step = (BEHIND - 2) // 31
    names = iter(fleet.names[2 + step : BEHIND : step])
    wrong = {kind: [next(names) for _ in range(3)] for kind in WRONG}
    held = []
    for kind, of_kind in wrong.items():
        for name in of_kind:
            spoil(fleet, kind, name, held)
    bad = {name for of_kind in wrong.values() for name in of_kind}

    # the coordinator is killed when an eighth is done, a worker a little later
    child = fleet_command(fleet, "run", log=log)
    wait_until(lambda: counted(fleet, "migrated") >= BEHIND // 8, child, log)
    child.kill()
    child.wait()
    assert counted(fleet, "running") + counted(fleet, "waiting") > BEHIND // 2
    time.sleep(5)
    child = fleet_command(fleet, "resume", log=log)
    wait_until(lambda: counted(fleet, "migrated") >= BEHIND // 4, child, log)
    at_work.kill(child.pid)
    wait_until(lambda: counted(fleet, "migrated") >= BEHIND // 3, child, log)
    child.send_signal(signal.SIGTERM)
    assert child.wait(300) == 143, log.read_text()[-3000:]
    code = fleet_command(fleet, "resume", log=log).wait(4 * 3600)
    assert code in (7, 8), log.read_text()[-3000:]

    rows = rows_of(fleet)
    by_kill = {n for n, row in rows.items() if re.search(LOST, row["message"])} - bad
    assert len(by_kill) <= 2
    for kind, of_kind in wrong.items():
        for name in of_kind:
            assert rows[name]["status"] == WRONG[kind], (kind, rows[name])
            assert rows[name]["message"], kind
    for name in set(fleet.names) - bad - by_kill:
        assert rows[name]["status"] in ("migrated", "nothing to do"), rows[name]
        assert fleet.at(name) == ["r2"]
    look(fleet, wrong)

    # what can be mended is mended, and retry brings all to the end
    for connection in held:
        connection.close()
    for kind, of_kind in wrong.items():
        for name in of_kind:
            mend(fleet, kind, name)
    code = fleet_command(fleet, "retry", log=log).wait(3600)
    assert code == 0, log.read_text()[-3000:]
    for name in fleet.names:
        assert fleet.at(name) == ["r2"], name
        with closing(sqlite3.connect(fleet.file(name))) as connection:
            people = connection.execute("select name, email from users order by id").fetchall()
        assert people[0] == ("Ada", "ada@example.com"), name
    assert (fleet.project.reports / "fleet.html").stat().st_size < 2_000_000
    suites = JUnitXml.fromfile(str(fleet.project.reports / "fleet.xml"))
    assert len(list(suites)) == COUNT
    assert suites.failures == suites.errors == 0


def at_head(fleet: Fleet, names: list[str]) -> None:
    """These were migrated before: copies of one that was."""
    if names:
        subprocess.run(
            [COMMAND[0], "-m", "alembic", "upgrade", "head"],
            cwd=fleet.project.folder,
            env=fleet.project.environment({"DATABASE_URL": f"sqlite:///{fleet.file(names[0])}"}),
            check=True,
        )
    for name in names[1:]:
        shutil.copyfile(fleet.file(names[0]), fleet.file(name))


def spoil(fleet: Fleet, kind: str, name: str, held: list[sqlite3.Connection]) -> None:
    file = fleet.file(name)
    if kind == "locked":
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("begin exclusive")
        held.append(connection)
    elif kind == "damaged":
        damage(file)
    elif kind == "missing":
        file.unlink()
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "unknown":
        sql(file, "update alembic_version set version_num = 'zzz'")
    elif kind == "drifted":
        sql(file, "create index by_name on users (name)")
    elif kind == "unfinished":
        leave_unfinished(fleet, name)
    elif kind == "twins":
        sql(file, "insert into users (name) values ('ADA')")
    elif kind == "read only":
        read_only(file)
    else:
        backups = fleet.project.folder / ".ci-migrate" / "backups"
        backups.mkdir(parents=True, exist_ok=True)
        from ci_migrate.settings.fleet import file_name

        # no folder can be made where a file is: as good as a full disk, and also for root
        (backups / file_name(f"tenants/{name}")).write_text("")


def mend(fleet: Fleet, kind: str, name: str) -> None:
    file = fleet.file(name)
    if kind in ("damaged", "missing", "empty"):
        sound = sqlite3.connect(file.with_name("sound"))
        from fleet_support import AT_R1

        if not sound.execute("select count(*) from sqlite_master").fetchone()[0]:
            sound.executescript(AT_R1)
        sound.close()
        file.write_bytes(file.with_name("sound").read_bytes())
    elif kind == "unknown":
        sql(file, "update alembic_version set version_num = 'r1'")
    elif kind == "drifted":
        sql(file, "drop index by_name")
    elif kind == "twins":
        sql(file, "delete from users where name = 'ADA'")
    elif kind == "read only":
        content = bytearray(file.read_bytes())
        content[18] = content[19]
        file.write_bytes(content)
    elif kind == "no room":
        from ci_migrate.settings.fleet import file_name

        (fleet.project.folder / ".ci-migrate" / "backups" / file_name(f"tenants/{name}")).unlink()


def leave_unfinished(fleet: Fleet, name: str) -> None:
    """A run whose processes are all killed in the middle of its migration."""
    mark = fleet.project.folder / f"die-{name}.db"
    mark.touch()
    done = subprocess.run(
        [*COMMAND, "run", "--target", f"tenants/{name}"],
        cwd=fleet.project.folder,
        env=fleet.project.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    mark.unlink()
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def look(fleet: Fleet, wrong: dict[str, list[str]]) -> None:
    done = fleet.project.run("fleet", "status", "--json", timeout=600)
    found = {seen["name"]: seen["state"] for seen in json.loads(done.out)["databases"]}
    for kind in ("locked", "damaged", "missing", "empty"):
        assert {found[name] for name in wrong[kind]} == {"unreachable"}, kind
    assert {found[name] for name in wrong["unknown"]} == {"unknown revision"}
    assert {found[name] for name in wrong["drifted"]} == {"drifted"}
    assert {found[name] for name in wrong["unfinished"]} == {"unfinished run"}


AT_WORK = {
    "postgresql": "select count(distinct datname) from pg_stat_activity "
    "where starts_with(application_name, 'ci-migrate/') and datname ~ '_t[0-9]{5}$'",
    "mysql": "select count(distinct db) from information_schema.processlist where db regexp '_t[0-9]{5}$'",
}
"""How many databases of the fleet have sessions, those of looks left out where a server can tell them."""


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_a_hundred_databases_of_one_server_three_at_a_time(request, engine, tmp_path):
    url = request.getfixturevalue(ENGINES[engine])
    with server_fleet(tmp_path / "project", url, ON_A_SERVER) as fleet:
        fleet.set('scratch = "server"\nfleet-processes = 6\nfleet-per-server = 3\nfleet-wave = 40\n')
        child = fleet_command(fleet, "run", log=tmp_path / "log")
        most, began = 0, time.monotonic()
        while child.poll() is None:
            assert time.monotonic() - began < 3600
            most = max(most, int(sql_at(fleet.admin, AT_WORK[url.get_backend_name()])[0][0]))
            time.sleep(0.1)
        text = (tmp_path / "log").read_text()
        assert child.returncode == 0, text[-3000:]
        assert 2 <= most <= 3
        assert {tuple(fleet.at(name)) for name in fleet.names} == {("r2",)}
        if url.password:
            kept = b"".join(
                p.read_bytes() for p in (fleet.project.folder / ".ci-migrate").rglob("*") if p.is_file()
            )
            assert url.password.encode() not in kept
            assert url.password not in text
