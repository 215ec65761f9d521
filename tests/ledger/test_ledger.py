from datetime import UTC, datetime, timedelta

import pytest
from ledger_support import a_plan, a_run, some_evidence

from ci_migrate.errors import LedgerError
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.model import (
    Finding,
    Fingerprint,
    Identity,
    Outcome,
    Severity,
    StageResult,
    Statement,
    TargetState,
)

IDENTITY = Identity(
    dialect="postgresql", place="db:5432/shop", facts={"host": "db", "oid": "16384", "database": "shop"}
)


def test_the_clock_is_the_databases_in_utc(ledger, tamper):
    told = ledger.clock()
    assert told.tzinfo == UTC
    assert abs(datetime.now(UTC) - told) < timedelta(seconds=30)


# --------------------------------------------------------------------------- identity


def test_nothing_differs_before_an_identity_is_pinned(ledger):
    assert ledger.identity_differences(IDENTITY) == []


def test_each_fact_that_differs_is_named(ledger):
    ledger.pin_identity(IDENTITY)
    other = Identity(
        dialect="postgresql",
        place="elsewhere",
        facts={"host": "db2", "oid": "16384", "system_identifier": "7"},
    )
    assert ledger.identity_differences(IDENTITY) == []
    assert ledger.identity_differences(other) == [
        "database was shop, is unknown",
        "host was db, is db2",
        "system_identifier was unknown, is 7",
    ]


def test_the_place_that_people_read_is_no_fact(ledger):
    ledger.pin_identity(IDENTITY)
    renamed = Identity(dialect="postgresql", place="an alias", facts=IDENTITY.facts)
    assert ledger.identity_differences(renamed) == []


def test_an_identity_is_pinned_once_unless_replaced(ledger, url):
    other = Identity(dialect="postgresql", place="db:5432/shop", facts={**IDENTITY.facts, "oid": "20000"})
    ledger.pin_identity(IDENTITY)
    ledger.pin_identity(other)
    assert ledger.identity_differences(other) == ["oid was 16384, is 20000"]
    ledger.pin_identity(other, replace=True)
    with open_ledger(url, create=False) as again:
        assert again.identity_differences(other) == []
        assert again.uuid == ledger.uuid
        assert [record.kind for record in again.audit_records()] == ["identity pinned", "identity pinned"]


# --------------------------------------------------------------------------- runs


def test_a_run_comes_back_as_it_was(ledger, plan):
    run = a_run(plan=plan, before=Fingerprint(objects={"table ünïcode 🚚": "aa"}), backup_id="backup_1")
    ledger.begin_run(run)
    assert ledger.run("run-1") == run
    assert ledger.run("run-2") is None


def test_a_run_that_is_there_is_not_overwritten(ledger):
    ledger.begin_run(a_run(actor="ana"))
    with pytest.raises(LedgerError, match="could not be written"):
        ledger.begin_run(a_run(actor="bo"))
    assert ledger.run("run-1").actor == "ana"


def test_fields_of_a_run_change_by_name(ledger, plan):
    ledger.begin_run(a_run())
    before = Fingerprint(objects={"table a": "1"})
    ledger.update_run("run-1", phase="migrating", plan=plan, before=before, backup_id="b")
    assert ledger.run("run-1") == a_run(phase="migrating", plan=plan, before=before, backup_id="b")


def test_a_run_that_is_not_there_can_not_change(ledger):
    with pytest.raises(LedgerError, match="knows no run run-9"):
        ledger.update_run("run-9", phase="migrating")
    with pytest.raises(LedgerError, match="knows no run run-9"):
        ledger.finish_run("run-9", 0, None)


def test_a_field_that_is_not_there_is_a_mistake_of_the_caller(ledger):
    ledger.begin_run(a_run())
    with pytest.raises(TypeError, match="no phaze"):
        ledger.update_run("run-1", phaze="migrating")


def test_a_finished_run_says_when_and_how(ledger):
    ledger.begin_run(a_run())
    ledger.finish_run("run-1", 0, TargetState.MIGRATED)
    run = ledger.run("run-1")
    assert (run.exit_code, run.state, run.phase, run.needs_repair) == (0, "migrated", "finished", False)
    assert abs(run.finished - ledger.clock()) < timedelta(seconds=30)


def test_runs_are_listed_newest_first(ledger):
    start = a_run().started
    for number in (2, 1, 3):
        ledger.begin_run(a_run(f"run-{number}", started=start + timedelta(minutes=number)))
    assert [run.run_id for run in ledger.runs()] == ["run-3", "run-2", "run-1"]
    assert [run.run_id for run in ledger.runs(limit=2)] == ["run-3", "run-2"]


@pytest.mark.parametrize(
    ("phase", "unfinished"),
    [("started", False), ("migrating", True), ("repairing", True), ("finished", False)],
)
def test_a_killed_run_is_unfinished_only_if_it_may_have_touched_the_target(ledger, phase, unfinished):
    ledger.begin_run(a_run())
    ledger.update_run("run-1", phase=phase)
    found = ledger.unfinished("production")
    assert (found is not None) is unfinished
    assert ledger.unfinished("staging") is None


@pytest.mark.parametrize(
    ("state", "needs_repair", "unfinished"),
    [
        (TargetState.MIGRATED, None, False),
        (TargetState.AS_BEFORE, None, False),
        (TargetState.KEPT_PREFIX, None, False),
        (TargetState.UNKNOWN, None, True),
        ("unknown", None, True),
        (TargetState.KEPT_PREFIX, True, True),
        (TargetState.UNKNOWN, False, False),
        (None, None, False),
    ],
)
def test_a_finished_run_is_unfinished_if_it_needs_repair(ledger, state, needs_repair, unfinished):
    ledger.begin_run(a_run(phase="migrating"))
    ledger.finish_run("run-1", 7, state, needs_repair=needs_repair)
    assert (ledger.unfinished("production") is not None) is unfinished


