"""`ci-migrate plan`: reads, and leaves nothing behind."""

import json
import sys

import pytest
from alembic_project import ended


def test_what_would_run(alembic_project):
    done = alembic_project.call("plan", "--json")
    assert done.code == 0, done.text
    report = json.loads(done.out)["report"]
    assert report["command"] == "plan"
    (check,) = [r for r in report["results"] if r["outcome"] != "skipped"]
    assert check["stage"] == "check"
    assert [r["id"] for r in check["plan"]["revisions"]] == ["r1", "r2"]
    assert not alembic_project.database.exists()
    assert not list(alembic_project.folder.glob("*.ci-migrate")), "it makes no ledger"


def test_a_plan_to_a_revision_that_is_none(alembic_project):
    done = alembic_project.call("plan", "r7")
    assert done.code == 1, done.text
    assert "r7" in done.text


def test_plan_check_and_dry_run_write_nothing_to_the_target(alembic_project):
    for command in ("plan", "check", "dry-run"):
        ended(alembic_project.call(command), 0, "untouched")
        assert not alembic_project.database.exists()
        assert not (alembic_project.folder / "app.db.ci-migrate").exists(), "no ledger is made"


def test_where_nothing_is_pending(shop):
    done = shop.call("plan", "--report", "json=plan.json")
    ended(done, 0, "Nothing to do:", "is at r2.")
    report = json.loads((shop.folder / "plan.json").read_text())["report"]
    plan = report["results"][0]["plan"]
    assert (plan["revisions"], plan["contexts"][0]["toHeads"]) == ([], ["r2"])


@pytest.mark.parametrize("to", ["nowhere", "r1:r2", "r1,r2", "x" * 300, "--", "'; --"])
def test_destinations_that_are_none(shop, to):
    done = shop.call("plan", "--to", to)
    ended(done, 1, "Alembic says:")
    assert "The database is untouched" in done.words


def test_an_older_destination_is_nothing_to_do(shop):
    """As for `alembic upgrade`: what is behind is no destination of an upgrade."""
    ended(shop.call("plan", "r1"), 0, "Nothing to do:", "is at r2.")


def test_an_env_py_that_fails_names_interpreter_file_and_line(alembic_project):
    env = alembic_project.folder / "migrations" / "env.py"
    text = env.read_text()
    env.write_text(f"import of_another_environment\n{text}")
    done = alembic_project.call("plan")
    assert done.code == 8
    assert (
        "migrations/env.py:1): ModuleNotFoundError: No module named 'of_another_environment' (run by"
        in done.words
    )
    assert sys.executable in done.text
    assert 'python = ".venv/bin/python"' in done.words
    env.write_text(f'raise RuntimeError("no SECRET_KEY for postgresql://u:hunter2secret@h/x")\n{text}')
    done = alembic_project.call("plan")
    assert "migrations/env.py:1): RuntimeError: no SECRET_KEY for postgresql://u:***@h/x" in done.words
    assert "hunter2secret" not in done.text
