"""URLs of settings: no password is shown, and the file that is meant is the file that is opened."""

import os
import stat
from pathlib import Path

import pytest
from alembic_project import ended, new_project
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from ci_migrate.errors import SettingsError
from ci_migrate.settings.kinds import Secret
from ci_migrate.settings.secrets import SECRETS
from ci_migrate.settings.urls import holds_password, redact, resolve, resolve_key, show_url, variable_of

CANARY = "canary-hunter2"


def resolved(text: str, base: Path = Path("/srv"), **environ: str) -> str:
    return resolve(Secret(text), key="url", source="ci-migrate.toml", base=base, environ=environ)


def refused(text: str, base: Path = Path("/srv"), **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        resolved(text, base, **environ)
    assert CANARY not in " ".join(caught.value.lines)
    return caught.value


# ------------------------------------------------------------------ passwords

USERS = st.text("abc.%40", max_size=5)
PASSWORDS = st.text("abc@:/%#?&=+ ", min_size=1, max_size=8).map(lambda text: f"<{text}>")


@given(USERS, PASSWORDS, st.sampled_from(["db", "db:5432", "[::1]:5432", ""]), st.text("abc?=&", max_size=8))
def test_no_part_of_a_password_is_left(user, password, host, rest):
    """Whatever of `@ : / % # ?` it holds, and nobody wrote it as a URL wants it."""
    url = f"postgresql://{user}:{password}@{host}/{rest}"
    assert holds_password(url)
    for shown in (redact(url), show_url(url), show_url(Secret(url)), redact(f"see {url}")):
        assert "<" not in shown
        assert ">" not in shown
        assert "***" in shown


@given(st.text("abc:/@?=&;pwd*%3", max_size=40))
def test_what_is_redacted_once_is_redacted(text):
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        (
            "postgresql://h/db?user=u&password=p&sslmode=require",
            "postgresql://h/db?user=u&password=***&sslmode=require",
        ),
        ("mysql://h/db?ssl_key_password=p;x=1", "mysql://h/db?ssl_key_password=***;x=1"),
        ("s3://bucket/x?aws_secret_access_key=p", "s3://bucket/x?aws_secret_access_key=***"),
        ("mssql:///?odbc_connect=PWD%3Dp", "mssql:///?odbc_connect=***"),
        (
            "postgresql://a:1@h/x postgresql://b:2@h/y",
            "postgresql://a:***@h/y",
        ),  # too much rather than too little
        ("env:DATABASE_URL", "env:DATABASE_URL"),
        ("file:/run/secrets/url", "file:/run/secrets/url"),
        ("command:vault read -field=url x", "command:vault ***"),
        ("command:vault", "command:vault"),
        ("command:", "command:"),
        ("command:   ", "command:"),
        ("", ""),
    ],
)
def test_a_setting_as_it_is_shown(text, shown):
    assert show_url(text) == show_url(Secret(text)) == shown


def test_a_text_that_looks_like_an_empty_command_is_shown_as_any_other(tmp_path):
    """Any text of the settings is shown by the same words; `command:` is a (senseless) revision."""
    project = new_project(tmp_path)
    project.settings('to = "command:"\n')
    assert "command:" in ended(project.call("settings"), 0)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, None),
        (Secret("env:A_1"), "A_1"),
        (Secret("file:env"), None),
        (Secret("postgresql://h/env:A"), None),
    ],
)
def test_the_variable_of_a_setting(value, name):
    assert variable_of(value) == name


# ------------------------------------------------------------------ which file


@pytest.mark.parametrize(
    "rest", ["app.db", "./app.db", "data/app.db", "../app.db", "a b.db", "ü.db", "app.db?timeout=3"]
)
@pytest.mark.parametrize(
    "folder", ["plain", "with space", "ünïcode", "a@b:c", "a#b", "a&b=c", "a;b", "it's", "a+b"]
)
def test_a_relative_file_starts_from_the_folder_of_its_setting(tmp_path, folder, rest):
    base = tmp_path / folder
    url = make_url(resolved(f"sqlite:///{rest}", base))
    assert url.database == str(base / rest.partition("?")[0])
    assert dict(url.query) == ({"timeout": "3"} if "?" in rest else {})


@pytest.mark.parametrize("folder", ["what?", "a?b=c", "?"])
def test_a_folder_that_no_url_can_name_is_refused(tmp_path, folder):
    error = refused("sqlite:///app.db", tmp_path / folder)
    assert str(tmp_path / folder) in error.what
    assert error.hint == "Rename the folder."


def test_a_folder_whose_name_another_sqlalchemy_reads_otherwise(tmp_path):
    """2.1 reads `%41` as A, 2.0 as it stands: where it is the folder, it is opened; else it is refused."""
    try:
        found = make_url(resolved("sqlite:///app.db", tmp_path / "a%41b")).database
    except SettingsError as error:
        assert "a%41b" in error.what
    else:
        assert found == str(tmp_path / "a%41b" / "app.db")


def test_no_other_database_is_migrated_in_such_a_folder(tmp_path):
    folder = tmp_path / "shop?v=2"
    folder.mkdir()
    project = new_project(folder)
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    ended(project.call("run"), 2, "which no URL can name: it has a ? or a % in it.", "Rename the folder.")
    assert not (tmp_path / "shop").exists(), "the file that the URL would have named"


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file:app.db?uri=true", "sqlite:////srv/a.db", "duck:///x"],
)
def test_what_is_no_relative_file_stays_as_it_is(url):
    assert resolved(url, Path("/srv/what?")) == url


