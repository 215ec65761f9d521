"""`ci-migrate settings`: each with its value and where it comes from."""

import json

from alembic_project import ended


def test_value_and_source(alembic_project):
    env = {"CI_MIGRATE_KEEP_BACKUPS": "9"}
    done = alembic_project.call("settings", "--backup-dir", "elsewhere", env=env)
    assert done.code == 0, done.text
    rows = {line.split()[0]: line.split() for line in done.out.splitlines()}
    assert rows["keep-backups"][1:] == ["9", "CI_MIGRATE_KEEP_BACKUPS"]
    assert rows["backup-dir"][1:] == [str(alembic_project.folder / "elsewhere"), "--backup-dir"]
    values = json.loads(alembic_project.call("settings", "--json").out)
    assert values["keep-backups"] == {"value": "3", "source": "default"}
    assert {*values} == {*rows}


def test_a_target_that_is_none(alembic_project):
    done = alembic_project.call("settings", "--target", "nowhere")
    assert (done.code, done.out) == (2, "")
    assert "nowhere" in done.err


def test_settings_never_show_a_password(alembic_project):
    canary = "canary-4711"
    alembic_project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    done = alembic_project.call("settings", env={"DATABASE_URL": f"postgresql://u:{canary}@h/x"})
    out = ended(done, 0, "env:DATABASE_URL", "ci-migrate.toml")
    assert canary not in out
    values = json.loads(ended(alembic_project.call("settings", "--json", "--backup-dir", "elsewhere"), 0))
    assert values["backup-dir"]["source"] == "--backup-dir"
    assert values["keep-backups"] == {"value": "3", "source": "default"}
