"""Settings: what wins, what is refused and in which words, and that no secret is ever shown."""

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ci_migrate.errors import CiMigrateError, SettingsError, ToolError
from ci_migrate.settings.keys import KEYS, STAGES
from ci_migrate.settings.listing import describe
from ci_migrate.settings.settings import Secret, Settings, load
from ci_migrate.settings.urls import holds_password, redact

CANARY = "canary-hunter2"


def write(folder, text, name="pyproject.toml"):
    (folder / name).write_text(text)
    return folder


def refusal(folder, environ=None, flags=None):
    """The words of the SettingsError, all of its lines."""
    with pytest.raises(SettingsError) as caught:
        load(folder, environ or {}, flags or {})
    assert caught.value.exit_code == 2
    assert len(caught.value.lines) <= 3
    return "\n".join(caught.value.lines)


# ------------------------------------------------------------------ no settings at all, and where Alembic is


def test_no_settings_at_all_gives_the_defaults(project):
    settings = load(project, {}, {})
    assert settings.target == "default"
    assert settings.url is None
    assert settings.sources["url"] == "env.py"
    assert settings.project_dir == project
    assert settings.alembic_config == project / "alembic.ini"
    assert settings.alembic_toml is None
    assert settings.backup_dir == str(project / ".ci-migrate" / "backups")
    assert settings.keep_backups == 3
    assert settings.token_validity_minutes == 30
    assert settings.stall_timeout == 600.0
    assert settings.max_evidence_age == 24 * 3600.0
    assert settings.scratch == "server"
    assert not settings.production
    assert {settings.sources[key.name] for key in KEYS} == {"default", "env.py", "found"}


def test_settings_are_found_from_a_folder_below(project):
    write(project, "[tool.ci-migrate]\nkeep-backups = 7\n")
    below = project / "src" / "app"
    below.mkdir(parents=True)
    settings = load(below, {}, {})
    assert settings.keep_backups == 7
    assert settings.project_dir == project
    assert settings.alembic_config == project / "alembic.ini"
    assert settings.sources["keep-backups"] == "../../pyproject.toml [tool.ci-migrate]"
    assert settings.backup_dir == str(project / ".ci-migrate" / "backups")


def test_without_settings_the_folder_above_that_holds_alembic_ini_is_the_project(project):
    below = project / "src"
    below.mkdir()
    assert load(below, {}, {}).project_dir == project


def test_the_search_ends_at_the_git_folder(project):
    write(project, "[tool.ci-migrate]\nkeep-backups = 7\n")
    inner = project / "inner"
    (inner / ".git").mkdir(parents=True)
    words = refusal(inner)
    assert "No Alembic project here" in words
    assert "-C DIR" in words


def test_a_pyproject_without_our_table_is_passed_over(project):
    write(project, "[tool.ci-migrate]\nkeep-backups = 7\n")
    inner = project / "inner"
    inner.mkdir()
    write(inner, "[tool.black]\nline-length = 3\n")
    assert load(inner, {}, {}).keep_backups == 7


def test_own_file_has_its_keys_at_the_top(project):
    write(project, 'keep-backups = 9\n[targets.dev]\nurl = "sqlite:///app.db"\n', "ci-migrate.toml")
    settings = load(project, {}, {})
    assert (settings.keep_backups, settings.target) == (9, "dev")
    assert settings.sources["keep-backups"] == "ci-migrate.toml"
    assert settings.sources["url"] == "ci-migrate.toml [targets.dev]"
    write(project, "[tool.ci-migrate]\nkeep-backups = 9\n", "ci-migrate.toml")
    assert "without [tool.ci-migrate]" in refusal(project)


def test_two_files_with_settings_are_refused(project):
    write(project, "[tool.ci-migrate]\nkeep-backups = 7\n")
    write(project, "keep-backups = 9\n", "ci-migrate.toml")
    words = refusal(project)
    assert "pyproject.toml" in words
    assert "ci-migrate.toml" in words


def test_alembic_in_pyproject(project):
    (project / "alembic.ini").unlink()
    write(project, '[tool.alembic]\nscript_location = "migrations"\n')
    settings = load(project, {}, {})
    assert settings.alembic_config is None
    assert settings.alembic_toml == project / "pyproject.toml"


def test_alembic_ini_and_alembic_in_pyproject_are_read_together_as_alembic_does(project):
    write(project, '[tool.alembic]\nscript_location = "migrations"\n')
    settings = load(project, {}, {})
    assert settings.alembic_config == project / "alembic.ini"
    assert settings.alembic_toml == project / "pyproject.toml"