# ------------------------------------------------------------------ where it comes from


@pytest.mark.parametrize("value", ["sqlite:////srv/caf\udce9.db", "postgresql://u:canary-hunter2\udcff@h/db"])
def test_bytes_that_are_no_text(value):
    """As Python reads them from a variable that is no UTF-8."""
    assert "can't be parsed" in refused("env:U", U=value).what


def test_a_password_is_known_before_it_can_be_printed(tmp_path):
    (tmp_path / "url").write_text(f"  postgresql://u:{CANARY}@h/db \n")
    assert not SECRETS.holds(f"x{CANARY}")
    assert resolved("file:url", tmp_path) == f"postgresql://u:{CANARY}@h/db"
    assert SECRETS.holds(f"x{CANARY}")


@pytest.mark.parametrize("form", ["fifo", "folder", "pipe"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, form):
    """The URL is asked for more than once: of `<(vault ...)` the second reading would be empty."""
    if form == "fifo":
        os.mkfifo(tmp_path / "url")
    elif form == "folder":
        (tmp_path / "url").mkdir()
    else:
        reading, writing = os.pipe()
        os.write(writing, b"sqlite:///app.db\n")
        os.close(writing)
        (tmp_path / "url").symlink_to(f"/dev/fd/{reading}")
    error = refused("file:url", tmp_path)
    assert error.what == f"url (ci-migrate.toml): {tmp_path / 'url'} is no regular file."
    assert "command:" in error.hint


def test_a_pipe_is_not_read_when_the_settings_are(tmp_path):
    project = new_project(tmp_path)
    os.mkfifo(tmp_path / "url")
    done = project.call("check", env={"CI_MIGRATE_URL": "file:url"})
    ended(done, 2, "url (CI_MIGRATE_URL)", "is no regular file.")


def test_a_link_to_a_file_is_one(tmp_path):
    """How Kubernetes mounts secrets."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "url").write_text("postgresql://h/db")
    (tmp_path / "url").symlink_to("..data/url")
    assert resolved("file:url", tmp_path) == "postgresql://h/db"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two\nlines://h/db", "can't be parsed"),
        ("\ufeffpostgresql://h/db", "can't be parsed"),
        ("postgresql:h", "can't be parsed"),
    ],
)
def test_files_that_hold_something_else(tmp_path, text, words):
    (tmp_path / "url").write_text(text)
    assert words in refused("file:url", tmp_path).what


@pytest.mark.parametrize("printed", [0, 2, 3])
def test_a_command_that_prints_no_line_or_several(tmp_path, printed):
    lines = rf"{CANARY}\n" * printed
    error = refused(f"command:printf '{lines}'", tmp_path, PATH=os.environ["PATH"])
    assert error.what == f"url (ci-migrate.toml): printf must print one line, the URL; it printed {printed}."


def test_a_command_does_not_get_what_permits_or_leads_somewhere(tmp_path):
    """A program of the repository that prints a URL needs neither the token nor the other URLs."""
    url = resolved(
        "command:sh -c 'echo sqlite:////$A$CI_MIGRATE_TOKEN$CI_MIGRATE_URL'", tmp_path,
        A="a", CI_MIGRATE_TOKEN="t", CI_MIGRATE_URL="u", PATH=os.environ["PATH"],
    )  # fmt: skip
    assert url == "sqlite:////a"


# ------------------------------------------------------------------ private keys


def key(text: str, base: Path, **environ: str) -> str:
    return resolve_key(Secret(text), key="backup-identity", source="--x", base=base, environ=environ)


def test_a_key_from_a_file_of_its_own(tmp_path, monkeypatch):
    file = tmp_path / "key"
    file.write_text("AGE-SECRET-KEY-1CANARY\n")
    file.chmod(0o600)
    assert key("file:key", tmp_path) == "AGE-SECRET-KEY-1CANARY"
    assert SECRETS.hide("age: AGE-SECRET-KEY-1CANARY") == "age: ***"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert key("file:~/key", Path("/srv")) == "AGE-SECRET-KEY-1CANARY"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode):
    file = tmp_path / "key"
    file.write_text("secret")
    file.chmod(mode)
    with pytest.raises(SettingsError, match="others may read") as caught:
        key("file:key", tmp_path)
    assert caught.value.hint == f"chmod 600 {file}"
    assert stat.S_IMODE(file.stat().st_mode) == mode, "and left as it is"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("env:NONE", "The environment variable NONE is not set"),
        ("file:none", "none can't be read: No such file or directory."),
        ("file:~nobody-of-this-name/key", "there is no home folder for ~nobody-of-this-name/key."),
        ("file:empty", "empty is empty."),
        ("file:binary", "binary is not a text file."),
    ],
)
def test_there_is_no_key(tmp_path, text, words):
    (tmp_path / "empty").touch(0o600)
    (tmp_path / "binary").touch(0o600)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError) as caught:
        key(text, tmp_path)
    assert words in caught.value.what
    assert "backup-identity (--x)" in caught.value.what


def test_a_key_in_a_variable_may_have_several_lines(tmp_path):
    lines = "# created: today\nAGE-SECRET-KEY-1CANARY"
    assert key("env:KEY", tmp_path, KEY=f"\n{lines}\n") == lines
    assert SECRETS.hide("AGE-SECRET-KEY-1CANARY created: today") == "*** created: today"
