import os
import signal
import threading
import time
from datetime import datetime, timedelta, timezone

import msgspec
import pytest
from ledger_support import an_entry, on_sqlite, start_process

from ci_migrate.errors import LedgerError
from ci_migrate.ledger import audit
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.model import EntryKind, JournalEntry

APPEND_FOR_EVER = """
from datetime import datetime, UTC
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.model import EntryKind, JournalEntry
journal = open_ledger(url, create=False).journal("run-1")
position = 0
while True:
    position += 1
    entry = JournalEntry(kind=EntryKind.DONE, position=position, context=0, at=datetime.now(UTC))
    journal.append(entry, JournalEntry(kind=EntryKind.STATEMENT, position=position + 1, context=0, at=entry.at))
    print(position, flush=True)
"""


def without_sequence(entries: tuple[JournalEntry, ...]) -> list[JournalEntry]:
    return [msgspec.structs.replace(entry, sequence=0) for entry in entries]


def test_entries_come_back_as_they_were_in_order(ledger):
    written = [
        an_entry(1, "session", note="pid 4711 since 09:00"),
        an_entry(1, "statement", revision="3f2a", digest="d" * 64, prefix="f" * 64),
        an_entry(1, "done", revision="3f2a", rows=0),
        an_entry(2, "failed", note="ünïcode 🚚"),
    ]
    with ledger.journal("run-1") as journal:
        for entry in written:
            journal.append(entry)
        assert without_sequence(journal.entries()) == written
        sequences = [entry.sequence for entry in journal.entries()]
    assert sequences == sorted(set(sequences))
    assert ledger.journal("run-2").entries() == ()


def test_reading_a_journal_opens_no_connection_for_writing(ledger):
    journal = ledger.journal("run-1")
    assert journal.entries() == ()
    assert journal._connection is None


def test_a_closed_journal_can_be_closed_again_and_used_again(ledger):
    journal = ledger.journal("run-1")
    journal.append(an_entry(1))
    journal.close()
    journal.close()
    journal.append(an_entry(2))
    assert [entry.position for entry in journal.entries()] == [1, 2]
    journal.close()


def test_two_runs_do_not_see_each_other(ledger):
    with ledger.journal("run-1") as one, ledger.journal("run-2") as two:
        for position in range(1, 4):
            one.append(an_entry(position))
            two.append(an_entry(position * 10))
        assert [entry.position for entry in one.entries()] == [1, 2, 3]
        assert [entry.position for entry in two.entries()] == [10, 20, 30]


def test_the_ledger_is_written_while_a_journal_is_open(ledger):
    with ledger.journal("run-1") as journal:
        journal.append(an_entry(1))
        ledger.audit("something")
        journal.append(an_entry(2))
    assert ledger.verify_audit() == []


def test_entries_given_together_are_written_together_or_not_at_all(ledger):
    with ledger.journal("run-1") as journal:
        journal.append(an_entry(1))
        broken = msgspec.structs.replace(an_entry(3), position=None)
        with pytest.raises(LedgerError, match="could not be written"):
            journal.append(an_entry(2), broken)
        assert [entry.position for entry in journal.entries()] == [1]
        journal.append(an_entry(2), an_entry(3))
        assert [entry.position for entry in journal.entries()] == [1, 2, 3]