def test_flask_migrate_folder(project):
    (project / "alembic.ini").unlink()
    (project / "migrations").mkdir()
    (project / "migrations" / "alembic.ini").write_text("[alembic]\n")
    settings = load(project, {}, {})
    assert settings.alembic_config == project / "migrations" / "alembic.ini"
    assert settings.project_dir == project


def test_alembic_config_that_is_missing_is_named(project):
    write(project, '[tool.ci-migrate]\nalembic-config = "db/alembic.ini"\n')
    words = refusal(project)
    assert str(project / "db" / "alembic.ini") in words
    assert "pyproject.toml [tool.ci-migrate]" in words


def test_alembic_config_relative_to_what_set_it(project):
    (project / "db").mkdir()
    (project / "db" / "a.ini").write_text("")
    write(project, '[tool.ci-migrate]\nalembic-config = "db/a.ini"\n')
    assert load(project / "db", {}, {}).alembic_config == project / "db" / "a.ini"
    flags = {"alembic_config": Path("a.ini")}
    assert load(project / "db", {}, flags).alembic_config == project / "db" / "a.ini"
    from_alembic = load(project / "db", {"ALEMBIC_CONFIG": "../alembic.ini"}, {})
    assert from_alembic.alembic_config == project / "db" / "a.ini"  # the settings are nearer to us
    write(project, "[tool.ci-migrate]\n")
    from_alembic = load(project / "db", {"ALEMBIC_CONFIG": "a.ini"}, {})
    assert from_alembic.alembic_config == project / "db" / "a.ini"
    assert from_alembic.sources["alembic-config"] == "ALEMBIC_CONFIG"


def test_alembic_config_may_be_a_pyproject(project):
    (project / "other").mkdir()
    write(project / "other", "[tool.alembic]\n")
    settings = load(project, {}, {"alembic-config": "other/pyproject.toml"})
    assert settings.alembic_config is None
    assert settings.alembic_toml == project / "other" / "pyproject.toml"


