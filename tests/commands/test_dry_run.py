"""`ci-migrate dry-run`: back up and rehearse; the target stays."""


def test_the_target_is_not_written(alembic_project, ledger_of):
    alembic_project.sql("create table other (id integer)")
    before = alembic_project.dump()
    done = alembic_project.call("dry-run")
    assert done.code == 0, done.text
    assert done.outcomes == dict.fromkeys(("check", "backup", "dry-run"), "passed")
    assert alembic_project.dump() == before
    assert ledger_of(alembic_project) is None
    assert len(list((alembic_project.folder / ".ci-migrate" / "backups").glob("backup_*/manifest.json"))) == 1


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


def test_the_second_time_it_says_the_same(alembic_project):
    first, second = alembic_project.call("dry-run"), alembic_project.call("dry-run")
    assert (first.code, second.code) == (0, 0)
    streams = [done.stage("dry-run")["evidence"]["streamDigest"] for done in (first, second)]
    assert streams[0] == streams[1] != ""
    assert len(list((alembic_project.folder / ".ci-migrate" / "backups").glob("backup_*/manifest.json"))) == 2


def test_nothing_pending_rehearses_nothing(migrated):
    done = migrated.call("dry-run")
    assert done.code == 0, done.text
    assert done.outcomes == {"check": "passed"}
    assert "Nothing to do" in done.words


def test_to_a_revision_on_the_way(alembic_project):
    done = alembic_project.call("dry-run", "r1")
    assert done.code == 0, done.text
    assert [r["id"] for r in done.stage("check")["plan"]["revisions"]] == ["r1"]
