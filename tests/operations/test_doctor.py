"""doctor: each examination finds what it is for, and names the fix."""

import json
import subprocess
import sys
from datetime import timedelta

import pytest
from permits import protect

from ci_migrate.errors import SettingsError
from ci_migrate.ledger import protection
from ci_migrate.ledger.protection import Rules
from ci_migrate.operations.doctor import (
    EXAMINATIONS,
    DoctorContext,
    Health,
    backups_place,
    clocks,
    examine,
    examine_environment,
    extras,
)
from ci_migrate.settings.settings import load

KEY = "ana@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8ZVjQXn2GEPTpTUeVKy0gQEHxEGSBBUHpHHDKTCbyn"
LIVE = '[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'


@pytest.fixture
def shop(alembic_project):
    alembic_project.settings(LIVE)
    return alembic_project


@pytest.fixture
def ledger(shop):
    shop.sql("select 1")  # makes the file
    with shop.ledger(create=True) as ledger:
        yield ledger


def found(project, **environ: str) -> dict[str, tuple[str, str, str]]:
    settings = load(project.folder, project.environment(environ), {})
    return {one.name: (one.health.value, one.words, one.fix) for one in examine(settings)}


def test_a_laptop_with_a_protected_target_is_well(shop, ledger):
    protect(ledger, Rules(approvers=(KEY,)), by="ana")
    rows = found(shop)
    assert {health for health, _, _ in rows.values()} == {"good"}, rows
    assert "1 approver, 1 needed" in rows["protection"][1]
    done = shop.call("doctor", "--json")
    assert done.code == 0
    assert {row["health"] for row in json.loads(done.out)} == {"good"}


def test_only_the_settings_say_that_it_is_production(shop, ledger):
    assert found(shop)["protection"][0] == "advice"
    assert "ci-migrate protect --target live" in found(shop)["protection"][2]
    protect(ledger, Rules(), by="ana")
    assert "whoever reaches the ledger can confirm" in found(shop)["protection"][1]
    protection.freeze(ledger, "incident 42", by="ana")
    assert "--unfreeze" in found(shop)["protection"][2]


def test_F101_a_folder_for_backups_that_cannot_be_written_is_bad(shop, ledger):
    shop.settings(f'backup-dir = "alembic.ini/backups"\n{LIVE}')
    assert found(shop)["backups"][0] == "bad"
    assert "nothing can be written to" in found(shop)["backups"][1]


def test_on_a_runner_what_dies_with_the_job_is_bad(shop, ledger):
    rows = found(shop, GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(shop.folder), GITHUB_REF_PROTECTED="false")
    assert rows["ledger"][0] == rows["backups"][0] == "bad"
    assert 'state = "URL"' in rows["ledger"][2]
    assert "unprotected ref" in rows["protected branch"][1]
    done = shop.call("doctor", env={"GITLAB_CI": "true", "CI_COMMIT_REF_PROTECTED": "true"})
    assert done.code == 1
    assert "bad     ledger" in done.out
    assert "good    protected branch" in done.out


def test_trust_that_others_may_change_is_bad(shop, ledger):
    (shop.folder / "approvers").write_text(KEY)
    rows = found(shop, CI_MIGRATE_TRUST=str(shop.folder / "approvers"))
    assert rows["trust"][0] == "bad"
    assert "working tree" in rows["trust"][1]
    assert found(shop, CI_MIGRATE_TRUST=KEY)["trust"][1].startswith("1 approver")


def test_a_target_that_does_not_answer(shop):
    shop.settings('[targets.live]\nurl = "postgresql://nobody@127.0.0.1:1/shop"\n')
    done = shop.call("doctor")
    assert done.code == 1
    assert done.out.startswith("bad     target: ")
    assert "Traceback" not in done.text