def test_folder_that_is_not_there(tmp_path):
    assert "no folder" in refusal(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert "not a folder" in refusal(tmp_path / "file")


# ------------------------------------------------------------------ what wins

PRECEDENCE = """
[tool.ci-migrate]
keep-backups = 10
lock-tries = 11
backup-dir = "project-backups"
on-failure = "back"

[tool.ci-migrate.targets.production]
url = "env:DATABASE_URL"
scratch = "server"
keep-backups = 20
lock-tries = 21
backup-dir = "target-backups"
"""


def test_precedence_and_sources(project):
    write(project, PRECEDENCE)
    environ = {"CI_MIGRATE_KEEP_BACKUPS": "30", "CI_MIGRATE_LOCK_TRIES": "31"}
    settings = load(project, environ, {"keep-backups": 40, "backup_dir": None})
    shown = {name: (value, source) for name, value, source in describe(settings)}
    assert shown["keep-backups"] == ("40", "--keep-backups")
    assert shown["lock-tries"] == ("31", "CI_MIGRATE_LOCK_TRIES")
    assert shown["backup-dir"] == (
        str(project / "target-backups"),
        "pyproject.toml [tool.ci-migrate.targets.production]",
    )
    assert shown["on-failure"] == ("back", "pyproject.toml [tool.ci-migrate]")
    assert shown["restore"] == ("never", "default")


def test_paths_start_from_what_set_them(project):
    write(
        project, '[tool.ci-migrate]\nbackup-dir = "b"\nclient-tools = "bin"\nplugins = ["checks.py", "mod"]\n'
    )
    below = project / "below"
    below.mkdir()
    settings = load(below, {"CI_MIGRATE_BACKUP_DIR": "e"}, {})
    assert settings.backup_dir == str(below / "e")
    assert settings.client_tools == project / "bin"
    assert settings.plugins == (str(project / "checks.py"), "mod")
    assert load(below, {"CI_MIGRATE_BACKUP_DIR": "s3://bucket/x"}, {}).backup_dir == "s3://bucket/x"


@pytest.mark.parametrize(
    ("variable", "text", "attribute", "value"),
    [
        ("AUTO_BACKUP", "false", "auto_backup", False),
        ("AUTO_BACKUP", "0", "auto_backup", False),
        ("REQUIRE_DOWNGRADE", "1", "require_downgrade", True),
        ("REQUIRE_DOWNGRADE", "TRUE", "require_downgrade", True),
        ("KEEP_BACKUPS", "12", "keep_backups", 12),
        ("LOCK_TIMEOUT", "500ms", "lock_timeout", 0.5),
        ("STALL_TIMEOUT", "30s", "stall_timeout", 30.0),
        ("STALL_TIMEOUT", "1.5", "stall_timeout", 1.5),
        ("MAX_DURATION", "2 h", "max_duration", 7200.0),
        ("REUSE_BACKUP", "1d", "reuse_backup", 86400.0),
        ("TAGS", "a, production", "tags", ("a", "production")),
        ("X", "k=a,b\nl=c", "x", ("k=a,b", "l=c")),
        ("CHECKS", "CM202=warning, CM301=ignore", "checks", {"CM202": "warning", "CM301": "ignore"}),
        ("BACKUP_DIR", "", "backup_dir", None),
    ],
)
def test_values_of_variables(project, variable, text, attribute, value):
    settings = load(project, {"CI_MIGRATE_" + variable: text}, {})
    if value is None:  # an empty variable is what CI systems pass for "not set"
        assert getattr(settings, attribute) == getattr(load(project, {}, {}), attribute)
    else:
        assert getattr(settings, attribute) == value
        assert settings.sources[attribute.replace("_", "-")] == "CI_MIGRATE_" + variable


def test_checks_and_allow_collect_over_all_places(project):
    write(
        project,
        """
[tool.ci-migrate]
checks = { CM101 = "warning", CM202 = "info" }
allow = ["CM202@3f2a=moved to profile"]
[tool.ci-migrate.targets.dev]
checks = { CM202 = "ignore" }
""",
    )
    settings = load(project, {}, {"allow": ("CM301@beef=small, table",), "x": ()})
    assert settings.checks == {"CM101": "warning", "CM202": "ignore"}
    assert settings.allow == ("CM202@3f2a=moved to profile", "CM301@beef=small, table")


# ------------------------------------------------------------------ targets

TWO_TARGETS = """
[tool.ci-migrate.targets.dev]
url = "sqlite:///app.db"
[tool.ci-migrate.targets.live]
url = "env:DATABASE_URL"
tags = ["Production"]
"""


def test_several_targets_and_none_named_are_listed(project):
    words = refusal(write(project, TWO_TARGETS))
    assert "dev, live" in words
    assert "--target" in words


def test_target_by_flag_and_by_variable(project):
    write(project, TWO_TARGETS)
    settings = load(project, {"CI_MIGRATE_TARGET": "live"}, {})
    assert (settings.target, settings.sources["target"]) == ("live", "CI_MIGRATE_TARGET")
    settings = load(project, {"CI_MIGRATE_TARGET": "live"}, {"target": "dev"})
    assert (settings.target, settings.sources["target"]) == ("dev", "--target")


def test_target_that_is_not_there(project):
    words = refusal(write(project, TWO_TARGETS), flags={"target": "liv"})
    assert "liv" in words
    assert "dev, live" in words
    (project / "pyproject.toml").unlink()
    assert "No settings define a target" in refusal(project, flags={"target": "live"})


@pytest.mark.parametrize("name", ["", "-rf", "a b", "../up", "a\\nb", "x" * 200])
def test_names_that_no_target_may_have(project, name):
    words = refusal(write(project, f'[tool.ci-migrate.targets."{name}"]\n'))
    assert "can't be a target's name" in words
    assert all(line.isprintable() for line in words.splitlines())


def test_the_only_target_is_taken(project):
    settings = load(write(project, '[tool.ci-migrate.targets.dev]\nurl = "sqlite:///app.db"\n'), {}, {})
    assert settings.target == "dev"
    assert settings.resolve_url() == f"sqlite:///{project}/app.db"


@pytest.mark.parametrize(
    ("target", "extra", "environ", "reason"),
    [
        ("dev", "", {}, ""),
        ("prod", "", {}, "named prod"),
        ("Production", "", {}, "named Production"),
        ("prod", "tags = []", {}, "named prod"),
        ("live", 'tags = ["eu", "PROD"]', {}, "tag PROD"),
        ("live", 'tags = ["products"]', {}, ""),
        ("dev", "", {"CI_ENVIRONMENT_TIER": "production"}, "CI_ENVIRONMENT_TIER=production"),
        ("dev", "", {"CI_ENVIRONMENT_NAME": "production/eu"}, "CI_ENVIRONMENT_NAME=production/eu"),
        ("dev", "", {"CI_ENVIRONMENT_NAME": "Prod"}, "CI_ENVIRONMENT_NAME=Prod"),
        ("dev", "", {"CI_MIGRATE_ENVIRONMENT": "production"}, "CI_MIGRATE_ENVIRONMENT=production"),
        ("dev", "", {"CI_ENVIRONMENT_TIER": "staging"}, ""),
    ],
)
def test_what_makes_a_target_production(project, target, extra, environ, reason):
    write(project, f'[tool.ci-migrate.targets.{target}]\nurl = "sqlite:///app.db"\n{extra}\n')
    settings = load(project, environ, {})
    assert settings.production is bool(reason)
    assert reason in settings.production_reason
    assert settings.needs_approval("migrate") is bool(reason)


def test_stages_that_inherit_and_stages_that_do_not(project):
    write(
        project,
        """
[tool.ci-migrate.targets.live]
tags = ["production"]
stages.dry-run.tags = []
stages.backup.tags = ["prod"]
stages.migrate.tags = ["night"]
""",
    )
    settings = load(project, {}, {})
    needing = {stage for stage in STAGES if settings.needs_approval(stage)}
    assert needing == {"migrate", "repair", "restore", "rollback", "backup"}
    assert (
        settings.sources["stages.backup.tags"]
        == "pyproject.toml [tool.ci-migrate.targets.live.stages.backup]"
    )
    without = load(project, {}, {"require-confirmation": False})
    assert not any(without.needs_approval(stage) for stage in STAGES)


def test_unknown_stage(project):
    words = refusal(write(project, "[tool.ci-migrate.targets.dev]\nstages.dryrun.tags = []\n"))
    assert "dryrun" in words
    assert '"dry-run"' in words


# ------------------------------------------------------------------ what is refused


def test_unknown_key_names_file_key_and_nearest(project):
    words = refusal(write(project, '[tool.ci-migrate]\nbakup_dir = "x"\n'))
    assert "pyproject.toml [tool.ci-migrate]" in words
    assert "bakup_dir" in words
    assert '"backup-dir"' in words


def test_unknown_key_in_a_target_that_was_not_chosen(project):
    write(project, TWO_TARGETS + 'scrach = "server"\n')
    words = refusal(project, flags={"target": "dev"})
    assert "pyproject.toml [tool.ci-migrate.targets.live]" in words
    assert '"scratch"' in words


@pytest.mark.parametrize("key", ["windows", "after", "min-approvals", "scratch-max-size"])
def test_keys_of_later_versions_are_unknown(project, key):
    assert f"unknown key {key}" in refusal(write(project, f"[tool.ci-migrate]\n{key} = 1\n"))


def test_unknown_variable(project):
    words = refusal(project, {"CI_MIGRATE_BACKUPDIR": "x"})
    assert "CI_MIGRATE_BACKUPDIR" in words
    assert '"backup-dir"' in words
    known = {"CI_MIGRATE_TOKEN": "x", "CI_MIGRATE_STAGE": "dry-run", "CI_MIGRATE_TRUST": "x"}
    assert load(project, known, {}).target == "default"


def test_key_in_the_wrong_table(project):
    words = refusal(write(project, '[tool.ci-migrate]\nurl = "sqlite:///app.db"\n'))
    assert "url can't stand here" in words
    assert "table of a target" in words
    words = refusal(write(project, '[tool.ci-migrate.targets.dev]\npython = "python3"\n'))
    assert "[tool.ci-migrate]" in words


@pytest.mark.parametrize(
    ("line", "expected", "found"),
    [
        ('keep-backups = "three"', "whole number", "the text three"),
        ("keep-backups = true", "whole number", "true"),
        ("keep-backups = 0", "from 1", "found 0"),
        ("keep-backups = -1", "from 1", "found -1"),
        ("keep-backups = 0xffffffffffffffffffffffff", "from 1", "too large"),
        ("auto-backup = 1", "true or false", "found 1"),
        ('auto-backup = "true"', "true or false", "the text true"),
        ('lock-timeout = "soon"', "duration", "the text soon"),
        ("lock-timeout = nan", "duration", "nan"),
        ("lock-timeout = inf", "duration", "inf|large"),
        ("lock-timeout = 0", "from 1 ms", "found 0"),
        ("stall-timeout = -5", "from 1 ms", "found -5"),
        ("max-duration = 1e300", "366 days", "too large"),
        ("tags = []", "can't stand here", ""),
        ('plugins = "a"', "a list", "the text a"),
        ("plugins = [1]", "a list", "a list that does not fit"),
        ('on-failure = "forward"', '"keep", "back"', "the text forward"),
        ('checks = { CM202 = "fatal" }', '"warning"', "a table that does not fit"),
        ("checks = []", "a table", "found a list"),
        ('allow = ["CM202"]', "REASON", "a list that does not fit"),
        ('allow = ["CM202@3f2a="]', "REASON", "a list that does not fit"),
        ("backup-dir = 2020-01-01", "a folder", "a date"),
        ('backup-dir = ""', "a folder", "the text"),
        ('configure = "module"', "module:function", "the text module"),
        ("targets = 3", "targets must hold tables", ""),
        ("targets.dev = 3", "targets must hold tables", ""),
        ("targets.dev.stages = [1]", "stages must hold tables", ""),
        ('targets.dev.url = "app.db"', "env:NAME", "another text"),
        ('targets.dev.url = "env:A B"', "env:NAME", "another text"),
        ("targets.dev.url = 3", "env:NAME", "found 3"),
        ('targets.dev.databases = "sqlite:///x"', "a table", "another text"),
    ],
)
def test_wrong_type_names_key_expected_and_found(project, line, expected, found):
    words = refusal(write(project, f"[tool.ci-migrate]\n{line}\n"))
    assert "pyproject.toml [tool.ci-migrate" in words
    assert expected in words
    assert re.search(found, words)


def test_wrong_type_of_a_secret_shows_nothing_of_it(project):
    write(project, f'[tool.ci-migrate.targets.dev]\nurl = "{CANARY}"\n')
    assert CANARY not in refusal(project)
    (project / "pyproject.toml").unlink()
    assert CANARY not in refusal(project, {"CI_MIGRATE_URL": CANARY})


def test_malformed_toml_names_file_line_and_column(project):
    words = refusal(write(project, "[tool.ci-migrate]\nkeep-backups = \n"))
    assert "pyproject.toml" in words
    assert "line 2" in words
    assert "column" in words


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"a = 0x" + b"f" * 9000, b"a = " + b"9" * 9000, b"a=" + b"[" * 5000]
)
def test_files_that_are_hardly_toml(project, content):
    (project / "ci-migrate.toml").write_bytes(content)
    assert "ci-migrate.toml" in refusal(project)


