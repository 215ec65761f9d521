"""Who writes a table of the ledger by SQL leaves the audit trail behind, and is found."""

import sqlite3

import pytest
from signing_support import Approver


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A protected target with two approvers, a used and a revoked token, and keys; every way is one of ours."""
    from alembic_project import new_project

    folder = tmp_path_factory.mktemp("guarded")
    (folder / "shop").mkdir()
    project = new_project(folder / "shop")
    project.settings('[targets.shop]\nurl = "sqlite:///app.db"\nscratch = "server"\n')

    def good(*arguments, **how):
        done = project.call(*arguments, **how)
        assert done.code == 0, done.text
        return done.out.strip()

    good("protect", "--by", "admin")
    token = good("token", "generate", "--reason", "release", "--quiet")
    good("run", env={"CI_MIGRATE_TOKEN": token})
    good("serve", "key", "create", "ana", "--role", "viewer", "--target", "shop")
    good("protect", "--freeze", "incident 42")
    project.approver = Approver("eve", folder).line
    assert good("audit", "verify").endswith("all in order.")
    return project


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("update ci_migrate_tokens set claimed_by = null, claimed = null", "its table says by none"),
        ("update ci_migrate_tokens set revoked = created", "was not revoked; its table says otherwise"),
        ("delete from ci_migrate_tokens", "its table says by none"),
        ("update ci_migrate_protection set protected = 0", "was protected; its table says otherwise"),
        ("update ci_migrate_protection set min_approvals = 2", "approvers or rules are not those"),
        ("update ci_migrate_protection set frozen = null", "was frozen; its table says otherwise"),
        ("insert into ci_migrate_signers (line, emergency, added, added_by) values ('{eve}', 1, '2026-01-01', 'x')",
         "approvers or rules are not those"),
        ("update ci_migrate_keys set role = 'admin'", "was made for viewer of shop"),
        ("update ci_migrate_keys set key_id = '0123456789ab'", "was never made"),
    ],
)  # fmt: skip
def test_F28_a_table_that_was_written_by_sql_is_found(guarded, sql, words):
    file = guarded.folder / "app.db.ci-migrate"
    before = file.read_bytes()
    try:
        with sqlite3.connect(file) as ledger:
            ledger.execute(sql.format(eve=guarded.approver))
        ledger.close()
        done = guarded.call("audit", "verify")
        assert done.code == 1
        assert words in done.out
        assert guarded.call("audit", "export", "trail.jsonl").code == 1
    finally:
        file.write_bytes(before)
