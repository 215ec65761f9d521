from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from ledger_support import a_plan, a_run, on_sqlite, some_evidence
from sqlalchemy import make_url

from ci_migrate.errors import LedgerError
from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.model import (
    Backup,
    Direction,
    Finding,
    Fingerprint,
    Identity,
    Outcome,
    Plan,
    Revision,
    Severity,
    StageResult,
    Statement,
    TargetState,
)
from ci_migrate.settings.secrets import register_secret

IDENTITY = Identity(
    dialect="postgresql", place="db:5432/shop", facts={"host": "db", "oid": "16384", "database": "shop"}
)

RESTORED = Identity(dialect="postgresql", place="db:5432/shop", facts={**IDENTITY.facts, "oid": "20000"})
STRANGER = Identity(dialect="postgresql", place="db9:5432/shop", facts={**IDENTITY.facts, "host": "db9"})


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


@pytest.mark.parametrize("found", [RESTORED, STRANGER, None])
def test_F3_a_database_keeps_its_id_when_it_gets_another_oid(ledger, found):
    ledger.pin_identity(IDENTITY)
    ledger.begin_run(a_run(phase="migrating"), IDENTITY)
    before = ledger.database_id(IDENTITY)
    assert ledger.known_keys(IDENTITY) == {IDENTITY.key}
    assert ledger.database_id(found) == before, "even before anybody wrote the new key down"
    if found is not None:
        assert ledger.known_keys(found) == {found.key}, "backups are not counted by a guess"
        ledger.pin_identity(found, replace=True)
        assert ledger.known_keys(found) == ledger.known_keys(IDENTITY) == {IDENTITY.key, found.key}
    assert ledger.known_keys(None) == ledger.known_keys(IDENTITY)
    assert ledger.unfinished(ledger.database_id(found)).run_id == "run-1"


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


def test_F106_runs_are_listed_in_the_order_in_which_they_began_whatever_the_clock_said(ledger):
    start = a_run().started
    for number in (2, 1, 3):
        ledger.begin_run(a_run(f"run-{number}", started=start + timedelta(minutes=number)))
    found = ledger.history(ledger.uuid)
    assert [run.run_id for run in found] == ["run-3", "run-1", "run-2"]
    assert [run.run_id for run in ledger.history(ledger.uuid, limit=2)] == ["run-3", "run-1"]


@pytest.mark.parametrize(
    ("phase", "unfinished"),
    [("started", False), ("migrating", True), ("repairing", True), ("finished", False)],
)
def test_a_killed_run_is_unfinished_only_if_it_may_have_touched_the_target(ledger, phase, unfinished):
    ledger.begin_run(a_run())
    ledger.update_run("run-1", phase=phase)
    found = ledger.unfinished(ledger.uuid)
    assert (found is not None) is unfinished
    assert ledger.unfinished("another database") is None


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
    assert (ledger.unfinished(ledger.uuid) is not None) is unfinished


def test_the_newest_unfinished_run_is_the_one_and_can_be_settled(ledger):
    start = a_run().started
    for number in (1, 2):
        started = start + timedelta(minutes=number)
        ledger.begin_run(a_run(f"run-{number}", started=started, phase="migrating"))
    assert ledger.unfinished(ledger.uuid).run_id == "run-2"
    ledger.finish_run("run-2", 6, TargetState.AS_BEFORE)
    assert ledger.unfinished(ledger.uuid).run_id == "run-1"


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


def checked(plan: Plan) -> StageResult:
    return StageResult(stage="check", outcome=Outcome.PASSED, plan=plan)


def test_a_rehearsal_is_found_again_by_its_plan(ledger, plan):
    for run_id, its_plan in (("run-1", plan), ("run-2", plan), ("other", a_plan(destination="3333"))):
        ledger.begin_run(a_run(run_id))
        ledger.record_stage(run_id, checked(its_plan))
        ledger.record_stage(run_id, passed(stream_digest=run_id))
    day = timedelta(hours=24)
    assert ledger.rehearsed(ledger.uuid, plan.digest, day) == "run-2"
    assert ledger.evidence("run-2").stream_digest == "run-2"
    assert ledger.rehearsed(ledger.uuid, "0" * 64, day) is None
    assert ledger.rehearsed("another database", plan.digest, day) is None


