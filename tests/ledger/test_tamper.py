"""Who writes a table of the ledger by SQL leaves the audit trail behind, and is found."""

import sqlite3

import pytest
from ledger_support import a_plan, a_run, ledger, on_sqlite, tamper, url
from permits import protect, unfreeze, unprotect
from signing_support import Approver

from ci_migrate.approval import tokens
from ci_migrate.ledger import keys, protection
from ci_migrate.ledger.keys import Role
from ci_migrate.ledger.protection import Rules
from ci_migrate.ledger.tamper import find_tampering
from ci_migrate.settings.secrets import register_secret

__all__ = ["ledger", "tamper", "url"]


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


# --------------------------------------------------------------------------- without commands, table by table


LATER = "2999-01-01T00:00:00.000000+00:00"


def a_token(ledger, reason: str = "release") -> tuple[str, str]:
    """A confirmation token for `a_plan()`, and its approval's id."""
    token, approval = tokens.generate(
        ledger, plan=a_plan(), target="production", reason=reason, by="ana", validity_minutes=30
    )
    return token, approval.approval_id


def use(ledger, token: str, run_id: str) -> None:
    ledger.begin_run(a_run(run_id))
    tokens.claim(ledger, tokens.reserve(ledger, token, a_plan(), run_id).approval_id, run_id)


@pytest.fixture
def lived(ledger):
    """A ledger on which everything was done that decides who may write, and nothing by SQL."""
    use(ledger, a_token(ledger)[0], "run-1")
    tokens.revoke(ledger, a_token(ledger)[1], by="ben")
    tokens.reserve(ledger, a_token(ledger)[0], a_plan(), "run-2")
    a_token(ledger)
    for rules in (
        Rules(approvers=("ana key-a",)),
        Rules(approvers=("ben key-b", "ana key-a"), min_approvals=2),
    ):
        protect(ledger, rules, by="ana", approval_id="a1")
    protection.freeze(ledger, "incident 42", by="ana")
    unfreeze(ledger, by="ben", approval_id="a2")
    for name, days in (("ana", 90), ("ben", None)):
        keys.create(ledger, name=name, role=Role.OPERATOR, target="dev", by="root", days=days)
    gone = keys.create(ledger, name="cem", role=Role.VIEWER, target="dev", by="root", days=1)[1]
    keys.revoke(ledger, gone.key_id, by="ben")
    return ledger


def test_nothing_is_found_where_everything_was_done_by_ci_migrate(lived):
    assert find_tampering(lived) == []
    unprotect(lived, by="ana", approval_id="a3")
    protection.freeze(lived, "incident 43", by="ana")
    assert find_tampering(lived) == []


