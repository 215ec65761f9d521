"""What a message names can be typed by whoever reads it: over HTTP that is a call."""

import pytest

from ci_migrate.server.wording import PREFIX, over_http


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
        ("ci-migrate token generate --repair r_1", "ci-migrate token generate --repair r_1"),
        ("ci-migrate token generate --target x --reason 'why'", "POST {}/generate-token"),
        ("ci-migrate repair was run: all is as before", "ci-migrate repair was run: all is as before"),
    ],
)  # fmt: skip
def test_F30_a_command_is_told_as_the_call_that_does_the_same(text, told):
    assert over_http(text) == told.replace("{}", PREFIX)