def test_evidence_of_a_dry_run_that_said_no_is_no_evidence(ledger, plan):
    ledger.begin_run(a_run(plan=plan))
    ledger.record_stage("run-1", checked(plan))
    no = StageResult(stage="dry-run", outcome=Outcome.FAILED, evidence=some_evidence())
    ledger.record_stage("run-1", no)
    assert ledger.rehearsed(ledger.uuid, plan.digest, timedelta(hours=24)) is None
    assert ledger.evidence("run-1") is None


def test_evidence_that_is_too_old_is_not_reused(ledger, plan, tamper):
    ledger.begin_run(a_run(plan=plan))
    ledger.record_stage("run-1", checked(plan))
    ledger.record_stage("run-1", passed())
    old = (ledger.clock() - timedelta(hours=2)).isoformat(timespec="microseconds")
    tamper("UPDATE ci_migrate_rehearsals SET recorded = :old", old=old)
    assert ledger.rehearsed(ledger.uuid, plan.digest, timedelta(hours=1)) is None
    assert ledger.rehearsed(ledger.uuid, plan.digest, timedelta(hours=3)) == "run-1"


def test_F106_evidence_of_a_clock_that_was_ahead_is_not_young_for_ever(ledger, plan, tamper):
    ledger.begin_run(a_run(plan=plan))
    ledger.record_stage("run-1", checked(plan))
    ledger.record_stage("run-1", passed())
    ahead = (ledger.clock() + timedelta(days=3)).isoformat(timespec="microseconds")
    tamper("UPDATE ci_migrate_rehearsals SET recorded = :ahead", ahead=ahead)
    assert ledger.rehearsed(ledger.uuid, plan.digest, timedelta(hours=1)) is None


def test_F4_backups_stay_proven_however_many_runs_follow(ledger, plan):
    ledger.begin_run(a_run("first"))
    for stage in (checked(plan), took("backup_1"), passed()):
        ledger.record_stage("first", stage)
    for number in range(250):
        ledger.begin_run(a_run(f"run-{number}"))
    assert ledger.proven(ledger.uuid, ["backup_1", "backup_2"]) == {"backup_1"}
    assert ledger.proven("another database", ["backup_1"]) == frozenset()


def test_a_backup_that_was_not_found_equal_is_not_proven(ledger, plan):
    ledger.begin_run(a_run())
    for stage in (checked(plan), took("backup_1"), passed(proven=False)):
        ledger.record_stage("run-1", stage)
    assert ledger.proven(ledger.uuid, ["backup_1"]) == frozenset()


def took(backup_id: str) -> StageResult:
    backup = Backup(backup_id=backup_id, backup_path="/b", backup_time=a_run().started)
    return StageResult(stage="backup", outcome=Outcome.PASSED, backup=backup)


# --------------------------------------------------------------------------- what changed the database


def migrated(ledger: Ledger, run_id: str, plan: Plan, state: str = "migrated") -> None:
    ledger.begin_run(a_run(run_id))
    ledger.update_run(run_id, plan=plan, phase="migrating")
    ledger.finish_run(run_id, 0, state)


def revision_plan(*ids: str, down: bool = False) -> Plan:
    revisions = tuple(Revision(id=i, file=f"{i}.py", sha256=i[0] * 64, message="") for i in ids)
    return a_plan(revisions=revisions, direction=Direction.DOWNGRADE if down else Direction.UPGRADE)


def test_F4_the_last_migration_is_found_under_any_number_of_runs_without_one(ledger, plan):
    migrated(ledger, "the one", plan)
    for number in range(250):
        ledger.begin_run(a_run(f"run-{number}"))
        ledger.finish_run(f"run-{number}", 0, TargetState.UNTOUCHED)
    assert [run.run_id for run in ledger.changes(ledger.uuid)] == ["the one"]


