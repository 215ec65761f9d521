"""What the ledger keeps has names that older ledgers hold too: they never change."""

import msgspec
import pytest

from ci_migrate.model import EntryKind, JournalEntry, RunRecord, now


def test_kinds_of_entries_are_words_of_every_ledger_there_is():
    assert {kind.value for kind in EntryKind} >= {
        "session", "statement", "done", "failed", "committing", "committed", "stamped", "finished", "resumed",
        "restoring", "restored", "undo", "undone",
    }  # fmt: skip
    assert max(len(kind.value) for kind in EntryKind) <= 16, "what the column holds"


@pytest.mark.parametrize("kind", EntryKind)
def test_an_entry_comes_back_as_it_was(kind):
    entry = JournalEntry(kind=kind, position=1, context=0, at=now(), note="ünïcode 🚚", rows=0)
    assert msgspec.json.decode(msgspec.json.encode(entry), type=JournalEntry) == entry


def test_a_run_that_has_just_begun_needs_no_repair():
    fresh = RunRecord(run_id="r", target="t", command="run", started=now())
    assert (fresh.phase, fresh.needs_repair, fresh.finished, fresh.exit_code) == (
        "started",
        False,
        None,
        None,
    )
    with pytest.raises(AttributeError):
        fresh.phase = "finished"
