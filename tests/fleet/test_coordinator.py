"""What the coordinator says of databases whose worker said nothing."""

from contextlib import contextmanager

import msgspec
import pytest
from fleet_support import new_fleet, sql

from ci_migrate.errors import LockedError, ToolError
from ci_migrate.fleet.coordinator import Coordinator, FleetRequest, new_run, new_targets
from ci_migrate.fleet.engines import Processes
from ci_migrate.fleet.look import Look
from ci_migrate.fleet.members import read_members
from ci_migrate.fleet.runs import _coordinating, state_url
from ci_migrate.fleet.worker import _changed
from ci_migrate.ledger import fleets
from ci_migrate.ledger.fleets import FleetStatus, Rehearsed
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.settings.settings import load
from ci_migrate.tempdirs import OWN, make_folder


@pytest.fixture
def fleet(tmp_path):
    return new_fleet(tmp_path / "project", 2)


def request_of(fleet, shard="", **flags):
    project = fleet.project
    settings = load(project.folder, project.environment(), {"target": "tenants", **flags})
    return FleetRequest(
        settings=settings,
        members=read_members(settings),
        directory=project.folder,
        environ=project.environment(),
        flags={},
        interrupt=Interrupt(),
        shard=shard,
    )


@contextmanager
def coordinating(fleet, engine=None, **flags):
    request = request_of(fleet, **flags)
    make_folder(fleet.project.folder / OWN)
    with open_ledger(state_url(request.settings), create=True) as ledger:
        run, targets = new_run(request), new_targets(request.members)
        fleets.begin(ledger, run, targets)
        yield Coordinator(request, ledger, run, targets, engine)


def test_two_fleets_of_a_project_do_not_stand_in_each_other_s_way(fleet):
    """Not where the name of one and its part read as those of the other either."""
    fleet.project.settings(
        '[targets.t]\nfleet-file = "tenants.txt"\n[targets.t1]\nfleet-file = "tenants.txt"\n'
    )
    first, second = (
        request_of(fleet, target=target, shard=shard) for target, shard in (("t", "11/20"), ("t1", "1/20"))
    )
    with _coordinating(first), _coordinating(second):
        pass
    with _coordinating(first), pytest.raises(LockedError), _coordinating(first):
        pass


def test_a_database_is_untouched_after_a_worker_s_death_only_where_its_schema_is_the_same(fleet):
    with coordinating(fleet) as coordinator:
        first, second = coordinator.look(fleet.names, repairs=False)
        sql(fleet.file("t00001"), "alter table users add column email text")
        found = [coordinator._look_after_death(target, -9) for target in (first, second)]
        unseen = coordinator._look_after_death(msgspec.structs.replace(first, schema=""), 3)
    assert [(t.state, t.exit_code) for t in found] == [("untouched", 8), ("unknown", 7)]
    assert {t.status for t in found} == {FleetStatus.FAILED}
    assert (unseen.state, unseen.exit_code) == ("unknown", 7)
    assert "ended with 3" in unseen.message


def test_what_a_lost_worker_left_is_said_by_lock_schema_and_heads(fleet):
    with coordinating(fleet) as coordinator:
        first, second = coordinator.look(fleet.names, repairs=False)
        with Look(coordinator.request.settings)._database(coordinator.request.members[0]).lock("run_1", 0):
            held = coordinator._look_after_loss(first, "lost")
        same = coordinator._look_after_loss(first, "lost")
        sql(fleet.file("t00001"), "alter table users add column email text")
        changed = coordinator._look_after_loss(second, "lost")
        sql(fleet.file("t00001"), "update alembic_version set version_num = 'r2'")
        done = coordinator._look_after_loss(second, "lost")
    assert {t.status for t in (held, same, changed, done)} == {FleetStatus.INTERRUPTED}
    found = [(t.state, t.exit_code) for t in (held, same, changed, done)]
    assert found == [("running", 5), ("untouched", 8), ("unknown", 7), ("at head", None)]
    assert "run run_1" in held.message
    assert "is at r1 as before, and nobody holds its run lock" in same.message
    assert "is at r2, no run of it is unfinished, and nobody holds its run lock" in done.message


class Broken(Processes):
    """Takes nothing more."""

    here = False

    def start(self, task):
        raise ToolError("the pool is broken")


def test_what_an_executor_does_not_take_any_more_waits(fleet):
    with coordinating(fleet, Broken(request_of(fleet).settings)) as coordinator:
        coordinator.walk(coordinator.look(fleet.names, repairs=False))
        run = coordinator.close()
    assert run.stopped == "fleet-executor takes no more databases: the pool is broken"
    assert run.exit_code == 1
    assert [(t.status, t.attempts) for t in coordinator.targets.values()] == [(FleetStatus.WAITING, 0)] * 2


def test_a_schema_that_nobody_could_read_is_not_that_of_the_canary(fleet):
    with coordinating(fleet, **{"fleet-dry-run": "canary"}) as coordinator:
        first, second = coordinator.look(fleet.names, repairs=False)
        migrated = {"status": FleetStatus.MIGRATED, "exit_code": 0}
        canary = msgspec.structs.replace(first, canary=True, rehearsed=Rehearsed.OWN_COPY, **migrated)
        coordinator._note(canary)
        assert coordinator._rehearsed_instead(second) is None, "what the canary came to is not known"
        coordinator._note(msgspec.structs.replace(canary, schema_after="x"))
        assert coordinator._rehearsed_instead(second).name == "t00000"
        done = msgspec.structs.replace(second, instead="t00000", **migrated)
        unread, other, same = (
            coordinator._compare(msgspec.structs.replace(done, schema_after=schema))
            for schema in ("", "y", "x")
        )
    assert [t.exit_code for t in (unread, other, same)] == [7, 7, 0]
    assert "its schema can't be read" in unread.message
    assert "its schema is now another one" in other.message


class Noting(Processes):
    """Begins nothing, and keeps the tasks."""

    def start(self, task):
        self.tasks = [*getattr(self, "tasks", []), task]
        raise ToolError("later")


@pytest.mark.parametrize("state", ["behind", "unfinished run", "running"])
def test_a_database_that_changed_after_the_look_is_left_out_by_a_retry_too(fleet, state):
    """That it failed before says nothing of what somebody else does to it; what was half done then is repaired."""
    engine = Noting(request_of(fleet).settings)
    with coordinating(fleet, engine) as coordinator:
        (first, _) = coordinator.look(fleet.names, repairs=True)
        again = msgspec.structs.replace(first, attempts=1, state=state)
        coordinator.walk([again])
    (task,) = engine.tasks
    assert task.goes_on is True
    assert task.left is (state != "behind")
    sql(fleet.file("t00000"), "create index mine on users (id)")
    seen = Look(request_of(fleet).settings).at(task.member)
    changed = _changed(task, seen, left=task.left)
    assert changed == ("" if task.left else "drifted: its schema changed since this fleet run looked")
