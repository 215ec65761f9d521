"""What people type by habit of Alembic is answered with what to type here."""

import json

import pytest


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("upgrade head", "ci-migrate run head"),
        ("upgrade", "ci-migrate run REVISION"),
        ("upgrade -x tenant=a head", "ci-migrate run head"),
        ("downgrade -1", "ci-migrate rollback --to -1"),
        ("downgrade base", "ci-migrate rollback --to base"),
        ("current", "ci-migrate status"),
        ("heads", "ci-migrate status"),
    ],
)
def test_F84_commands_of_alembic(alembic_project, typed, meant):
    done = alembic_project.call(*typed.split())
    assert done.code == 2
    assert f"ci-migrate has no `{typed.split()[0]}`: {meant}\n" in done.err
    assert done.out == ""
    assert not alembic_project.database.exists()


def test_F84_what_the_answer_says_works(migrated):
    assert migrated.call("rollback", "--to", "-1", "--yes").code == 0
    assert migrated.heads == ["r1"]
    assert migrated.call("run", "head").code == 0
    assert migrated.heads == ["r2"]


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_F84_version(alembic_project, flag):
    done = alembic_project.call(flag)
    assert done.code == 0
    assert done.out.startswith("ci-migrate, version ")


def test_a_mistyped_command_names_the_nearest(alembic_project):
    done = alembic_project.call("statsu")
    assert done.code == 2
    assert "Did you mean status?" in done.err


@pytest.mark.parametrize("typed", ["revision -m x", "merge heads", "branches"])
def test_F84_what_is_alembics_own_is_named(alembic_project, typed):
    done = alembic_project.call(*typed.split())
    assert done.code == 2
    assert f"That is Alembic's own: alembic {typed}\n" in done.err


def test_F84_options_stand_where_alembic_has_them(alembic_project):
    ini = alembic_project.folder / "alembic.ini"
    ini.rename(ini.with_name("other.ini"))
    text = ini.with_name("other.ini").read_text().replace("[alembic]", "[shop]")
    ini.with_name("other.ini").write_text(text)
    assert alembic_project.call("-c", "other.ini", "-n", "shop", "-x", "a=b", "plan").code == 0
    assert alembic_project.call("plan", "-c", "other.ini", "-n", "shop").code == 0
    assert "alembic.ini" in alembic_project.call("plan").err + alembic_project.call("plan").out


def test_F84_sql_is_answered_with_what_shows_it(alembic_project):
    done = alembic_project.call("run", "head", "--sql")
    assert done.code == 2
    assert "\nci-migrate dry-run -v\n" in done.err
    shown = alembic_project.call("dry-run", "-v")
    assert shown.code == 0, shown.text
    assert "CREATE TABLE users" in shown.out.replace("create table", "CREATE TABLE")
    assert "CREATE TABLE users" not in alembic_project.call("dry-run").out.replace(
        "create table", "CREATE TABLE"
    )


def test_F84_quiet_is_the_state_alone(alembic_project):
    done = alembic_project.call("run", "-q")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == ["OK. The database is migrated: now at r2."]
    alembic_project.revision("r3", "r2", "drop table nowhere")
    done = alembic_project.call("-q", "run")
    assert done.code == 1
    assert "no such table: nowhere" in done.words, "what went wrong is not left out"


def test_F84_who_and_why(alembic_project):
    done = alembic_project.call("run", "--by", "ada", "--reason", "release 7")
    assert done.code == 0, done.text
    (past,) = json.loads(alembic_project.call("history", "--json").out)
    assert (past["actor"], past["reason"], past["approvedBy"]) == ("ada", "release 7", [])
    assert past["seconds"] > 0
    assert (past["fromHeads"], past["toHeads"]) == ("base", "r2")
    assert "release 7" in alembic_project.call("history").out
    trail = alembic_project.call("audit", "show").out
    assert "release 7" in trail
    assert '"account"' in trail or "account" in trail, "a name that was typed proves nothing"
    verified = json.loads(alembic_project.call("verify", "--json").out)
    assert (verified["differences"], verified["exitCode"], verified["runId"]) == ([], 0, past["runId"])


def test_F84_history_tells_who_approved_and_why(alembic_project):
    alembic_project.settings(
        '[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'
    )
    stopped = alembic_project.call("run")
    assert stopped.code == 4
    assert "One confirmation token suffices." in stopped.words
    token = alembic_project.call("token", "generate", "--reason", "ticket 4711", "--by", "bo").out.strip()
    assert alembic_project.call("run", env={"CI_MIGRATE_TOKEN": token}).code == 0
    newest, first = json.loads(alembic_project.call("history", "--json").out)
    assert (newest["approvedBy"], newest["reason"]) == (["bo"], "ticket 4711")
    assert (first["approvedBy"], first["exitCode"]) == ([], 4)
    assert "approved by bo: ticket 4711" in alembic_project.call("history").out


@pytest.mark.parametrize("message", ["", "init first."])
def test_F98_a_revision_with_an_odd_message(alembic_project, message):
    path = alembic_project.revision("r3", "r2", "drop table nowhere", message="MESSAGE")
    path.write_text(path.read_text().replace("MESSAGE", message))
    for command in ("plan", "run", "status"):
        text = alembic_project.call(command).text
        assert "()" not in text
        assert ".." not in text.replace("...", "")
