"""`ci-migrate doctor`: what stands in the way, each with its fix; reads only."""

import json

import psycopg
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


def test_it_asks_the_server_that_scratch_names(alembic_project, postgresql_url):
    """Here the role may make no copies on the target's, and whoever `scratch` logs in as may."""
    admin = postgresql_url.render_as_string(hide_password=False)
    role = f"{postgresql_url.database}_app"
    url = postgresql_url.set(drivername="postgresql+psycopg")
    alembic_project.environ["APP_URL"] = url.set(username=role, password="x").render_as_string(
        hide_password=False
    )
    alembic_project.environ["COPIES_URL"] = url.render_as_string(hide_password=False)
    alembic_project.environ["NOBODY_URL"] = url.set(password="wrong").render_as_string(hide_password=False)

    def examined(scratch: str) -> dict[str, str]:
        text = f'[targets.{{}}]\nurl = "env:APP_URL"\n{scratch}\n'
        alembic_project.settings(text.format("production" if not scratch else "dev"))
        found = json.loads(alembic_project.call("doctor", "--json").out)
        return next(one for one in found if one["name"] == "scratch copies")

    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        try:
            assert (examined('scratch = "server"')["health"]) == "bad"
            well = examined('scratch = "env:COPIES_URL"')
            assert (well["health"], "the role may make them on " in well["words"]) == ("good", True)
            assert examined('scratch = "env:NOBODY_URL"')["health"] == "bad"
            assert "Nobody has said where scratch copies" in examined("")["words"]
        finally:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")
