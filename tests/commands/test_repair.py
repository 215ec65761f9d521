"""`ci-migrate repair`: what an unfinished run left is shown first, then mended."""

import pytest
from ledger_support import runs_of


def test_nothing_to_repair(alembic_project):
    done = alembic_project.call("repair")
    assert done.code == 0, done.text
    assert "nothing to repair" in done.text
    assert not alembic_project.database.exists()


def test_a_run_that_was_killed(migrated, ledger_of):
    """Killed after the last commit and before anybody wrote that down: the target is migrated."""
    ledger = ledger_of(migrated)
    (record,) = runs_of(ledger)
    migrated.leave_unfinished(record.run_id)
    assert migrated.call("run").code == 7
    before = migrated.dump()
    shown = migrated.call("repair", "--dry-run")
    assert "Found:" in shown.text
    assert ledger.unfinished(ledger.database_id(None)) is not None, "it is only shown"
    done = migrated.call("repair")
    assert done.code == 0, done.text
    assert done.report["command"] == "repair"
    assert done.report["runId"] == record.run_id
    assert ledger.unfinished(ledger.database_id(None)) is None
    assert ledger.run(record.run_id).state == "migrated"
    assert migrated.dump() == before
    assert migrated.call("run").code == 0


def test_F104_what_can_not_be_both_is_told_before_anything_is_looked_at(migrated, ledger_of):
    ledger = ledger_of(migrated)
    (record,) = runs_of(ledger)
    migrated.leave_unfinished(record.run_id)
    before = ledger.audit_records()
    for more in ((), ("--dry-run",)):
        done = migrated.call("repair", "--forward", "--accept-foreign", *more)
        assert done.code == 2, done.text
        assert "--forward or --accept-foreign" in done.text
    assert ledger.audit_records() == before


@pytest.mark.parametrize(
    "flags", [["--dry-run"], ["--forward"], ["--accept-foreign"], ["--forward", "--dry-run"]]
)
def test_flags_where_nothing_is_to_be_repaired(shop, flags):
    done = shop.call("repair", *flags)
    assert done.code == 0, done.text
    assert "There is no unfinished run: nothing to repair." in done.words
    assert "The database is untouched" in done.out


def test_the_run_before_it_is_told_by_every_command_that_writes(migrated, ledger_of):
    (record,) = runs_of(ledger_of(migrated))
    migrated.leave_unfinished(record.run_id)
    for arguments in (["run"], ["migrate"], ["stamp", "r1", "--reason", "x"], ["rollback", "--to", "r1"]):
        done = migrated.call(*arguments)
        assert done.code == 7, done.text
        assert record.run_id in done.text
        assert "ci-migrate repair" in done.text
    assert migrated.heads == ["r2"]


def test_a_dry_run_of_a_repair_is_the_same_each_time(migrated, ledger_of):
    (record,) = runs_of(ledger_of(migrated))
    migrated.leave_unfinished(record.run_id)
    first, second = (migrated.call("repair", "--dry-run").report["results"] for _ in range(2))
    for result in (*first, *second):
        result["seconds"] = 0
    assert first == second
