"""Who fails too often is not listened to; nobody takes all the room there is for calls."""

from ci_migrate.server import limits
from ci_migrate.server.limits import Failures, OpenCalls


def test_an_address_that_fails_too_often_waits_and_others_do_not(monkeypatch):
    moment = [1000.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: moment[0])
    failures = Failures(limit=3, seconds=60)
    for _ in range(3):
        assert failures.wait("a") == 0
        failures.note("a")
        moment[0] += 1
    assert failures.wait("a") == 57
    assert failures.wait("b") == 0
    moment[0] += 57
    assert failures.wait("a") == 0
    failures.note("a")  # the two later ones still count
    assert failures.wait("a") > 0


def test_addresses_are_forgotten_not_collected(monkeypatch):
    monkeypatch.setattr(limits, "ADDRESSES", 2)
    failures = Failures(limit=1)
    for address in ("a", "b", "c"):
        failures.note(address)
    assert failures.wait("a") == 0
    assert failures.wait("b") > 0
    assert failures.wait("c") > 0


def test_only_failures_that_are_young_count_and_each_address_has_its_own(monkeypatch):
    moment = [0.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: moment[0])
    failures = Failures(limit=2, seconds=10)
    for address in ("a", "b"):
        failures.note(address)
    moment[0] = 9
    failures.note("a")
    assert (failures.wait("a"), failures.wait("b"), failures.wait("c")) == (1, 0, 0)
    moment[0] = 10
    assert failures.wait("a") == 0, "one of the two is old"
    failures.note("a")
    assert failures.wait("a") == 9


def test_who_goes_on_failing_is_told_to_wait_from_the_last_time(monkeypatch):
    moment = [0.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: moment[0])
    failures = Failures(limit=1, seconds=10)
    for second in range(5):
        moment[0] = second
        failures.note("a")
        assert failures.wait("a") == 10
    moment[0] = 14
    assert failures.wait("a") == 0


def test_a_million_failures_of_one_address_take_the_room_of_a_few():
    failures = Failures(limit=3)
    for _ in range(1000):
        failures.note("a")
    assert len(failures._seen["a"]) == 3


def test_an_address_that_was_quiet_longest_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(limits, "ADDRESSES", 2)
    failures = Failures(limit=1)
    for address in ("a", "b", "a", "c"):
        failures.note(address)
    assert [failures.wait(address) > 0 for address in "abc"] == [True, False, True]


def test_the_last_call_of_an_address_leaves_nothing_behind():
    calls = OpenCalls(1)
    for number in range(100):
        assert calls.begin(f"10.0.0.{number}")
        assert not calls.begin(f"10.0.0.{number}")
        calls.end(f"10.0.0.{number}")
    assert calls._open == {}, "whoever comes from many addresses fills no memory"
