"""`ci-migrate doctor`: what stands in the way, each with its fix; reads only."""

import json


def test_a_project_that_is_well(alembic_project):
    done = alembic_project.call("doctor")
    assert done.code == 0, done.text
    assert "bad " not in done.out
    assert not alembic_project.database.exists()
    found = json.loads(alembic_project.call("doctor", "--json").out)
    assert {one["health"] for one in found} <= {"good", "advice"}
    assert all(one["words"] for one in found)


def test_a_target_that_does_not_answer(alembic_project):
    alembic_project.database.write_bytes(b"no database at all " * 500)
    done = alembic_project.call("doctor")
    assert done.code == 1, done.text
    assert "bad " in done.out
    assert "-> " in done.out