def test_deeply_nested_tables(project):
    assert "unknown key a" in refusal(write(project, f"[tool.ci-migrate]\n{'.'.join('a' * 5000)} = 1\n"))


@pytest.mark.parametrize("kind", ["command", "none"])
def test_F87_a_dry_run_that_nobody_built_is_no_value(project, kind):
    words = refusal(project, {"CI_MIGRATE_DRY_RUN": kind})
    assert 'dry-run must be one of "backup", "schema", "off"' in words


@pytest.mark.parametrize("key", ["windows", "after", "scratch-max-size"])
def test_F87_a_key_that_nobody_built_is_unknown(project, key):
    write(project, f'[tool.ci-migrate.targets.dev]\n{key} = "1"\n')
    assert f"unknown key {key}; the nearest is" in refusal(project)


def test_F87_no_key_says_that_it_is_not_built():
    """What a key takes is what it does."""
    assert not [key.name for key in KEYS if "built" in key.meaning.replace("built-in", "").lower()]


def test_dry_run_off_is_refused_on_production_only(project):
    write(project, TWO_TARGETS)
    assert load(project, {}, {"target": "dev", "dry-run": "off"}).dry_run == "off"
    words = refusal(project, {}, {"target": "live", "dry-run": "off"})
    assert "production (tag Production)" in words
    assert "--dry-run" in words


