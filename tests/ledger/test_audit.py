import pytest
from ledger_support import finish, on_sqlite, start_process

from ci_migrate.errors import LedgerError
from ci_migrate.ledger import audit
from ci_migrate.ledger.audit import START
from ci_migrate.model import Direction
from ci_migrate.settings.secrets import register_secret

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


# --------------------------------------------------------------------------- writing


@on_sqlite
def test_what_is_rolled_back_leaves_no_record_and_no_gap(ledger):
    ledger.audit("first")
    with pytest.raises(ZeroDivisionError), ledger.writing() as connection:
        assert audit.append(connection, "never", None, {}) == 2
        raise ZeroDivisionError
    with ledger.writing() as connection:
        assert audit.append(connection, "second", None, {}) == 2
    assert [(r.sequence, r.kind) for r in ledger.audit_records()] == [(1, "first"), (2, "second")]
    assert ledger.verify_audit() == []


@on_sqlite
def test_several_records_at_once_are_a_chain_in_their_order(ledger):
    ledger.audit("before")
    with ledger.writing() as connection:
        assert audit.append_all(connection, "counted", "run-1", [{"n": n} for n in range(3)]) == 4
        assert audit.append(connection, "after", None, {}) == 5
    before, *counted, after = ledger.audit_records()
    assert before.previous == START
    assert [(r.sequence, r.run_id, r.facts) for r in counted] == [
        (n + 2, "run-1", {"n": n}) for n in range(3)
    ]
    assert len({r.at for r in counted}) == 1, "one time for all"
    assert [r.previous for r in (*counted, after)] == [r.sha256 for r in (before, *counted)]
    assert ledger.verify_audit() == []
    with ledger.reading() as connection:
        assert audit.facts_of(connection, "counted") == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert audit.facts_of(connection, "never") == []


@on_sqlite
def test_no_secret_gets_into_the_trail_however_deep_it_stands(ledger, tamper):
    register_secret("hunter2-4711")
    ledger.audit("x", None, url="postgresql://ana:hunter2-4711@db/shop", deep=[{"of": ["a hunter2-4711 b"]}])
    assert "hunter2" not in str(tamper("SELECT * FROM ci_migrate_audit"))
    (record,) = ledger.audit_records()
    assert record.facts["url"] == "postgresql://ana:***@db/shop"
    assert ledger.verify_audit() == [], "the hash is of what was written"


@on_sqlite
def test_the_last_records_are_told_oldest_first(ledger):
    for number in range(5):
        ledger.audit("counted", None, number=number)
    assert [r.facts["number"] for r in ledger.audit_records(limit=2)] == [3, 4]
    assert [r.facts["number"] for r in ledger.audit_records(limit=99)] == [0, 1, 2, 3, 4]


# --------------------------------------------------------------------------- what an altered trail is told as


@on_sqlite
@pytest.mark.parametrize(
    ("change", "words"),
    [
        # the first record again, as the fourth
        ("UPDATE ci_migrate_audit SET previous = :start WHERE sequence = 4",
         ["record 4 was altered", "record 4 is out of order: it was written as the first"]),
        ("UPDATE ci_migrate_audit SET previous = :nobody WHERE sequence = 1",
         ["record 1 was altered",
          "record 1 does not follow nothing: what it followed was altered or is missing"]),
        ("UPDATE ci_migrate_audit SET sequence = 9 WHERE sequence = 6",
         ["record 9 was given another number: 6 is missing"]),
        ("UPDATE ci_migrate_audit SET sequence = 0 WHERE sequence = 1",
         ["record 0 was given another number: 1 is missing",
          "record 2 was given another number: 1 is missing"]),
        ("UPDATE ci_migrate_audit_head SET records = 5", ["1 too many: 5 were written, 6 are there"]),
        ("UPDATE ci_migrate_audit_head SET records = 8", ["2 missing: 8 were written, 6 are there"]),
        ("UPDATE ci_migrate_audit_head SET sha256 = :nobody",
         ["the last record is not the one that was written last"]),
    ],
)  # fmt: skip
def test_each_way_to_alter_it_has_its_own_words(trail, tamper, change, words):
    names = {"start": START, "nobody": "f" * 64}
    tamper(change, **{name: value for name, value in names.items() if f":{name}" in change})
    assert trail.verify_audit() == words


@on_sqlite
def test_an_empty_trail_whose_head_was_forged_is_not_whole(ledger, tamper):
    tamper("UPDATE ci_migrate_audit_head SET sha256 = :sha", sha="f" * 64)
    assert ledger.verify_audit() == ["the last record is not the one that was written last"]


@on_sqlite
def test_what_follows_an_altered_head_is_found_too(trail, tamper):
    """The next record is chained to the forged hash; no record that is there has it."""
    tamper("UPDATE ci_migrate_audit_head SET sha256 = :sha", sha="f" * 64)
    trail.audit("counted")
    assert trail.verify_audit() == [
        "record 7 does not follow record 6: what it followed was altered or is missing"
    ]


