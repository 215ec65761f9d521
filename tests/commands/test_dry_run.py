"""`ci-migrate dry-run`: back up and rehearse; the target stays."""


def test_the_target_is_not_written(alembic_project, ledger_of):
    alembic_project.sql("create table other (id integer)")
    before = alembic_project.dump()
    done = alembic_project.call("dry-run")
    assert done.code == 0, done.text
    assert done.outcomes == dict.fromkeys(("check", "backup", "dry-run"), "passed")
    assert alembic_project.dump() == before
    assert ledger_of(alembic_project) is None
    assert len(list((alembic_project.folder / "backups").glob("backup_*/manifest.json"))) == 1


def test_a_revision_that_fails(alembic_project):
    alembic_project.revision("r3", "r2", "insert into users (nonsense) values (1)")
    done = alembic_project.call("dry-run")
    assert done.code == 1, done.text
    assert "r3" in done.text
    assert done.outcomes["dry-run"] == "failed"


def test_on_something_that_is_none(alembic_project):
    done = alembic_project.call("dry-run", "--on", "nonsense")
    assert done.code == 2
    assert "`empty`, `backup:latest` or `backup:ID`" in done.text
