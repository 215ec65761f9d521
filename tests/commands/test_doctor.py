"""`ci-migrate doctor`: what stands in the way, each with its fix; reads only."""

import json

from alembic_project import ended


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


def test_a_variable_that_is_not_set_is_told_once(alembic_project):
    alembic_project.settings('[targets.dev]\nurl = "env:NOWHERE"\n')
    done = alembic_project.call("doctor")
    assert done.code == 1, done.text
    assert done.out.count("The environment variable NOWHERE is not set") == 1


def test_of_one_revision_the_words_are_singular(alembic_project):
    assert alembic_project.gate("migrate", "r1").exit_code == 0
    assert "which has 1 revision to run" in ended(alembic_project.call("doctor"), 0)


def test_settings_that_can_not_be_read_are_no_finding(alembic_project):
    """There is nothing to examine: exit 2 as for any command, not 1."""
    alembic_project.settings("nonsense = 1\n")
    done = alembic_project.call("doctor")
    ended(done, 2, "unknown key nonsense")
    assert done.out == ""


def test_what_it_advises_can_be_pasted(alembic_project):
    alembic_project.settings(
        '[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'
    )
    alembic_project.sql("select 1")
    (advice,) = [
        one
        for one in json.loads(ended(alembic_project.call("doctor", "--json"), 0))
        if one["health"] == "advice"
    ]
    assert advice["fix"].startswith("ci-migrate protect --target live --approver ")