@pytest.mark.parametrize("round_", range(3))
def test_a_kill_9_loses_nothing_that_was_acknowledged(ledger, url, round_):
    process = start_process(url, APPEND_FOR_EVER)
    for _ in range(200 + 37 * round_):
        acknowledged = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
    process.communicate(timeout=30)
    entries = ledger.journal("run-1").entries()
    assert process.returncode == -signal.SIGKILL
    assert len(entries) in (2 * acknowledged, 2 * acknowledged + 2)
    assert [entry.kind for entry in entries] == ["done", "statement"] * (len(entries) // 2)
    assert [entry.position for entry in entries[::2]] == list(range(1, len(entries) // 2 + 1))
    with ledger.journal("run-1") as journal:
        journal.append(an_entry(1, "finished"))
    assert ledger.journal("run-1").entries()[-1].kind is EntryKind.FINISHED


def test_T15_a_journal_that_is_gone_stops_the_run(ledger, tamper):
    with ledger.journal("run-1") as journal:
        journal.append(an_entry(1))
        tamper("DROP TABLE ci_migrate_journal")
        with pytest.raises(LedgerError) as caught:
            journal.append(an_entry(2))
    assert "not touched" not in caught.value.state
    assert "ci-migrate repair" in caught.value.state


def test_a_connection_that_was_cut_is_told_and_mended(ledger, tamper, url):
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has no connection that could be cut")
    with ledger.journal("run-1") as journal:
        journal.append(an_entry(1))
        if url.get_backend_name() == "mysql":
            sessions = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
            for (session,) in tamper(sessions):
                tamper(f"KILL {session}")
        else:
            tamper(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'ci-migrate ledger' AND pid <> pg_backend_pid()"
            )
        with pytest.raises(LedgerError):
            journal.append(an_entry(2))
        journal.append(an_entry(3))
        assert [entry.position for entry in journal.entries()] == [1, 3]


def test_sqlite_an_append_is_fast(tmp_path):
    from sqlalchemy import URL

    with (
        open_ledger(URL.create("sqlite", database=str(tmp_path / "l")), create=True) as ledger,
        ledger.journal("run-1") as journal,
    ):
        batches = []
        for _ in range(10):
            start = time.perf_counter()
            for position in range(50):
                journal.append(an_entry(position))
            batches.append((time.perf_counter() - start) / 50)
    assert min(batches) < 0.000_3


# --------------------------------------------------------------------------- what of it another process sees


@on_sqlite
def test_an_entry_is_there_for_others_when_append_returns(ledger, url):
    """Who repairs has nothing else to go by."""
    with ledger.journal("run-1") as journal, open_ledger(url, create=False) as other:
        for position in range(1, 4):
            journal.append(an_entry(position), an_entry(position, "done", rows=position))
            seen = other.journal("run-1").entries()
            assert [(e.position, str(e.kind)) for e in seen[-2:]] == [
                (position, "statement"), (position, "done"),
            ]  # fmt: skip


@on_sqlite
def test_reading_holds_no_lock_that_the_next_statement_waits_for(ledger, url):
    with ledger.journal("run-1") as journal, open_ledger(url, create=False) as other:
        journal.append(an_entry(1))
        with other.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM ci_migrate_journal").scalar_one()
            journal.append(an_entry(2))
    assert len(ledger.journal("run-1").entries()) == 2


@on_sqlite
def test_nothing_to_write_is_nothing_written(ledger):
    with ledger.journal("run-1") as journal:
        journal.append()
        assert journal.entries() == ()


@on_sqlite
@pytest.mark.parametrize("field", ["revision", "note"])
@pytest.mark.parametrize(
    "text", ["", "größe 🚚", "a\x00b", "x" * 100_000, "'; DROP TABLE ci_migrate_journal --"]
)
def test_every_text_comes_back_as_it_was(ledger, field, text):
    with ledger.journal("run-1") as journal:
        journal.append(an_entry(1, **{field: text}))
        (entry,) = journal.entries()
    assert getattr(entry, field) == text


@on_sqlite
def test_times_and_counts_come_back_as_they_were(ledger):
    berlin = timezone(timedelta(hours=2))
    at = datetime(2026, 7, 1, 12, 0, 0, 1, tzinfo=berlin)
    with ledger.journal("run-1") as journal:
        journal.append(
            msgspec.structs.replace(an_entry(1, rows=0), at=at),
            an_entry(2**31 - 1, rows=2**31 - 1),
            an_entry(3, rows=None),
        )
        first, second, third = journal.entries()
    assert first.at == at
    assert (first.rows, second.rows, third.rows) == (0, 2**31 - 1, None)
    assert second.position == 2**31 - 1


@on_sqlite
def test_a_text_that_is_no_utf_8_is_told_and_nothing_of_it_is_written(ledger):
    with ledger.journal("run-1") as journal:
        with pytest.raises(LedgerError, match="not UTF-8"):
            journal.append(an_entry(1), an_entry(2, note="\udcff"))
        assert journal.entries() == ()
        journal.append(an_entry(1))
        assert [entry.position for entry in journal.entries()] == [1]


@on_sqlite
def test_while_another_one_writes_an_append_waits(ledger, url):
    """A server of jobs and a run share a ledger."""
    held, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with open_ledger(url, create=False) as other, other.writing() as connection:
            audit.append(connection, "slow", None, {})
            held.set()
            go_on.wait(30)

    writer = threading.Thread(target=write)
    writer.start()
    assert held.wait(30)
    with ledger.journal("run-1") as journal:
        timer = threading.Timer(0.2, go_on.set)
        timer.start()
        journal.append(an_entry(1), an_entry(2))
        assert go_on.is_set(), "it waited"
        assert [entry.position for entry in journal.entries()] == [1, 2]
    writer.join()
    assert ledger.verify_audit() == []