def test_scratch_has_no_default_on_production(project):
    write(project, TWO_TARGETS)
    settings = load(project, {}, {"target": "live"})
    assert (settings.scratch, settings.sources["scratch"]) == (None, "default")
    with pytest.raises(SettingsError) as caught:
        settings.resolve_scratch_url()
    assert 'scratch = "server"' in caught.value.hint
    assert "live" in caught.value.what
    assert load(project, {}, {"target": "dev"}).resolve_scratch_url() is None
    assert load(project, {}, {"target": "live", "scratch": "server"}).resolve_scratch_url() is None
    other = load(project, {"SCRATCH": "postgresql://u@h/db"}, {"target": "live", "scratch": "env:SCRATCH"})
    assert other.resolve_scratch_url() == "postgresql://u@h/db"
    own = load(project, {}, {"target": "live", "scratch": "embedded"})
    assert (own.scratch, own.resolve_scratch_url()) == ("embedded", None)
    assert 'scratch must be "server", "embedded", or a URL' in refusal(
        project, {}, {"target": "live", "scratch": "elsewhere"}
    )


def test_default_target(project):
    write(project, f'[tool.ci-migrate]\ndefault-target = "dev"\n{TWO_TARGETS}')
    settings = load(project, {}, {})
    assert (settings.target, settings.sources["target"]) == (
        "dev",
        "default-target in pyproject.toml [tool.ci-migrate]",
    )
    assert load(project, {}, {"target": "live"}).target == "live"
    assert load(project, {"CI_MIGRATE_TARGET": "live"}, {}).target == "live"
    write(project, f'[tool.ci-migrate]\ndefault-target = "old"\n{TWO_TARGETS}')
    assert "no target named old (default-target in" in refusal(project)


