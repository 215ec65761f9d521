"""`ci-migrate settings`: each with its value and where it comes from."""

import json

import pytest
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[[", "ci-migrate.toml is no valid TOML"),
        ("nonsense = 1", "unknown key nonsense"),
        ('keep-backups = "3"', "keep-backups must be a whole number from 1 to 10000; found the text 3."),
        ('[targets.dev]\nurl = "postgresql://u:canary-4711@h/db"', "holds a password"),
    ],
)
def test_settings_that_can_not_be_read(alembic_project, text, words):
    alembic_project.settings(text + "\n")
    done = alembic_project.call("settings")
    ended(done, 2, words)
    assert (done.out, "canary" in done.text) == ("", False)


def test_a_value_of_several_lines_is_one_row(alembic_project):
    env = {"CI_MIGRATE_ALLOW": "CM201=line 1\nCM202=line 2", "CI_MIGRATE_ALEMBIC_NAME": "a\x1b[2Kb"}
    out = ended(alembic_project.call("settings", env=env), 0)
    assert "\x1b" not in out
    (row,) = [line for line in out.splitlines() if line.startswith("allow ")]
    assert row.split("  ")[-1] == "CI_MIGRATE_ALLOW"


def test_no_database_and_no_env_py(alembic_project):
    """They are what is looked at when nothing else goes."""
    (alembic_project.folder / "migrations" / "env.py").write_text("raise SystemExit('env.py was run')")
    alembic_project.settings('[targets.dev]\nurl = "postgresql://nobody@127.0.0.1:1/x"\n')
    ended(alembic_project.call("settings"), 0, "postgresql://nobody@127.0.0.1:1/x")
