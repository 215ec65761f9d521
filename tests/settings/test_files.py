"""Where settings are looked for, and what a file that is no good is told."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.errors import SettingsError
from ci_migrate.settings.files import (
    folders_upwards,
    is_file,
    quote,
    read_environment,
    read_flags,
    read_settings_file,
    refuse_passwords,
)
from ci_migrate.settings.settings import load

CANARY = "canary-hunter2"


def refusal(call, *arguments) -> str:
    with pytest.raises(SettingsError) as caught:
        call(*arguments)
    assert CANARY not in " ".join(caught.value.lines)
    return " ".join(caught.value.lines)


# ------------------------------------------------------------------ looking for files


def test_folders_upwards_end_at_git(tmp_path):
    (tmp_path / ".git").mkdir()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert list(folders_upwards(below)) == [below, below.parent, tmp_path]


def test_git_of_a_worktree_is_a_file(tmp_path):
    (tmp_path / ".git").write_text("gitdir: /elsewhere\n")
    (tmp_path / "a").mkdir()
    assert list(folders_upwards(tmp_path / "a")) == [tmp_path / "a", tmp_path]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "none"])
def test_a_path_that_no_file_can_have_is_none(tmp_path, name):
    assert not is_file(tmp_path / name)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(project):
    (project / "ci-migrate.toml").touch(0o000)
    assert "ci-migrate.toml can't be read: Permission denied." in refusal(load, project, {}, {})


def test_a_folder_in_the_place_of_a_file_is_passed_over(project):
    (project / "ci-migrate.toml").mkdir()
    assert read_settings_file(project) is None
    assert load(project, {}, {}).target == "default"


def test_a_link_that_leads_nowhere_is_no_file(project):
    (project / "ci-migrate.toml").symlink_to("gone.toml")
    assert read_settings_file(project) is None


def test_the_nearest_file_counts_alone(project):
    (project / "ci-migrate.toml").write_text("keep-backups = 7\nlock-tries = 9\n")
    (project / "inner").mkdir()
    (project / "inner" / "ci-migrate.toml").write_text("keep-backups = 5\n")
    settings = load(project / "inner", {}, {"alembic-config": str(project / "alembic.ini")})
    assert (settings.keep_backups, settings.lock_tries) == (5, 10), "the outer one is not mixed in"


def test_an_empty_file_is_settings(project):
    """Who writes one says where the project is."""
    (project / "inner").mkdir()
    (project / "inner" / "ci-migrate.toml").touch()
    (project / "inner" / "alembic.ini").touch()
    assert load(project / "inner", {}, {}).project_dir == project / "inner"


def test_the_search_for_alembic_ends_at_the_folder_of_the_settings(project):
    (project / "inner").mkdir()
    (project / "inner" / "ci-migrate.toml").touch()
    assert "No Alembic project here" in refusal(load, project / "inner", {}, {})


@pytest.mark.parametrize("table", ["tool = 3", "[tool]\nci-migrate = 3", "tool.ci-migrate = []"])
def test_a_pyproject_with_another_tool(project, table):
    (project / "pyproject.toml").write_text(table + "\n")
    if "ci-migrate" in table:
        assert "[tool.ci-migrate] must be a table" in refusal(load, project, {}, {})
    else:
        assert read_settings_file(project) is None


@pytest.mark.parametrize("bom", [b"\xef\xbb\xbf", b"\xff\xfe"])
def test_a_file_as_an_editor_of_windows_writes_it_is_named(project, bom):
    (project / "ci-migrate.toml").write_bytes(bom + b"keep-backups = 7\n")
    assert refusal(load, project, {}, {}).startswith("ci-migrate.toml is no")


def test_line_ends_of_windows_are_read(project):
    (project / "ci-migrate.toml").write_bytes(b"keep-backups = 7\r\n[targets.dev]\r\n")
    assert load(project, {}, {}).keep_backups == 7


# ------------------------------------------------------------------ the folder


def test_a_folder_that_is_no_utf_8_is_refused(tmp_path):
    """Plans and reports name the database's file: they could not be written, and all commands failed as a bug."""
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "alembic.ini").touch()
    words = refusal(load, folder, {}, {})
    assert words.startswith("The name of folder ")
    assert words.endswith("is not UTF-8. The database was not touched. Rename it.")
    assert words.isprintable()
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["ünï", "a b", "a'b", 'a"b', "a\nb", "x" * 200, "-rf", "日本"])
def test_folders_with_odd_names(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "alembic.ini").touch()
    assert load(folder, {}, {}).project_dir == folder


