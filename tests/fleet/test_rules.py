"""When a fleet run stops, and with what code it ends."""

import pytest

from ci_migrate.errors import ExitCode
from ci_migrate.fleet.outcome import WORST_FIRST, exit_code_of_run, worst
from ci_migrate.fleet.rules import StopRules
from ci_migrate.ledger.fleets import FleetStatus, FleetTarget


def target(status, code=None):
    return FleetTarget(name="a", number=1, place="a", server="", status=status, exit_code=code)


def test_a_percentage_must_be_exceeded_not_reached():
    rules = StopRules(10, 100)
    rules.begin_wave(20)
    assert [rules.note("a", failed=failed) for failed in (True, False, True, False)] == [""] * 4
    assert rules.note("b", failed=True) == (
        "3 of the 20 databases of this wave failed, which is more than 10 %: fleet-max-fail-percentage"
    )


def test_each_wave_begins_with_none_failed_and_a_row_goes_on():
    rules = StopRules(50, 3)
    for _ in range(2):
        rules.begin_wave(2)
        assert rules.note("a", failed=True) == ""
    rules.begin_wave(2)
    assert rules.note("c", failed=True).startswith("3 databases failed one after the other (a, a, c)")


def test_one_that_goes_well_ends_a_row():
    rules = StopRules(100, 2)
    rules.begin_wave(10)
    assert [rules.note("a", failed=failed) for failed in (True, False, True)] == ["", "", ""]
    assert rules.note("b", failed=True) != ""


def test_with_zero_percent_the_first_failure_stops_it():
    rules = StopRules(0, 100)
    rules.begin_wave(10_000)
    assert rules.note("a", failed=True)


def test_what_a_person_must_look_at_first_decides_the_code():
    assert worst([0, 4, 8, 7, 1]) is ExitCode.FAILED_DIRTY
    assert worst([4, 8, 1]) is ExitCode.COULD_NOT_TELL
    assert worst([0, 0]) is ExitCode.OK
    assert worst([0, 143]) is ExitCode.REFUSED
    assert set(WORST_FIRST) == set(ExitCode) - {ExitCode.OK, ExitCode.INTERRUPTED, ExitCode.TERMINATED}


@pytest.mark.parametrize(
    ("targets", "stopped", "code"),
    [
        ([target(FleetStatus.MIGRATED, 0), target(FleetStatus.ALREADY, 0)], False, 0),
        ([target(FleetStatus.MIGRATED, 0), target(FleetStatus.WAITING)], False, 1),
        ([target(FleetStatus.MIGRATED, 0)], True, 1),
        ([target(FleetStatus.MIGRATED, 0), target(FleetStatus.INTERRUPTED, 143)], False, 1),
        ([target(FleetStatus.FAILED, 6), target(FleetStatus.LEFT_OUT, 8)], False, 6),
        ([target(FleetStatus.APPROVAL, 4), target(FleetStatus.MIGRATED, 0)], False, 4),
    ],
)
def test_zero_means_that_all_are_at_the_destination(targets, stopped, code):
    assert exit_code_of_run(targets, stopped=stopped) == code