@on_sqlite
@pytest.mark.parametrize(
    ("sql", "words"),
    [
        # as if it had never been used, so that it can be used again
        ("UPDATE ci_migrate_tokens SET claimed_by = NULL, claimed = NULL WHERE claimed_by = 'run-1'",
         "was used by run run-1; its table says by none"),
        ("UPDATE ci_migrate_tokens SET claimed_by = 'run-7' WHERE claimed_by = 'run-1'",
         "was used by run run-1; its table says by run run-7"),
        ("UPDATE ci_migrate_tokens SET claimed_by = 'run-2' WHERE claimed_by IS NULL AND revoked IS NULL",
         "was used by none; its table says by run run-2"),
        ("UPDATE ci_migrate_tokens SET revoked = NULL", "was revoked; its table says otherwise"),
        ("UPDATE ci_migrate_tokens SET revoked = created WHERE claimed_by IS NULL",
         "was not revoked; its table says otherwise"),
        # good for longer, or for another plan, than somebody approved
        (f"UPDATE ci_migrate_tokens SET expires = '{LATER}'", "was made otherwise than its table says: expires"),
        ("UPDATE ci_migrate_tokens SET plan_digest = 'd'", "was made otherwise than its table says: plan_digest"),
        ("UPDATE ci_migrate_tokens SET approved_by = '[\"eve\"]'",
         "was made otherwise than its table says: approved_by"),
        ("UPDATE ci_migrate_tokens SET token_sha256 = approval_id",
         "was made otherwise than its table says: token_sha256"),
        ("UPDATE ci_migrate_tokens SET approval_id = 'approval-x' WHERE claimed_by = 'run-1'", "was never made"),
        (f"INSERT INTO ci_migrate_reservations SELECT approval_id, 'run-9', '{LATER}' FROM ci_migrate_tokens",
         "was never reserved for run run-9"),
        ("UPDATE ci_migrate_protection SET protected = 0", "the target was protected; its table says otherwise"),
        ("UPDATE ci_migrate_protection SET forbid_self_approval = 1", "approvers or rules are not those"),
        ("UPDATE ci_migrate_signers SET line = 'eve key-e' WHERE line LIKE 'ana%'", "approvers or rules"),
        ("UPDATE ci_migrate_signers SET emergency = 1 WHERE line LIKE 'ana%'", "approvers or rules"),
        ("UPDATE ci_migrate_signers SET revoked = added", "approvers or rules are not those"),
        ("UPDATE ci_migrate_protection SET frozen = 'x'", "the target was unfrozen; its table says otherwise"),
        ("UPDATE ci_migrate_keys SET role = 'admin'", "was made for operator of dev; its table says otherwise"),
        ("UPDATE ci_migrate_keys SET target = 'production'", "was made for viewer of dev"),
        ("UPDATE ci_migrate_keys SET revoked = NULL", "was revoked; its table says otherwise"),
        ("UPDATE ci_migrate_keys SET revoked = created", "was not revoked; its table says otherwise"),
        (f"UPDATE ci_migrate_keys SET expires = '{LATER}'", "expires otherwise than was written down"),
        ("UPDATE ci_migrate_keys SET expires = NULL", "expires otherwise than was written down"),
        ("UPDATE ci_migrate_keys SET sha256 = '0'", "is another one than was made"),
        ("UPDATE ci_migrate_keys SET key_id = '0123456789ab' WHERE name = 'ana'",
         "key 0123456789ab (ana) was never made"),
    ],
)  # fmt: skip
def test_F28_each_way_to_write_a_table_by_sql_is_found(lived, tamper, sql, words):
    tamper(sql)
    found = find_tampering(lived)
    assert found
    assert any(words in told for told in found), found


@on_sqlite
def test_F28_a_confirmation_that_was_written_by_sql_is_found_though_it_was_used_as_any_other(lived, tamper):
    """Whoever may write the ledger can make one; they can't make it look as if somebody had approved."""
    token = "01234567-89ab-4def-8123-456789abcdef"
    tamper(
        "INSERT INTO ci_migrate_tokens (approval_id, kind, target_uuid, target, plan_digest, direction, from_heads,"
        " destination, reason, approved_by, created, expires, token_sha256, plan)"
        " SELECT 'approval-forged', kind, target_uuid, target, plan_digest, direction, from_heads, destination, reason,"
        " approved_by, created, expires, :sha, plan FROM ci_migrate_tokens LIMIT 1",
        sha=tokens._digest(token),
    )
    use(lived, token, "run-5")
    assert lived.verify_audit() == []
    assert find_tampering(lived) == ["token approval-forged was never made"]


@on_sqlite
def test_the_order_of_approvers_is_no_difference(lived, tamper):
    rows = tamper("SELECT sequence, line FROM ci_migrate_signers WHERE revoked IS NULL ORDER BY sequence")
    assert len(rows) == 2
    for (sequence, _), (_, line) in zip(rows, reversed(rows), strict=True):
        tamper("UPDATE ci_migrate_signers SET line = :line WHERE sequence = :n", line=line, n=sequence)
    assert find_tampering(lived) == []


@on_sqlite
def test_an_altered_trail_proves_nothing_of_the_tables(lived, tamper):
    """Its facts are anybody's: only the trail is told, whatever the tables say."""
    tamper("UPDATE ci_migrate_tokens SET revoked = NULL")
    tamper("UPDATE ci_migrate_audit SET facts = '{}' WHERE kind = 'token revoked'")
    (told,) = find_tampering(lived)
    assert told.endswith("was altered")


@on_sqlite
def test_a_name_in_which_a_secret_was_hidden_is_no_forgery(ledger, tamper):
    """The trail holds `***` for what this process knew as a secret; another process may not know it."""
    register_secret("ana-hunter2-4711")
    tokens.generate(
        ledger, plan=a_plan(), target="production", reason="x", by="ana-hunter2-4711", validity_minutes=30
    )
    assert "***" in str(ledger.audit_records()[-1].facts)
    assert find_tampering(ledger) == []
