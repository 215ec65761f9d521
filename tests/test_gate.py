"""The gate: what may end a run besides a stage."""

import pytest

VANISHES = """
import sqlite3
from ci_migrate import hookimpl

@hookimpl
def ci_migrate_before_stage(stage):
    if stage == "{stage}":
        ledger = sqlite3.connect("app.db.ci-migrate")
        ledger.execute("drop table ci_migrate_runs")
        ledger.execute("drop table ci_migrate_stages")
        ledger.commit()
        ledger.close()
"""


@pytest.mark.parametrize("stage", ["backup", "approve", "migrate"])
def test_a_ledger_that_goes_away_before_the_migration_stops_it(alembic_project, stage):
    alembic_project.write("vanishes.py", VANISHES.format(stage=stage))
    alembic_project.settings('plugins = ["vanishes.py"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    done = alembic_project.run("run")
    assert done.code == 8, done.text
    assert "Traceback" not in done.text
    assert alembic_project.heads == []
    assert "untouched" in done.text


def test_a_ledger_that_goes_away_after_the_migration_is_a_warning(alembic_project):
    alembic_project.write("vanishes.py", VANISHES.format(stage="verify"))
    alembic_project.settings('plugins = ["vanishes.py"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    done = alembic_project.run("run")
    assert alembic_project.heads == ["r2"]
    assert "Traceback" not in done.text
    assert "untouched" not in done.text
    assert done.code in (0, 7), done.text
    assert "WARNING" in done.text
    assert "ledger" in done.text


def test_a_closed_standard_output_stops_no_migration(alembic_project):
    child = alembic_project.start("run")
    child.stdout.close()
    child.wait(60)
    assert alembic_project.heads == ["r2"], child.stderr.read()
    child.stderr.close()
