"""Calls are in the trail of their target's ledger: all of them, in order, and what fails there stops no service."""

import logging
import sqlite3
import threading
import time

import pytest
from ledger_support import ledger, tamper, url

from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.server import audit_writer
from ci_migrate.server.audit_writer import Auditor, Call

__all__ = ["ledger", "tamper", "url"]

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.fixture
def auditor(monkeypatch):
    monkeypatch.setattr(audit_writer, "GATHER", 0.0)
    made = Auditor()
    yield made
    made.close()


def paths(ledger) -> list[str]:
    return [r.facts["path"] for r in ledger.audit_records(2000) if r.kind == "http"]


def test_all_that_was_told_before_the_end_is_written_in_its_order(ledger, auditor, monkeypatch):
    monkeypatch.setattr(audit_writer, "BATCH", 7)
    for number in range(40):
        auditor.tell(Call(ledger, {"path": f"/{number}"}))
    auditor.close()
    assert paths(ledger) == [f"/{number}" for number in range(40)]
    assert ledger.verify_audit() == []
    auditor.tell(Call(ledger, {"path": "/late"}))  # a call that ends after the service: no error


def test_each_call_goes_to_its_own_target(ledger, auditor, url, tmp_path):
    with open_ledger(url.set(database=str(tmp_path / "other.db")), create=True) as other:
        for number in range(6):
            auditor.tell(Call((ledger, other)[number % 2], {"path": f"/{number}"}))
        auditor.close()
        assert (paths(ledger), paths(other)) == (["/0", "/2", "/4"], ["/1", "/3", "/5"])


def test_a_ledger_that_does_not_take_them_costs_no_other_its_calls(ledger, auditor, url, tmp_path, caplog):
    """It is said in the service's log, with the calls: they are nowhere else then."""
    with open_ledger(url.set(database=str(tmp_path / "broken.db")), create=True) as broken:
        with sqlite3.connect(tmp_path / "broken.db") as connection:
            connection.execute("DROP TABLE ci_migrate_audit_head")
        connection.close()
        with caplog.at_level(logging.ERROR):
            auditor.tell(Call(broken, {"path": "/lost"}))
            auditor.tell(Call(ledger, {"path": "/kept"}))
            auditor.close()
    assert paths(ledger) == ["/kept"]
    assert "Not in the audit trail" in caplog.text
    assert "/lost" in caplog.text


def test_calls_of_many_threads_are_all_there(ledger, auditor):
    def tell(name: int) -> None:
        for number in range(20):
            auditor.tell(Call(ledger, {"path": f"/{name}/{number}"}))

    threads = [threading.Thread(target=tell, args=(name,)) for name in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    auditor.close()
    found = paths(ledger)
    assert len(found) == 100
    for name in range(5):
        assert [p for p in found if p.startswith(f"/{name}/")] == [f"/{name}/{n}" for n in range(20)]


def test_a_call_that_can_not_be_written_does_not_end_the_writing(ledger, auditor, caplog):
    """A thread that died would lose each later call, and nobody would hear of it."""
    auditor.tell(Call(ledger, {"path": object()}))
    deadline = time.monotonic() + 20
    while not caplog.records and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    auditor.tell(Call(ledger, {"path": "/kept"}))
    auditor.close()
    assert paths(ledger) == ["/kept"]
    assert "Not in the audit trail" in caplog.text
