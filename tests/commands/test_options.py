"""Options that commands share: a destination, a token, what stands above the settings; and what is none of them."""

import io

import pytest
from alembic_project import ended

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import TOKEN_LIMIT, refuse_tokens, settings_of, token_of
from ci_migrate.errors import UsageError
from ci_migrate.settings.secrets import SECRETS

TOKEN = "3f2a77c1-0d4e-4b6a-9d3e-0f4b6a9d3e0f"


def environment(folder, **environ: str) -> Environment:
    return Environment(directory=folder, debug=False, environ=environ)


# ------------------------------------------------------------------ the destination


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", ""],
        ["run", "--to", ""],
        ["run", "--to", " "],
        ["migrate", "--to", ""],
        ["plan", "--to", ""],
        ["rollback", "--to", ""],
        ["rollback", "--to", "", "--by", "restore", "--yes"],
        ["stamp", "", "--reason", "x"],
        ["token", "generate", "--reason", "x", "--to", ""],
    ],
)
def test_an_empty_destination_is_not_the_default_one(alembic_project, arguments):
    """`--to "$REVISION"` of a script in which nobody set it would have migrated to head."""
    done = alembic_project.call(*arguments)
    ended(done, 2, "The destination is empty.", "an id, head, base, +1; or leave it out.")
    assert alembic_project.heads == []
    assert not (alembic_project.folder / "app.db.ci-migrate").exists()


def test_an_empty_destination_in_the_settings_is_refused_there(alembic_project):
    ended(alembic_project.call("plan", env={"CI_MIGRATE_TO": " "}), 0, "base -> r2")
    alembic_project.settings('to = ""\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    ended(alembic_project.call("plan"), 2, "to must be a text")


# ------------------------------------------------------------------ the token


def test_where_a_token_comes_from(tmp_path, monkeypatch):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert token_of(environment(tmp_path), None) is None
    assert token_of(environment(tmp_path, CI_MIGRATE_TOKEN=""), None) is None, (
        "as a CI sets it without the secret"
    )
    assert token_of(environment(tmp_path, CI_MIGRATE_TOKEN="a"), None).reveal() == "a"
    found = token_of(environment(tmp_path, CI_MIGRATE_TOKEN="a"), "token")
    assert found.reveal().strip() == TOKEN, "a file that was named counts more"
    assert TOKEN not in f"{found} {found!r}"
    assert SECRETS.hide(f"token {TOKEN}.") == "token ***."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't be read: No such file or directory."),
        (b"\xff\xfe", "can't be read: it is no text."),
        (b"x" * (TOKEN_LIMIT + 1), "is too long to be a token."),
    ],
)
def test_files_that_hold_no_token(tmp_path, content, words):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        token_of(environment(tmp_path), "token")
    assert words in caught.value.what


def test_a_pipe_that_nobody_ends_is_not_read_for_ever(tmp_path):
    """`--token-file /dev/zero` would fill the memory."""
    with pytest.raises(UsageError, match="too long"):
        token_of(environment(tmp_path), "/dev/zero")


def test_a_token_by_standard_input(alembic_project, monkeypatch):
    alembic_project.settings(
        '[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\nscratch = "server"\n'
    )
    made = alembic_project.call("token", "generate", "--reason", "x", "--quiet")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(made.out.encode())))
    ended(alembic_project.call("token", "validate", "--token-file", "-"), 0, "Valid until")


@pytest.mark.parametrize("word", [TOKEN, f"--token-file={TOKEN}", f"CI_MIGRATE_TOKEN={TOKEN}"])
def test_a_token_as_an_argument_is_refused_and_not_repeated(word):
    with pytest.raises(UsageError) as caught:
        refuse_tokens(["run", word])
    assert TOKEN not in " ".join(caught.value.lines)
    assert "token revoke" in caught.value.hint


@pytest.mark.parametrize(
    "words", [[], [""], ["r1"], ["0" * 36], ["-" * 36], [TOKEN[:-1]], ["a" * 200], ["=" * 40]]
)
def test_what_is_no_token_may_stand_there(words):
    refuse_tokens(words)


# ------------------------------------------------------------------ settings on top


def test_only_flags_that_were_given_stand_above_the_settings(alembic_project):
    flags = {"x": ("a=1", "b=2"), "allow": (), "backup_dir": None, "alembic_config": None, "target": "dev"}
    found = settings_of(environment(alembic_project.folder), flags)
    assert (found.target, found.x, found.allow) == ("dev", ("a=1", "b=2"), ())
    assert found.sources["backup-dir"] == "default"


def test_x_reaches_env_py_as_it_was_given(alembic_project):
    env = alembic_project.folder / "migrations" / "env.py"
    env.write_text("import pathlib\nfrom alembic import context\n"
                   "pathlib.Path('x').write_text(repr(context.get_x_argument()))\n" + env.read_text())  # fmt: skip
    alembic_project.call("plan", "-x", "tenant=a,b", "-x", "mode==x y")
    assert (alembic_project.folder / "x").read_text() == "['tenant=a,b', 'mode==x y']"


def test_who_reads_nothing_more_ends_nothing(shop):
    """`ci-migrate settings | head -1`: no traceback, and no exit 0 for an answer that was not read."""
    child = shop.start("settings")
    child.stdout.close()
    child.stdout = None
    _, err = child.communicate(timeout=60)
    assert "Traceback" not in err
    assert child.returncode == 8, "1 would be: the gate said no"


def test_a_folder_by_c_is_where_relative_paths_of_flags_begin(shop):
    (shop.folder / "below").mkdir(exist_ok=True)
    shown = ended(shop.call("-C", str(shop.folder / "below"), "settings", "--backup-dir", "b"), 0)
    assert str(shop.folder / "below" / "b") in shown