def test_the_newest_unfinished_run_is_the_one_and_can_be_settled(ledger):
    start = a_run().started
    for number in (1, 2):
        started = start + timedelta(minutes=number)
        ledger.begin_run(a_run(f"run-{number}", started=started, phase="migrating"))
    assert ledger.unfinished("production").run_id == "run-2"
    ledger.finish_run("run-2", 6, TargetState.AS_BEFORE)
    assert ledger.unfinished("production").run_id == "run-1"


# --------------------------------------------------------------------------- stages and evidence


def test_stages_come_back_in_order(ledger, plan):
    finding = Finding(code="CM101", name="single-head", severity=Severity.ERROR, message="two heads")
    results = (
        StageResult(stage="check", outcome=Outcome.PASSED, plan=plan, findings=(finding,)),
        StageResult(stage="dry-run", outcome=Outcome.PASSED, evidence=some_evidence()),
        StageResult(stage="approve", outcome=Outcome.SKIPPED, message="not production"),
    )
    for result in results:
        ledger.record_stage("run-1", result)
    assert ledger.stages("run-1") == results
    assert ledger.stages("run-2") == ()


def test_text_that_fits_into_no_json_is_kept_readable(ledger):
    hostile = "nul \x00, escape \x1b, surrogate \udcff, \ufffe, ]]>"
    ledger.record_stage("run-1", StageResult(stage="check", outcome=Outcome.ERROR, message=hostile))
    (result,) = ledger.stages("run-1")
    assert result.message == hostile.replace("\udcff", "\\udcff")


def test_the_evidence_of_many_revisions_takes_little_room(ledger, tamper):
    statements = tuple(
        Statement(
            position=n, context=0, revision=f"{n:012x}", file=f"versions/{n}.py", line=9, digest=f"{n:064x}",
            sql=f"ALTER TABLE table_{n % 50} ADD COLUMN column_{n} VARCHAR(255) NOT NULL", seconds=n / 7, rows=None,
        )
        for n in range(5000)
    )  # fmt: skip
    result = StageResult(
        stage="dry-run", outcome=Outcome.PASSED, evidence=some_evidence(statements=statements)
    )
    ledger.record_stage("run-1", result)
    assert ledger.stages("run-1") == (result,)
    assert tamper("SELECT length(result) FROM ci_migrate_stages")[0][0] < 200_000


def passed(**changes: object) -> StageResult:
    return StageResult(stage="dry-run", outcome=Outcome.PASSED, evidence=some_evidence(**changes))


def test_evidence_is_found_again_by_the_plan(ledger, plan):
    ledger.begin_run(a_run("run-1", plan=plan))
    ledger.begin_run(a_run("run-2"))
    ledger.begin_run(a_run("other", plan=a_plan(destination="3333")))
    ledger.update_run("run-2", plan=plan)
    ledger.record_stage("run-1", passed(stream_digest="one"))
    ledger.record_stage("run-2", passed(stream_digest="two"))
    ledger.record_stage("other", passed(stream_digest="other"))
    run_id, evidence = ledger.latest_evidence(plan.digest, timedelta(hours=24))
    assert (run_id, evidence.stream_digest) == ("run-2", "two")
    assert ledger.latest_evidence("0" * 64, timedelta(hours=24)) is None


def test_evidence_of_a_dry_run_that_said_no_is_no_evidence(ledger, plan):
    ledger.begin_run(a_run(plan=plan))
    ledger.record_stage(
        "run-1", StageResult(stage="dry-run", outcome=Outcome.FAILED, evidence=some_evidence())
    )
    ledger.record_stage("run-1", StageResult(stage="check", outcome=Outcome.PASSED, evidence=some_evidence()))
    assert ledger.latest_evidence(plan.digest, timedelta(hours=24)) is None


def test_evidence_that_is_too_old_is_not_reused(ledger, plan, tamper):
    ledger.begin_run(a_run(plan=plan))
    ledger.record_stage("run-1", passed())
    old = (ledger.clock() - timedelta(hours=2)).isoformat(timespec="microseconds")
    tamper("UPDATE ci_migrate_stages SET recorded = :old", old=old)
    assert ledger.latest_evidence(plan.digest, timedelta(hours=1)) is None
    assert ledger.latest_evidence(plan.digest, timedelta(hours=3)) is not None


# --------------------------------------------------------------------------- when it fails


def test_a_record_of_another_version_is_told_and_no_traceback(ledger, tamper):
    from backports import zstd

    ledger.record_stage("run-1", StageResult(stage="check", outcome=Outcome.PASSED))
    tamper("UPDATE ci_migrate_stages SET result = :it", it=zstd.compress(b'{"outcome": "delayed"}'))
    with pytest.raises(LedgerError, match="this version can't read"):
        ledger.stages("run-1")


def test_a_damaged_record_is_told_and_no_traceback(ledger, tamper):
    ledger.record_stage("run-1", StageResult(stage="check", outcome=Outcome.PASSED))
    tamper("UPDATE ci_migrate_stages SET result = :it", it=b"rubbish")
    with pytest.raises(LedgerError, match="this version can't read"):
        ledger.stages("run-1")


def test_a_transaction_that_raises_leaves_nothing(ledger):
    with pytest.raises(ZeroDivisionError), ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE ci_migrate_audit_head SET records = 99")
        raise ZeroDivisionError
    assert ledger.verify_audit() == []
