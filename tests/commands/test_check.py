"""`ci-migrate check`: a finding refuses, and nothing is written."""


def test_green(alembic_project):
    done = alembic_project.call("check")
    assert done.code == 0, done.text
    assert done.outcomes == {"check": "passed"}
    assert not alembic_project.database.exists()


def test_a_finding_refuses(alembic_project):
    alembic_project.revision("r3", "r1", "create table t (id integer)")  # beside r2
    done = alembic_project.call("check")
    assert done.code == 1, done.text
    assert "CM101" in done.text
    assert not alembic_project.database.exists()


def test_since_takes_no_destination(alembic_project):
    done = alembic_project.call("check", "--since", "main", "--to", "r1")
    assert done.code == 2
    assert "leave --to out" in done.text
