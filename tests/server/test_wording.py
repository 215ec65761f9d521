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
