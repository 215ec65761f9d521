"""`ci-migrate settings`: each with its value and where it comes from."""

import json


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