# ------------------------------------------------------------------ the interpreter


def test_F80_the_environment_of_a_hook_is_not_the_projects(project):
    """pre-commit names its own environment, in which ci-migrate runs, as VIRTUAL_ENV."""
    hook = {"PRE_COMMIT": "1", "VIRTUAL_ENV": sys.prefix}
    assert load(project, hook, {}).sources["python"] == "default"
    make_python(project / ".venv")
    assert load(project, hook, {}).python == project / ".venv" / "bin" / "python"
    del hook["PRE_COMMIT"]
    assert load(project, hook, {}).sources["python"] == "VIRTUAL_ENV", "an active one is meant"


def make_python(folder):
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder / "bin" / "python"


def test_python_is_looked_for_in_this_order(project, tmp_path):
    assert load(project, {}, {}).python == Path(sys.executable)
    own = make_python(project / ".venv")
    settings = load(project, {}, {})
    assert (settings.python, settings.sources["python"]) == (
        own,
        ".venv",
    )  # the link itself, not what it leads to
    active = make_python(tmp_path / "active")
    settings = load(project, {"VIRTUAL_ENV": str(tmp_path / "active")}, {})
    assert (settings.python, settings.sources["python"]) == (active, "VIRTUAL_ENV")
    assert load(project, {"VIRTUAL_ENV": str(tmp_path / "gone")}, {}).python == own
    write(project, '[tool.ci-migrate]\npython = ".venv/bin/python"\n')
    settings = load(project, {"VIRTUAL_ENV": str(tmp_path / "active")}, {})
    assert (settings.python, settings.sources["python"]) == (own, "pyproject.toml [tool.ci-migrate]")


def test_python_by_name_is_looked_for_on_the_path(project, tmp_path):
    found = make_python(tmp_path / "env")
    environ = {"PATH": str(found.parent), "CI_MIGRATE_PYTHON": "python"}
    assert load(project, environ, {}).python == found
    assert "no such interpreter" in refusal(project, {"PATH": "", "CI_MIGRATE_PYTHON": "python"})
    assert "gone/python" in refusal(project, {"CI_MIGRATE_PYTHON": "gone/python"})


# ------------------------------------------------------------------ URLs and secrets


def with_url(project, url, **environ):
    write(project, f"[tool.ci-migrate.targets.dev]\nurl = {json.dumps(url)}\n")
    return load(project, environ, {})


def test_url_by_variable(project):
    settings = with_url(project, "env:DATABASE_URL", DATABASE_URL=f"postgresql://u:{CANARY}@h/db")
    assert settings.resolve_url() == f"postgresql://u:{CANARY}@h/db"
    assert settings.resolve_read_url() == settings.resolve_url()
    assert settings.url_variable == "DATABASE_URL"
    assert settings.read_url_variable is None


def test_url_by_variable_that_is_not_set_fails_only_when_asked(project):
    settings = with_url(project, "env:DATABASE_URL", DATABASE_URL=" ")
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        settings.resolve_url()


def test_url_by_file(project):
    settings = with_url(project, "file:secrets/url")
    with pytest.raises(SettingsError, match="secrets/url can't be read"):
        settings.resolve_url()
    (project / "secrets").mkdir()
    (project / "secrets" / "url").write_text(f"postgresql://u:{CANARY}@h/db\n")
    assert settings.resolve_url() == f"postgresql://u:{CANARY}@h/db"
    (project / "secrets" / "url").write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        settings.resolve_url()
    (project / "secrets" / "url").write_bytes(b"\xff\x00")
    with pytest.raises(SettingsError, match="not a text file"):
        settings.resolve_url()


def test_url_by_command_runs_without_a_shell_in_the_folder_of_the_file(project):
    (project / "ask.py").write_text(
        "import os, sys; print('postgresql://h/' + os.environ['NAME'] + sys.argv[1])"
    )
    settings = with_url(project, f"command:{sys.executable} ask.py '$(x) y'", NAME="shop")
    assert settings.resolve_url() == "postgresql://h/shop$(x) y"


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        ("'unclosed", SettingsError, "quote"),
        ("''", CiMigrateError, "could not be started|is empty"),
        ("no-such-program-here", ToolError, "could not be started"),
        ("false", ToolError, "exit code 1"),
        ("true", SettingsError, "must print one line"),
        ("printf 'a\\nb'", SettingsError, "it printed 2"),
    ],
)
def test_commands_that_give_no_url(project, command, error, words):
    with pytest.raises(error, match=words):
        with_url(project, "command:" + command).resolve_url()


