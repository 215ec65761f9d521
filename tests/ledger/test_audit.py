import pytest
from ledger_support import finish, start_process

from ci_migrate.errors import LedgerError
from ci_migrate.model import Direction

APPEND = """
from ci_migrate.ledger.ledger import open_ledger
ledger = open_ledger(url, create=False)
print("ready", flush=True); sys.stdin.readline()
for number in range(25):
    ledger.audit("counted", args[0], number=number)
"""
COLUMNS = "at, kind, run_id, facts, previous, sha256"


@pytest.fixture
def trail(ledger):
    """Six records."""
    for number in range(1, 7):
        ledger.audit("counted", f"run-{number}", number=number, words="ünïcode 🚚")
    assert ledger.verify_audit() == []
    return ledger


def test_an_empty_trail_is_whole(ledger):
    assert ledger.verify_audit() == []
    assert ledger.audit_records() == ()


def test_records_tell_what_happened(ledger):
    ledger.audit("first", None, direction=Direction.UPGRADE, heads=("a", "b"), odd="\udcff\x00")
    ledger.audit("second", "run-2")
    first, second = ledger.audit_records()
    assert (first.sequence, first.kind, first.run_id) == (1, "first", None)
    assert first.facts == {"direction": "upgrade", "heads": ["a", "b"], "odd": "\\udcff\x00"}
    assert second.previous == first.sha256
    assert [record.kind for record in ledger.audit_records(limit=1)] == ["second"]


@pytest.mark.parametrize(
    "change",
    [
        "facts = replace(facts, '4', '5')",
        "kind = 'miscounted'",
        "run_id = 'run-9'",
        "run_id = NULL",
        "at = '2001-01-01T00:00:00.000000+00:00'",
        "sha256 = '0'",
    ],
)
def test_an_altered_record_is_named(trail, tamper, change):
    tamper(f"UPDATE ci_migrate_audit SET {change} WHERE sequence = 4")
    assert "record 4 was altered" in trail.verify_audit()


def test_an_altered_record_whose_hash_was_made_anew_is_found_by_the_next(trail, tamper):
    from ci_migrate.ledger.audit import _digest

    (record,) = [r for r in trail.audit_records() if r.sequence == 4]
    digest = _digest(record.previous, record.at, "forged", record.run_id, '{"number":4,"words":"x"}')
    tamper(
        "UPDATE ci_migrate_audit SET kind = 'forged', facts = :facts, sha256 = :digest WHERE sequence = 4",
        facts='{"number":4,"words":"x"}',
        digest=digest,
    )
    assert trail.verify_audit() == [
        "record 5 does not follow record 4: what it followed was altered or is missing"
    ]


def test_a_last_record_that_was_made_anew_is_found_by_the_head(trail, tamper):
    from ci_migrate.ledger.audit import _digest

    record = trail.audit_records()[-1]
    digest = _digest(record.previous, record.at, "forged", record.run_id, "{}")
    tamper(
        "UPDATE ci_migrate_audit SET kind = 'forged', facts = '{}', sha256 = :digest WHERE sequence = 6",
        digest=digest,
    )
    assert trail.verify_audit() == ["the last record is not the one that was written last"]


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("= 1", ["missing before record 2: 1", "1 missing: 6 were written, 5 are there"]),
        ("= 3", ["missing before record 4: 3", "1 missing: 6 were written, 5 are there"]),
        ("IN (3, 4)", ["missing before record 5: 3 to 4", "2 missing: 6 were written, 4 are there"]),
        ("= 6", ["1 missing: 6 were written, 5 are there"]),
        ("> 0", ["6 missing: 6 were written, 0 are there"]),
    ],
)
def test_missing_records_are_named(trail, tamper, gone, words):
    tamper(f"DELETE FROM ci_migrate_audit WHERE sequence {gone}")
    assert trail.verify_audit() == words


def test_a_missing_record_is_found_though_the_others_were_renumbered(trail, tamper):
    tamper("DELETE FROM ci_migrate_audit WHERE sequence = 3")
    for number in (4, 5, 6):
        tamper("UPDATE ci_migrate_audit SET sequence = :to WHERE sequence = :n", n=number, to=number - 1)
    assert trail.verify_audit() == [
        "record 3 does not follow record 2: what it followed was altered or is missing",
        "1 missing: 6 were written, 5 are there",
    ]


def test_records_in_another_order_are_named(trail, tamper):
    for of, to in ((3, 100), (4, 3), (100, 4)):
        tamper("UPDATE ci_migrate_audit SET sequence = :to WHERE sequence = :of", of=of, to=to)
    assert trail.verify_audit() == [
        "record 3 is out of order: it was written after record 4",
        "record 4 is out of order: it was written after record 2",
        "record 5 is out of order: it was written after record 3",
    ]


def test_a_record_that_was_put_at_the_end_is_counted(trail, tamper):
    tamper(f"INSERT INTO ci_migrate_audit (sequence, {COLUMNS}) SELECT 7, {COLUMNS} FROM ci_migrate_audit"
           " WHERE sequence = 2")  # fmt: skip
    assert trail.verify_audit() == [
        "record 7 is out of order: it was written after record 1",
        "1 too many: 6 were written, 7 are there",
    ]


def test_a_head_that_is_gone_is_told(trail, tamper):
    tamper("DELETE FROM ci_migrate_audit_head")
    assert trail.verify_audit() == ["the count of records is missing"]
    with pytest.raises(LedgerError):
        trail.audit("something")


def test_processes_that_append_at_once_do_not_fork_the_chain(ledger, url):
    processes = [start_process(url, APPEND, f"run-{number}") for number in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    finish(processes)
    assert ledger.verify_audit() == []
    records = ledger.audit_records(limit=1000)
    assert len(records) == 100
    for number in range(4):
        own = [record.facts["number"] for record in records if record.run_id == f"run-{number}"]
        assert own == list(range(25))