@pytest.mark.parametrize(
    ("state", "counts"),
    [("migrated", True), ("partly migrated", True), ("unknown", True), ("restored by hand", True),
     ("untouched", False), ("as before, proved", False), (None, False)],
)  # fmt: skip
def test_what_left_the_target_as_it_was_is_no_change(ledger, plan, state, counts):
    migrated(ledger, "run-1", plan, state)
    assert bool(list(ledger.changes(ledger.uuid))) is counts


def test_many_changes_are_read_page_by_page(ledger, plan):
    for number in range(120):
        migrated(ledger, f"run-{number}", plan)
    found = [run.run_id for run in ledger.changes(ledger.uuid)]
    assert found == [f"run-{number}" for number in reversed(range(120))]
    assert ledger.later_change("run-7").run_id == "run-8"
    assert ledger.later_change("run-119") is None


def test_applied_files_are_those_of_the_last_run_through_each_revision(ledger):
    migrated(ledger, "run-1", revision_plan("a1", "b1"))
    migrated(ledger, "run-2", revision_plan("b1", down=True))
    migrated(ledger, "failed", revision_plan("c1"), state="as before, proved")
    assert ledger.applied_files(ledger.uuid) == {"a1": "a" * 64}
    migrated(ledger, "run-3", revision_plan("b1"))
    assert ledger.applied_files(ledger.uuid) == {"a1": "a" * 64, "b1": "b" * 64}
    assert ledger.applied_files("another database") == {}
    assert ledger.applying(ledger.uuid, "b1").run_id == "run-3"
    assert ledger.applying(ledger.uuid, "c1").run_id == "failed"
    assert ledger.applying(ledger.uuid, "d1") is None


def test_each_plan_is_looked_at_once(ledger):
    for number in range(3):
        migrated(ledger, f"run-{number}", revision_plan("a1"))
    migrated(ledger, "other", revision_plan("b1"))
    assert [run.run_id for run in ledger.plans(ledger.uuid)] == ["other", "run-2"]


# --------------------------------------------------------------------------- what a stage leaves behind


@on_sqlite
def test_no_secret_of_a_stage_is_kept_and_what_it_proves_stays(ledger, tamper):
    register_secret("hunter2-4711")
    words = "password=hunter2-4711"
    result = StageResult(
        stage="migrate", outcome=Outcome.ERROR, message=words, details=words, sql=f"CREATE USER x IDENTIFIED BY '{words}'",
        evidence=some_evidence(stream_digest="hunter2-4711"),
    )  # fmt: skip
    ledger.record_stage("run-1", result)
    (kept,) = ledger.stages("run-1")
    assert "hunter2" not in kept.message + kept.details + kept.sql
    assert kept.evidence == result.evidence, "a digest in which it stands by chance is compared later"


@on_sqlite
def test_the_trail_tells_of_each_stage_that_did_something(ledger):
    for outcome in Outcome:
        ledger.record_stage(
            "run-1", StageResult(stage=f"stage-{outcome.value}", outcome=outcome, exit_code=3)
        )
    told = {r.facts["stage"]: r.facts for r in ledger.audit_records()}
    assert told.keys() == {f"stage-{outcome.value}" for outcome in Outcome if outcome is not Outcome.SKIPPED}
    assert told["stage-failed"] == {"stage": "stage-failed", "outcome": "failed", "exitCode": 3}


@on_sqlite
def test_evidence_of_another_stage_is_no_rehearsal(ledger, plan):
    """`verify` measures too, on the target: nothing was rehearsed then, and no backup proven."""
    ledger.begin_run(a_run(plan=plan))
    for result in (
        checked(plan), took("backup_1"), StageResult(stage="verify", outcome=Outcome.PASSED, evidence=some_evidence()),
        StageResult(stage="dry-run", outcome=Outcome.PASSED),
    ):  # fmt: skip
        ledger.record_stage("run-1", result)
    assert ledger.proven(ledger.uuid, ["backup_1"]) == frozenset()
    assert ledger.rehearsed(ledger.uuid, plan.digest, timedelta(hours=1)) is None


