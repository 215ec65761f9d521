"""`ci-migrate verify`: as the last migration left it, or not."""

from alembic_project import ended
from ledger_support import runs_of


def test_before_the_first_run(alembic_project):
    done = alembic_project.call("verify")
    assert (done.code, done.out.strip()) == (
        8,
        "ci-migrate has not migrated this target yet: nothing to compare with.",
    )


def test_what_changed_since(migrated, ledger_of):
    (record,) = runs_of(ledger_of(migrated))
    done = migrated.call("verify")
    assert (done.code, done.out) == (0, f"As run {record.run_id} left it: heads and schema are the same.\n")
    migrated.sql("create table sneaked (id integer)")
    done = migrated.call("verify")
    assert done.code == 1
    assert done.out.startswith(f"Not as run {record.run_id} left it:\n")
    assert "sneaked" in done.out


def test_status_history_verify(migrated):
    ended(
        migrated.call("status"),
        0,
        "is at r2",
        "pending nothing",
        "exit 0, migrated",
        "last proven backup_base_",
    )
    ended(migrated.call("history"), 0, "base -> r2", "exit 0")
    ended(migrated.call("verify"), 0, "As run", "heads and schema are the same")
    migrated.sql("create index ix on users (name)")
    ended(migrated.call("verify"), 1, "index users.ix")
    migrated.sql("drop index ix")
    migrated.sql("update alembic_version set version_num = 'r1'")
    ended(migrated.call("verify"), 1, "it is at r1")
    ended(migrated.call("status"), 0, "is at r1", "pending 1 revision", "next ci-migrate run --target dev")
