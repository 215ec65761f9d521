"""`ci-migrate verify`: as the last migration left it, or not."""


def test_before_the_first_run(alembic_project):
    done = alembic_project.call("verify")
    assert (done.code, done.out.strip()) == (
        8,
        "ci-migrate has not migrated this target yet: nothing to compare with.",
    )


def test_what_changed_since(migrated, ledger_of):
    (record,) = ledger_of(migrated).runs()
    done = migrated.call("verify")
    assert (done.code, done.out) == (0, f"As run {record.run_id} left it: heads and schema are the same.\n")
    migrated.sql("create table sneaked (id integer)")
    done = migrated.call("verify")
    assert done.code == 1
    assert done.out.startswith(f"Not as run {record.run_id} left it:\n")
    assert "sneaked" in done.out
