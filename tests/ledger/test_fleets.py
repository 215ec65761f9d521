"""Fleet runs in the ledger, on each engine."""

from datetime import UTC, datetime

import msgspec
from ledger_support import ledger, tamper, url

from ci_migrate.ledger import fleets
from ci_migrate.ledger.fleets import FleetRun, FleetStatus, FleetTarget
from ci_migrate.settings.secrets import register_secret

__all__ = ["ledger", "tamper", "url"]

RUN = FleetRun(
    fleet_run="fleet_1",
    fleet="tenants",
    shard="",
    started=datetime(2026, 11, 30, 9, 0, tzinfo=UTC),
    destination="head",
    actor="ana",
    host="here",
    pid=1,
)


def target(name, number):
    return FleetTarget(name=name, number=number, place=f"db/{name}", server="db", status=FleetStatus.WAITING)


def test_a_run_and_its_databases_are_as_they_were_written(ledger):
    # more than go into one statement, and names that differ in case alone
    targets = [target("acme", 1), target("Acme", 2), *(target(f"t{n}", n) for n in range(3, 1200))]
    fleets.begin(ledger, RUN, targets)
    assert fleets.find_run(ledger, "fleet_1") == RUN
    assert fleets.targets_of(ledger, "fleet_1") == tuple(targets)
    register_secret("kX7-horse-battery")
    message = "no \ud800 login with kX7-horse-battery " + "x" * 10_000
    failed = msgspec.structs.replace(
        targets[1],
        status=FleetStatus.FAILED,
        exit_code=8,
        message=message,
        started=RUN.started,
        heads=("r1",),
    )
    fleets.note(ledger, "fleet_1", [failed])
    first, second, *_ = fleets.targets_of(ledger, "fleet_1")
    assert first == targets[0]
    assert (second.status, second.exit_code, second.heads) == (FleetStatus.FAILED, 8, ("r1",))
    assert second.message.startswith("no \\ud800 login with *** xxx")
    assert len(second.message) <= 4100


def test_the_last_run_of_a_fleet_and_of_a_shard(ledger):
    for number, (fleet, shard) in enumerate((("tenants", ""), ("tenants", "1/2"), ("others", ""))):
        run = msgspec.structs.replace(RUN, fleet_run=f"fleet_{number}", fleet=fleet, shard=shard)
        fleets.begin(ledger, run, [target("acme", 1)])
    assert fleets.last_run(ledger, "tenants").fleet_run == "fleet_1"
    assert fleets.last_run(ledger, "tenants", "").fleet_run == "fleet_0"
    assert fleets.last_run(ledger, "nobody") is None
    assert fleets.find_run(ledger, "fleet_9") is None


def test_what_the_last_runs_that_migrated_something_knew(ledger):
    done = msgspec.structs.replace(target("acme", 1), status=FleetStatus.MIGRATED)
    for number in range(8):
        run = msgspec.structs.replace(RUN, fleet_run=f"fleet_{number}")
        row = msgspec.structs.replace(done, schema=str(number))
        fleets.begin(ledger, run, [row, target("globex", 2)] if number != 6 else [target("acme", 1)])
    found = fleets.known_targets(ledger, "tenants")
    assert [t.schema for t in found if t.name == "acme"] == ["2", "3", "4", "5", "7"]
    assert len(found) == 10
    assert fleets.known_targets(ledger, "others") == ()


def test_a_run_ends_and_goes_on(ledger):
    fleets.begin(ledger, RUN, [target("acme", 1)])
    fleets.end(ledger, "fleet_1", 1, "2 failed one after the other")
    ended = fleets.find_run(ledger, "fleet_1")
    assert (ended.exit_code, ended.stopped) == (1, "2 failed one after the other")
    assert ended.finished is not None
    fleets.go_on(ledger, msgspec.structs.replace(RUN, pid=2, host="there"))
    again = fleets.find_run(ledger, "fleet_1")
    assert (again.pid, again.host, again.exit_code, again.finished, again.stopped) == (
        2,
        "there",
        None,
        None,
        "",
    )
    assert ledger.verify_audit() == []
