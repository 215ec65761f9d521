"""What a message names can be typed by whoever reads it: over HTTP that is a call."""

import shlex
import time
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.approval.command_lines import generate_command
from ci_migrate.model import Identity, Restoration
from ci_migrate.server.routes import router
from ci_migrate.server.wording import PREFIX, over_http
from ci_migrate.verbs import VERBS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ci-migrate repair --target dev", "POST {}/repair"),
        ("ci-migrate repair --forward --target dev   (shows first: --dry-run)",
         "POST {}/repair?forward=true   (shows first: --dry-run)"),
        ("Next: ci-migrate run --target 'a b'", "Next: POST {}/migrate-with-backup"),
        ("see `ci-migrate backup list`.", "see `GET {}/backup/list`."),
        ("ci-migrate backup restore backup_r1_2 --target dev --yes", "POST {}/backup/backup_r1_2/restore"),
        ("ci-migrate rollback --to r1 --target dev.", "POST {}/rollback?targetVersion=r1."),
        ("CI_MIGRATE_TOKEN=TOKEN ci-migrate run --target x", "POST {}/migrate-with-backup"),
        ("ci-migrate stamp 'a&b' --reason 'why not'", "POST {}/stamp?revision=a%26b"),
        ("ci-migrate verify --target dev, then again", "POST {}/verify, then again"),
        ("ci-migrate protect --target dev --unfreeze", "ci-migrate protect --target dev --unfreeze"),
        ("ci-migrate has not migrated this target yet", "ci-migrate has not migrated this target yet"),
        ("ci-migrate backup restore", "ci-migrate backup restore"),
        ("ci-migrate token generate --repair r_1", "POST {}/generate-token?repair=r_1"),
        ("ci-migrate token generate --target x --repair r_1 --forward --reason 'why'",
         "POST {}/generate-token?repair=r_1&forward=true"),
        ("ci-migrate token generate --rollback --to 'a+b'", "POST {}/generate-token?targetVersion=a%2Bb"),
        ("ci-migrate token generate --stamp --to r1", "POST {}/generate-token?stamp=r1"),
        ("ci-migrate token generate --to r1", "ci-migrate token generate --to r1"),
        ("ci-migrate token request --delete-backup b_1 --delete-backup b_2",
         "POST {}/request-approval?deleteBackup=b_1&deleteBackup=b_2"),
        ("ci-migrate token request --restore b_1 --table 'a&b'", "POST {}/request-approval?backupId=b_1&tables=a%26b"),
        ("ci-migrate token request --drop-old --target x", "POST {}/request-approval?dropOld=true"),
        ("ci-migrate backup restore --drop-old --yes --target x", "POST {}/backup/drop-old"),
        ("ci-migrate backup restore b_1 --table users --target x", "POST {}/backup/b_1/restore?tables=users"),
        ("ci-migrate backup prune --keep 2 --yes", "POST {}/backup/prune?keep=2"),
        ("ci-migrate token generate --target x --reason 'why'", "POST {}/generate-token"),
        ("ci-migrate repair was run: all is as before", "ci-migrate repair was run: all is as before"),
    ],
)  # fmt: skip
def test_F30_a_command_is_told_as_the_call_that_does_the_same(text, told):
    assert over_http(text) == told.replace("{}", PREFIX)


NAMES = st.lists(st.text("ab1 '\"&%#+=/ü🚚_-;|(`$\\", min_size=1, max_size=6), min_size=1, max_size=3)


@given(names=NAMES)
def test_a_call_names_exactly_what_its_command_names_or_stays_one(names):
    """Whatever tables are called: a call that left one of them out would be approved for something else."""
    identity = Identity(dialect="sqlite", place="/srv/app.db", facts={})
    plan = Restoration(
        target="shop", identity=identity, backup_id="backup_r1", manifest_sha256="0" * 64, place="/b",
        heads=(), tables=tuple(names),
    )  # fmt: skip
    command = shlex.join(generate_command(plan))
    told = over_http(command)
    if told == command:
        assert any(letter in "".join(names) for letter in ";|(`") or "  " in command, (
            "nothing kept it from it"
        )
        return
    way, _, query = told.partition("?")
    assert way == f"POST {PREFIX}/generate-token"
    assert parse_qs(query) == {"backupId": ["backup_r1"], "tables": names}


@pytest.mark.parametrize("name", [name for name in VERBS if name != "backup restore --table"])
def test_each_command_is_a_call_of_ours_or_stays_a_command(name):
    paths = {(m, r.path.removeprefix(PREFIX)) for r in router.routes for m in r.methods}
    told = over_http(f"ci-migrate {name} --target shop")
    if told.startswith("ci-migrate"):
        assert told == f"ci-migrate {name} --target shop", "a part of it would be another command"
        return
    method, _, place = told.partition(" ")
    assert (method, place.removeprefix(PREFIX).partition("?")[0]) in paths


@pytest.mark.parametrize(
    "text", ["", "ci-migrate", "ci-migrate ", "no command", "ci-migrate 'run", "ci-migrate\nrun"]
)
def test_what_is_no_command_stays_as_it_is(text):
    assert over_http(text) == text


def test_a_text_is_told_in_time_whatever_it_holds():
    """Messages hold what a revision printed."""
    began = time.monotonic()
    for text in ("ci-migrate run " * 3000, "ci-migrate " + "a " * 20_000, "ci-migrate run" + "  " * 20_000):
        over_http(text)
    assert time.monotonic() - began < 5
