"""doctor: each examination finds what it is for, and names the fix."""

import json
import subprocess
import sys
from datetime import timedelta

import pytest
from permits import protect

from ci_migrate.ledger import protection
from ci_migrate.ledger.protection import Rules
from ci_migrate.operations.doctor import EXAMINATIONS, DoctorContext, Health, clocks, examine, extras
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
    assert found(shop)["git"] == (
        "advice",
        f"{shop.folder / 'backups'} holds copies of the data and is not ignored",
        "ci-migrate init",
    )
    (shop.folder / ".gitignore").write_text("backups/\n")
    assert found(shop)["git"][0] == "good"
    assert "git" not in found(shop, CI_MIGRATE_BACKUP_DIR="s3://bucket/shop")
