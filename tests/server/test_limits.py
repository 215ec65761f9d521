"""Who fails too often is not listened to."""

from ci_migrate.server import limits
from ci_migrate.server.limits import Failures


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