def test_another_database_and_a_broken_trail(shop, ledger):
    shop.settings(LIVE + 'state = "sqlite:///app.db.ci-migrate"\n')
    assert shop.call("protect").code == 0
    shop.settings(LIVE.replace("app.db", "moved.db") + 'state = "sqlite:///app.db.ci-migrate"\n')
    with ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE ci_migrate_audit SET facts = '{}'")
    rows = found(shop)
    assert "--accept-identity" in rows["identity"][2]
    assert "altered" in rows["audit trail"][1]


def test_clocks_that_differ(shop, ledger, monkeypatch):
    class Run:
        pass

    run = Run()
    run.ledger = ledger
    patient = DoctorContext(load(shop.folder, shop.environment(), {}), run)  # type: ignore[arg-type]
    assert clocks(patient).health is Health.GOOD
    clock = ledger.clock
    monkeypatch.setattr(ledger, "clock", lambda: clock() + timedelta(seconds=90))
    assert clocks(patient).health is Health.BAD
    monkeypatch.setattr(ledger, "clock", lambda: clock() - timedelta(seconds=90))
    assert clocks(patient).words.startswith(("90 s", "91 s"))


def test_missing_extras(shop, monkeypatch):
    shop.settings(LIVE.replace("sqlite:///app.db", "postgresql://host/shop"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    one = extras(DoctorContext(load(shop.folder, shop.environment({"CI_MIGRATE_TRUST": KEY}), {}), None))
    assert one.health is Health.BAD
    assert one.fix == "pip install 'ci-migrate[postgresql,approval]'"


def test_every_examination_says_what_it_is_for():
    assert all(one.__doc__ for one in EXAMINATIONS)


def test_scripts_that_do_not_lead_to_the_target(shop) -> None:
    assert found(shop)["scripts"][:2] == (
        "good",
        "env.py connects to the target, which has 2 revisions to run",
    )
    shop.revision("r3", "r1", "UPDATE users SET id = id")
    heads = found(shop)["scripts"]
    assert heads[0] == "bad"
    assert heads[2] == "alembic merge heads"
    shop.revision("r3", "r1", "UPDATE users SET id = id", extra='branch_labels = ("billing",)')
    assert found(shop)["scripts"][2] == 'set to = "heads", or to = "LABEL@head"', "F72: branches stay apart"
    env = shop.folder / "migrations" / "env.py"
    env.write_text("# async_engine_from_config\nraise RuntimeError('boom')")
    assert "boom" in found(shop)["scripts"][1]
    python = shop.folder / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *greenlet*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert "has no greenlet" in found(shop, CI_MIGRATE_PYTHON=str(python))["scripts"][1]


def test_backups_that_git_would_take(shop) -> None:
    assert "git" not in found(shop)
    subprocess.run(["git", "init", "-q", str(shop.folder)], check=True)
    assert found(shop)["git"][0] == "good", "where they go by themselves git looks at nothing"
    here = {"CI_MIGRATE_BACKUP_DIR": "backups"}
    assert found(shop, **here)["git"] == (
        "advice",
        f"{shop.folder / 'backups'} holds copies of the data and is not ignored",
        "Take it out of backup-dir, or add it to .gitignore.",
    )
    (shop.folder / ".gitignore").write_text("backups/\n")
    assert found(shop, **here)["git"][0] == "good"
    assert "git" not in found(shop, CI_MIGRATE_BACKUP_DIR="s3://bucket/shop")


# ------------------------------------------------------------------ one examination alone


def patient(project, text: str = LIVE, **environ: str) -> DoctorContext:
    """Without a session: what can be told of settings and variables."""
    project.settings(text)
    return DoctorContext(load(project.folder, project.environment(environ), {}), None)


@pytest.mark.parametrize(
    ("environ", "health", "words"),
    [
        ({}, None, ""),
        ({"CI": "true"}, None, ""),  # a CI that tells nothing of its branches
        ({"GITLAB_CI": "true", "CI_COMMIT_REF_PROTECTED": "true"}, "good", "environment none"),
        ({"GITLAB_CI": "true", "CI_COMMIT_REF_PROTECTED": "false", "CI_ENVIRONMENT_NAME": "production"}, "bad",
         "environment production"),
        ({"GITLAB_CI": "true"}, "bad", "unprotected ref"),
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF_PROTECTED": "true", "GITHUB_EVENT_NAME": "push"}, "good", "event push"),
        ({"GITHUB_ACTIONS": "true"}, "bad", "event unknown"),
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF_PROTECTED": "True"}, "bad", "unprotected ref"),
    ],
)  # fmt: skip
def test_what_a_job_says_of_its_branch(shop, environ, health, words):
    found = examine_environment(patient(shop, **environ))
    assert (found.health.value if found else None) == health
    assert words in (found.words if found else "")
    assert bool(found and found.fix) == (health == "bad")


def test_a_target_that_is_not_production_needs_no_protected_branch(shop):
    dev = '[targets.dev]\nurl = "sqlite:///app.db"\n'
    assert examine_environment(patient(shop, dev, GITHUB_ACTIONS="true")) is None


@pytest.mark.parametrize(
    ("place", "environ", "health", "words"),
    [
        ("./backups", {}, "good", "/backups"),
        ("s3://key:canary@bucket/x", {}, "good", "s3://..."),
        ("./backups", {"GITLAB_CI": "true", "CI_PROJECT_DIR": "FOLDER"}, "bad", "dies with it"),
        ("./backups", {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "FOLDER"}, "bad", "dies with it"),
        ("/var/lib/backups/x", {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "FOLDER"}, "good", "/var/lib"),
        ("./alembic.ini/x", {}, "bad", "nothing can be written to"),
    ],
)
def test_where_backups_lie(shop, place, environ, health, words):
    given = {name: value.replace("FOLDER", str(shop.folder)) for name, value in environ.items()}
    found = backups_place(patient(shop, LIVE, CI_MIGRATE_BACKUP_DIR=place, **given))
    assert found.health.value == health, found
    assert words in found.words
    assert "canary" not in found.words


@pytest.mark.parametrize(
    ("text", "environ", "needs"),
    [
        ('[targets.dev]\nurl = "sqlite:///app.db"\n', {}, []),
        ("", {}, []),
        ('[targets.dev]\nurl = "postgresql://h/x"\n', {}, ["postgresql"]),
        ('[targets.dev]\nurl = "mariadb+pymysql://h/x"\n', {}, ["mysql"]),
        ('backup-dir = "s3://b/x"\n[targets.dev]\nurl = "mysql://h/x"\n', {}, ["mysql", "s3"]),
        (f'backup-recipients = ["age1{"q" * 58}"]\n', {}, ["encryption"]),
        ("", {"CI_MIGRATE_TRUST": KEY}, ["approval"]),
    ],
)
def test_only_what_these_settings_need_is_missing(shop, monkeypatch, text, environ, needs):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    found = extras(patient(shop, text, **environ))
    assert found.health.value == ("bad" if needs else "good")
    assert found.fix == (f"pip install 'ci-migrate[{','.join(needs)}]'" if needs else "")


def test_what_an_examination_raises_is_its_finding_and_hinders_no_other(shop, monkeypatch):
    def breaks(_patient):
        raise SettingsError("no such variable", hint="set it")

    monkeypatch.setattr("ci_migrate.operations.doctor.EXAMINATIONS", (breaks, extras))
    first, second = examine(load(shop.folder, shop.environment(), {}))
    assert (first.name, first.health.value, first.words, first.fix) == (
        "breaks",
        "bad",
        "no such variable",
        "set it",
    )
    assert second.name == "extras"


def test_without_a_target_all_that_needs_none_is_examined(shop):
    shop.settings('[targets.live]\nurl = "postgresql://nobody@127.0.0.1:1/x"\nscratch = "server"\n')
    rows = found(shop)
    assert rows["target"][0] == "bad"
    assert {"extras", "trust", "backups"} <= rows.keys()
    assert not {"scripts", "identity", "clocks", "audit trail", "protection"} & rows.keys()