# --------------------------------------------------------------------------- what is read of it


def test_who_asked_for_a_plan_is_told_of_that_plan_alone(ledger):
    one, other = "1" * 64, "2" * 64
    for digest, by in ((one, "ana"), (one, "größe 🚚"), (one, "ana"), (other, "eve")):
        ledger.note_request(None, plan_digest=digest, direction="upgrade", by=by)
    ledger.audit(
        "token generated", None, planDigest=one, by="ben"
    )  # tells of the plan, and asked for nothing
    assert ledger.requesters(one) == {"ana", "größe 🚚"}
    assert ledger.requesters(other) == {"eve"}
    assert ledger.requesters("3" * 64) == frozenset()
    for wild in ("%", "1%", "_" * 64, "", "1" * 63, '1"'):
        assert ledger.requesters(wild) == frozenset(), "a digest is no pattern"


@on_sqlite
def test_F28_who_asked_is_not_who_names_a_plan_in_another_field(ledger):
    """A command is a text of the asker's: what it quotes is not the plan that was asked for."""
    ledger.note_request(
        None, plan_digest="1" * 64, direction="restore", by="eve", command=f'"planDigest":"{"2" * 64}"'
    )
    assert ledger.requesters("2" * 64) == frozenset()


def asks(ledger, digest: str, command: str = "ci-migrate approve", by: str = "ana") -> None:
    ledger.note_request(None, plan_digest=digest * 64, direction="restore", by=by, command=command)


def opened(ledger, **how: int) -> list[str]:
    return [facts["planDigest"][0] for facts in ledger.open_requests(**how)]


def test_open_requests_are_those_that_nobody_answered_newest_first(ledger):
    for digest in "abcde":
        asks(ledger, digest)
    ledger.audit("approval denied", None, denied="b" * 64, by="ben")
    ledger.audit("token generated", None, approval={"planDigest": "c" * 64})
    ledger.audit("token reserved", "run-1", planDigest="d" * 64)
    ledger.audit("token revoked", None, planDigest="e" * 64)  # which is no answer: it is still wanted
    assert opened(ledger) == ["e", "a"]
    assert opened(ledger, limit=1) == ["e"]
    asks(ledger, "b")
    assert opened(ledger) == ["b", "e", "a"], "who asks again after an answer waits again"


@on_sqlite
def test_a_plan_that_was_asked_for_twice_stands_there_once_as_it_was_asked_last(ledger):
    asks(ledger, "a", "first")
    asks(ledger, "b")
    asks(ledger, "a", "second", by="ben")
    found = ledger.open_requests()
    assert [(facts["planDigest"][0], facts["command"], facts["by"]) for facts in found] == [
        ("a", "second", "ben"), ("b", "ci-migrate approve", "ana"),
    ]  # fmt: skip


@on_sqlite
def test_requests_of_runs_name_no_command_and_are_not_listed(ledger):
    """A run that waits for its approval is found by its own state."""
    ledger.note_request("run-1", plan_digest="a" * 64, direction="upgrade", by="ana")
    assert ledger.open_requests() == ()
    assert ledger.requesters("a" * 64) == {"ana"}


@on_sqlite
def test_who_asked_very_long_ago_asks_again(ledger, monkeypatch):
    monkeypatch.setattr(audit, "_LOOKED_AT", 3)
    for digest in "abcd":
        asks(ledger, digest)
    assert opened(ledger) == ["d", "c", "b"]


@on_sqlite
def test_reasons_are_told_of_the_runs_that_have_one(ledger):
    for run_id, reason in (("run-1", "incident 42"), ("run-2", ""), ("run-3", None), ("run-4", "größe 🚚")):
        ledger.audit(audit.REASON, run_id, reason=reason)
    ledger.audit(audit.REASON, "run-5")
    ledger.audit("something else", "run-6", reason="not why it was asked for")
    ids = [f"run-{n}" for n in range(1, 7)]
    assert ledger.reasons(ids) == {"run-1": "incident 42", "run-4": "größe 🚚"}
    assert ledger.reasons(["run-4", "nobody"]) == {"run-4": "größe 🚚"}
    assert ledger.reasons([]) == {}


@on_sqlite
def test_the_place_of_notes_is_the_one_that_was_pinned_last(ledger):
    assert ledger.notes_place() is None
    ledger.pin_notes("run-1", "/srv/backups")
    ledger.pin_notes(None, "s3://notes/ünïcode")
    ledger.audit("something else", None, place="/elsewhere")
    assert ledger.notes_place() == "s3://notes/ünïcode"
    assert [r.run_id for r in ledger.audit_records() if r.kind == audit.NOTES] == ["run-1", None]
