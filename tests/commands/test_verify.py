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


def test_it_is_told_what_is_gone(migrated):
    migrated.sql("drop table users")
    done = migrated.call("verify")
    ended(done, 1, "Not as run", "users")
    migrated.database.unlink()
    ended(migrated.call("verify"), 1, "Not as run")


def test_a_run_that_did_not_end_names_the_repair(migrated, ledger_of):
    (record,) = runs_of(ledger_of(migrated))
    migrated.leave_unfinished(record.run_id)
    done = migrated.call("verify")
    ended(done, 1, f"Run {record.run_id} did not end; heads and schema are as it was to leave them.",
          "ci-migrate repair --dry-run --target dev")  # fmt: skip
    migrated.sql("create table sneaked (id integer)")
    ended(migrated.call("verify"), 1, "did not end, and this is not as it was to leave it:", "sneaked")
