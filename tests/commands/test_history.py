"""`ci-migrate history`: the runs of a target, the newest first."""


def test_no_run(alembic_project):
    done = alembic_project.call("history")
    assert (done.code, done.out) == (0, "No run yet.\n")
    assert not list(alembic_project.folder.glob("*.ci-migrate")), "it makes no ledger"


def test_the_newest_first(migrated):
    migrated.gate("migrate")
    lines = migrated.call("history").out.splitlines()
    assert [line.split()[3] for line in lines] == ["migrate", "run"]
    assert "base -> r2" in lines[1]
    assert "exit 0" in lines[1]
    assert migrated.call("history", "--limit", "1").out.splitlines() == lines[:1]


def test_it_is_told_when_the_target_is_broken(migrated):
    migrated.database.write_bytes(b"no database at all " * 500)
    done = migrated.call("history")
    assert done.code == 0, done.text
    assert "base -> r2" in done.out