def test_a_folder_by_a_link_is_the_folder(project):
    (project / "link").symlink_to(".")
    assert load(project / "link", {}, {}).directory == project


def test_a_link_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "There is no folder" in refusal(load, tmp_path / "a", {}, {})


# ------------------------------------------------------------------ the interpreter


def test_a_relative_virtual_env_starts_from_the_project(project, monkeypatch, tmp_path):
    (project / "env" / "bin").mkdir(parents=True)
    (project / "env" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.chdir("/")
    found = load(project, {"VIRTUAL_ENV": "env"}, {})
    assert (found.python, found.sources["python"]) == (project / "env" / "bin" / "python", "VIRTUAL_ENV")


def test_a_virtual_env_that_is_gone_is_passed_over(project):
    """As after `deactivate` and `rm -r` in another terminal."""
    assert load(project, {"VIRTUAL_ENV": str(project / "gone")}, {}).python == Path(sys.executable)


# ------------------------------------------------------------------ the environment and flags


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_variable_that_is_empty_is_not_set(project, blank):
    environ = {"CI_MIGRATE_TARGET": blank, "CI_MIGRATE_URL": blank, "CI_MIGRATE_NONSENSE": blank}
    assert load(project, environ, {}).target == "default"


def test_all_variables_of_ours_are_looked_at_and_no_others():
    assert read_environment({"CI_MIGRATION": "x", "MY_CI_MIGRATE_URL": "x", "CI": "true"}, Path("/")) == {}
    words = refusal(read_environment, {"CI_MIGRATE_": "x"}, Path("/"))
    assert words.startswith("The environment variable CI_MIGRATE_ sets no key")
    words = refusal(read_environment, {"CI_MIGRATE_LOCK_TIMOUT": "x"}, Path("/"))
    assert '; the nearest is "lock-timeout".' in words


def test_a_wrong_value_names_its_variable_and_the_key():
    words = refusal(read_environment, {"CI_MIGRATE_JOBS": "many"}, Path("/"))
    assert words.startswith("The environment: jobs must be a whole number from 1 to 64; found the text many.")


@pytest.mark.parametrize("name", ["CI_MIGRATE_URL", "CI_MIGRATE_STATE", "CI_MIGRATE_DATABASES"])
def test_a_wrong_value_that_may_be_secret_is_not_quoted(name):
    refusal(read_environment, {name: CANARY}, Path("/"))


def test_flags_that_were_not_given_set_nothing():
    assert read_flags({"to": None, "allow": (), "target": "dev"}, Path("/")) == {}


def test_a_flag_that_sets_no_key_is_named():
    """That is a fault of ours, and must not pass in silence: it might be the one that asks for an approval."""
    assert "--require-confirmatoin sets no key" in refusal(
        read_flags, {"require_confirmatoin": True}, Path("/")
    )


def test_a_flag_may_be_a_text_or_a_value():
    assert read_flags({"jobs": "3"}, Path("/"))["jobs"].value == 3
    assert read_flags({"jobs": 3}, Path("/"))["jobs"].value == 3
    assert read_flags({"backup_dir": Path("b")}, Path("/srv"))["backup-dir"].value == "/srv/b"


# ------------------------------------------------------------------ passwords, and names in messages


def test_a_password_is_found_however_deep_it_stands():
    table: dict[str, object] = {"url": f"postgresql://u:{CANARY}@h/db"}
    for _ in range(3000):
        table = {"a": [table]}
    words = refusal(refuse_passwords, "pyproject.toml", table)
    assert "holds a password; a settings file is no place for one." in words
    assert '"env:NAME"' in words


def test_no_password_is_seen_where_there_is_none():
    refuse_passwords(
        "f", {"a": 1, "b": [True, None, 1.5], "c": {"d": "2026-01-01"}, "url": "postgresql://u@h/db"}
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("dev", "dev"),
        ("a b", '"a b"'),
        ("", '""'),
        ("a\x1b[31m", '"a\\x1b[31m"'),
        ("caf\udce9", '"caf?"'),
        ("x" * 61, f'"{"x" * 57}..."'),
        (f"postgresql://u:{CANARY}@h", '"postgresql://u:***@h"'),
        (3, "3"),
    ],
)
def test_a_name_that_somebody_wrote(name, shown):
    assert quote(name) == shown


@given(st.text())
def test_a_quoted_name_is_short_and_printable(name):
    shown = quote(name)
    assert len(shown) <= 62
    assert shown.isprintable()
    shown.encode()