def test_url_that_is_not_set(project):
    with pytest.raises(SettingsError, match="default has no url"):
        load(project, {}, {}).resolve_url()


@pytest.mark.parametrize(
    "url", [f"postgresql://u:{CANARY}@h:notaport/db", f"{CANARY}", f"://{CANARY}", f"u:{CANARY}@h"]
)
def test_unparsable_url_is_not_quoted(project, url):
    settings = with_url(project, "env:DATABASE_URL", DATABASE_URL=url)
    with pytest.raises(SettingsError) as caught:
        settings.resolve_url()
    assert "can't be parsed" in caught.value.what
    seen: BaseException | None = caught.value
    while seen is not None:  # a traceback under --debug prints the chain, except what was cut off
        assert CANARY not in str(seen) + str(getattr(seen, "lines", ""))
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


@pytest.mark.parametrize(
    ("url", "means"),
    [
        ("postgres://u@h/db", "postgresql://u@h/db"),
        ("postgres+psycopg2://u@h/db", "postgresql+psycopg2://u@h/db"),
        ("postgresql+asyncpg://h/db?ssl=require", "postgresql+asyncpg://h/db?ssl=require"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite+aiosqlite:///data/app.db", "sqlite+aiosqlite:///{project}/data/app.db"),
        ("sqlite:////srv/app.db", "sqlite:////srv/app.db"),
        ("sqlite:///app.db?timeout=3", "sqlite:///{project}/app.db?timeout=3"),
        ("sqlite:///file:app.db?uri=true", "sqlite:///file:app.db?uri=true"),
        ("postgresql://u%40x@h/d%25b", "postgresql://u%40x@h/d%25b"),
    ],
)
def test_urls_as_they_are_meant(project, url, means):
    assert with_url(project, url).resolve_url() == means.format(project=project)


def test_sqlite_file_in_a_variable_of_ours_starts_from_where_the_command_was_given(project):
    below = project / "below"
    below.mkdir()
    settings = load(below, {"CI_MIGRATE_URL": "sqlite:///app.db"}, {})
    assert settings.resolve_url() == f"sqlite:///{below}/app.db"


def test_read_url_databases_and_state(project):
    write(
        project,
        """
[tool.ci-migrate]
state = "sqlite:///ledger.db"
[tool.ci-migrate.targets.dev]
url = "env:A"
read-url = "env:B"
databases = { engine2 = "env:C", engine3 = "sqlite:///three.db" }
""",
    )
    settings = load(project, {"B": "postgresql://b/b", "C": "postgresql://c/c"}, {})
    assert settings.resolve_read_url() == "postgresql://b/b"
    assert settings.read_url_variable == "B"
    assert settings.resolve_databases() == {
        "engine2": "postgresql://c/c",
        "engine3": f"sqlite:///{project}/three.db",
    }
    assert settings.resolve_state() == f"sqlite:///{project}/ledger.db"


PASSWORDS = [
    f"postgresql://user:{CANARY}@host/db",
    f"postgresql://user:{CANARY}@:/%#x@host/db",
    f"postgresql://:{CANARY}@host/db",
    f"postgresql://host/db?user=u&password={CANARY}",
    f"mysql+pymysql://host/db?passwd={CANARY}",
    f"postgresql://host/db?sslmode=require&PASSWORD={CANARY}",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3D%7Bx%7D%3BUID%3Du%3BPWD%3D{CANARY}",
]


@pytest.mark.parametrize("url", PASSWORDS)
@pytest.mark.parametrize(
    "key",
    ["targets.dev.url", "targets.dev.databases.two", "state", "scratch", "backup-dir", "x", "unknown-key"],
)
def test_password_in_a_settings_file_is_refused_whatever_the_key(project, key, url):
    value = json.dumps([f"url={url}"] if key == "x" else url)
    words = refusal(write(project, f"[tool.ci-migrate]\n{key} = {value}\n"))
    assert "holds a password" in words
    assert f"pyproject.toml: {key} " in words
    assert CANARY not in words


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@host:5432/db?sslmode=require",
        "postgresql://user@host/db?passfile=/run/pgpass",
        "sqlite:///data/app.db",
        "sqlite:////srv/a@b/app.db",
        "s3://bucket/prefix",
        "env:DATABASE_PASSWORD",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BTrusted_Connection%3Dyes",
    ],
)
def test_urls_without_a_password_are_not_refused(url):
    assert not holds_password(url)