@on_sqlite
def test_a_rehearsal_without_a_backup_proves_none(ledger, plan):
    """`dry-run` on an older backup or an empty scratch copy."""
    ledger.begin_run(a_run(plan=plan))
    ledger.record_stage(
        "run-1",
        StageResult(stage="dry-run", outcome=Outcome.PASSED, plan=plan, evidence=some_evidence()),
    )
    assert ledger.rehearsed(ledger.uuid, plan.digest, timedelta(hours=1)) == "run-1", "its own plan counts"
    assert ledger.proven(ledger.uuid, ["backup_1"]) == frozenset()


@on_sqlite
def test_the_first_evidence_of_a_run_is_what_was_approved(ledger):
    """A run that is gone on with records the stage once more."""
    ledger.begin_run(a_run())
    for digest in ("first", "second"):
        ledger.record_stage("run-1", passed(stream_digest=digest))
    assert ledger.evidence("run-1").stream_digest == "first"


# --------------------------------------------------------------------------- transactions and places


def test_what_is_read_in_one_transaction_is_of_one_moment(ledger, url):
    """Otherwise a run that ends in between is in one list and missing in the other."""
    ledger.audit("first")
    with open_ledger(url, create=False) as other, other.reading() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM ci_migrate_audit").scalar_one()
        ledger.audit("second")
        again = connection.exec_driver_sql("SELECT count(*) FROM ci_migrate_audit").scalar_one()
    assert (before, again) == (1, 1)
    assert len(ledger.audit_records()) == 2


@on_sqlite
def test_who_only_reads_keeps_nobody_from_writing(ledger, url):
    with open_ledger(url, create=False) as other, other.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM ci_migrate_audit").scalar_one()
        ledger.audit("written")
    assert [r.kind for r in ledger.audit_records()] == ["written"]


@on_sqlite
def test_a_closed_ledger_opens_again_when_it_is_used(ledger, tmp_path):
    """Whoever waits for hours, as for an approval, closes it meanwhile."""
    ledger.audit("first")
    ledger.close()
    ledger.close()
    assert not (tmp_path / "state.db-wal").exists(), "nobody has it open"
    ledger.audit("second")
    assert len(ledger.audit_records()) == 2


@on_sqlite
def test_it_says_where_it_is_and_where_marks_can_be_left(ledger, url):
    assert ledger.place == url.database
    assert repr(ledger) == f"Ledger({url.database})"
    assert ledger.marks_in(make_url("sqlite:///app.db")) is None


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_mysql_a_ledger_beside_its_target_takes_its_marks(url):
    """Elsewhere a transaction reaches one database only."""
    with open_ledger(url, create=True) as ledger:
        assert ledger.marks_in(url.set(drivername="mysql+aiomysql", database="shop")) == url.database
        assert ledger.marks_in(url.set(host="elsewhere", database="shop")) is None


@on_sqlite
def test_runs_that_begin_at_once_have_an_order_and_each_is_there(ledger):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: ledger.begin_run(a_run(f"run-{n}")), range(12)))
    begun = [r.run_id for r in ledger.audit_records(1000) if r.kind == "run started"]
    assert [run.run_id for run in ledger.history(ledger.uuid)] == begun[::-1]
    assert sorted(begun) == sorted(f"run-{n}" for n in range(12))


@on_sqlite
def test_a_run_that_could_not_be_written_left_no_record_that_it_began(ledger):
    ledger.begin_run(a_run())
    with pytest.raises(LedgerError):
        ledger.begin_run(a_run())
    assert [r.kind for r in ledger.audit_records()] == ["run started"]
    with pytest.raises(LedgerError):
        ledger.finish_run("nobody", 0, TargetState.MIGRATED)
    assert [r.kind for r in ledger.audit_records()] == ["run started"]


@on_sqlite
def test_no_fields_are_no_change_and_no_mistake(ledger):
    ledger.begin_run(a_run())
    ledger.update_run("run-1")
    ledger.update_run("run-9")
    assert ledger.run("run-1") == a_run()


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