@pytest.mark.parametrize("url", PASSWORDS)
def test_secrets_are_shown_nowhere(project, url):
    environ = {
        "CI_MIGRATE_URL": url,
        "CI_MIGRATE_STATE": url,
        "CI_MIGRATE_SCRATCH": url,
        "CI_MIGRATE_X": f"u={url}",
    }
    settings = load(project, environ | {"CI_MIGRATE_BACKUP_DIR": url}, {})
    assert CANARY not in repr(settings)
    assert CANARY not in str(settings)
    assert CANARY not in str(describe(settings))
    assert CANARY not in redact(url)
    assert {name: value for name, value, _ in describe(settings)}["url"].count("***") == 1


def test_secret_hides_itself():
    secret = Secret(CANARY)
    assert CANARY not in f"{secret} {secret!r} {[secret]} %s" % secret
    assert secret.reveal() == CANARY


def test_describe_shows_of_a_command_only_the_program(project):
    settings = with_url(project, f"command:vault read {CANARY}")
    shown = {name: value for name, value, _ in describe(settings)}
    assert shown["url"] == "command:vault ***"
    assert shown["production"] == "false"


# ------------------------------------------------------------------ the table, the class and the documentation


def test_every_key_is_an_attribute_and_every_attribute_a_key():
    structural = {
        "target",
        "directory",
        "project_dir",
        "sources",
        "stage_tags",
        "environ",
        "bases",
        "alembic_toml",
        "stands_for",
        "masked",
    }
    fields = {one.name for one in dataclasses.fields(Settings)}
    assert fields - structural == {key.attribute for key in KEYS}
    assert len({key.name for key in KEYS}) == len(KEYS)


def test_every_key_is_described(project):
    settings = load(project, {}, {})
    assert {key.name for key in KEYS} <= {name for name, _, _ in describe(settings)}
    assert {key.name for key in KEYS} <= settings.sources.keys()


def documented_default(default):
    if default is None or default in ([], {}):
        return ""
    return f"`{json.dumps(default)}`"


def test_the_documentation_has_the_same_table():
    """On a difference: paste the rows that the failure prints into docs/settings.md."""
    rows = [
        f"| `{key.name}` | {documented_default(key.default)} | {', '.join(key.scopes)} | {key.kind.words} "
        f"| {key.meaning} |"
        for key in KEYS
    ]
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    found = [line for line in text.partition("## All keys")[2].splitlines() if line.startswith("| `")]
    assert found == rows, "\n".join(rows)


def test_the_example_of_the_documentation_is_valid(project):
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    example = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0]
    write(project, example)
    for target in ("dev", "production"):
        assert load(project, {}, {"target": target}).target == target


def test_reading_settings_imports_neither_sqlalchemy_nor_alembic(project):
    code = (
        "import sys; from pathlib import Path; from ci_migrate.settings.settings import load\n"
        "from ci_migrate.settings.listing import describe\n"
        "describe(load(Path(sys.argv[1]), {}, {}))\n"
        "sys.exit(','.join(m for m in ('sqlalchemy', 'alembic', 'click', 'subprocess') if m in sys.modules) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------ whatever is written

NAMES = st.sampled_from(
    [key.name for key in KEYS] + ["targets", "stages", "dev", "prod", "migrate"]
) | st.text(max_size=8)
SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["env:X", "file:x", "command:x", "sqlite:///x", "10min", "backup", "off", "a\0b", "x" * 5000]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
TYPICAL = st.dictionaries(NAMES, VALUES, max_size=5)
TARGETS = st.fixed_dictionaries({"targets": st.dictionaries(NAMES, TYPICAL, max_size=2)})


def toml(value):
    """A value as TOML text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def load_text(text):
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / ".git").mkdir()
        (directory / "alembic.ini").touch()
        (directory / "ci-migrate.toml").write_bytes(text.encode(errors="replace"))
        try:
            settings = load(directory, {}, {})
        except SettingsError as error:
            assert len(error.lines) <= 3
            assert all(line.isprintable() for line in error.lines), error.lines
        else:
            describe(settings)
            settings.needs_approval("migrate")


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TYPICAL | TARGETS)
def test_any_document_gives_settings_or_a_settings_error(document):
    load_text("\n".join(f"{json.dumps(name)} = {toml(value)}" for name, value in document.items()))


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_gives_settings_or_a_settings_error(text):
    load_text(text)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from([key.variable for key in KEYS]), st.text(max_size=30), max_size=3))
def test_any_variables_give_settings_or_a_settings_error(project, environ):
    try:
        describe(load(project, environ, {}))
    except SettingsError as error:
        assert len(error.lines) <= 3
