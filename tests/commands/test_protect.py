"""`ci-migrate protect`: what the ledger then says, and what that forbids."""

import sys

import pytest
from alembic_project import ended
from approval_support import key_file, public_line

from ci_migrate.ledger import protection


def test_a_protected_target_can_not_be_migrated_without_a_dry_run(alembic_project, ledger_of):
    done = alembic_project.call("protect", "--by", "ana")
    assert done.code == 0, done.text
    assert any(r.kind == "protected" for r in ledger_of(alembic_project).audit_records(100))
    refused = alembic_project.call("migrate")
    assert refused.code == 1
    assert "`migrate` leaves out the dry run" in refused.text
    assert "protected since" in refused.text
    assert alembic_project.heads == []


def test_freeze_and_unfreeze(alembic_project):
    assert alembic_project.call("protect", "--freeze", "incident 42").code == 0
    refused = alembic_project.call("run")
    assert refused.code == 4
    assert "Target dev is frozen: incident 42." in refused.text
    assert alembic_project.heads == []
    assert alembic_project.call("protect", "--unfreeze").code == 0
    assert alembic_project.call("run").code == 0
    assert alembic_project.heads == ["r2"]


def test_one_change_a_call(alembic_project):
    done = alembic_project.call("protect", "--freeze", "x", "--unfreeze")
    assert done.code == 2
    assert "one call each" in done.err
    assert not list(alembic_project.folder.glob("*.ci-migrate"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--min-approvals", "2"], 2, "2 approvals of 0 approvers can't be had."),
        (["--min-approvals", "17"], 2, "17 is not in the range"),
        (["--approver", ""], 2, "An approver is empty."),
        (["--approver", "ana"], 2, "Line 1 of the approvers can't be used"),
        (["--approver", "ana ssh-ed25519 AAAA"], 2, "Line 1 of the approvers can't be used"),
        (["--emergency", "ana", "--freeze", "x"], 2, "are for one call each"),
        (["--guard", "--no-guard"], 2, "are for one call each"),
        (["--guard"], 1, "is not protected: there is nothing to guard."),
        (["--no-guard"], 1, "sqlite can't refuse DDL by itself"),
        (["--freeze", " "], 2, "A freeze needs a reason."),
        (["--target", "nowhere"], 2, "There is no target named nowhere"),
    ],
)
def test_what_changes_nothing(shop, arguments, code, words):
    with shop.ledger() as ledger:
        before = ledger.audit_records()
        done = shop.call("protect", *arguments)
        ended(done, code, words)
        assert done.out == ""
        assert ledger.audit_records() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--unfreeze"], "dev is not frozen."),
        (["--accept-identity"], "is the database that this ledger belongs to."),
        (["--move-notes"], "The use of tokens is noted in"),
    ],
)
def test_what_is_so_already_is_said(shop, arguments, words):
    """Twice: a pipeline that does it each time goes on."""
    for _ in range(2):
        ended(shop.call("protect", *arguments), 0, words)


def test_the_same_rules_again_need_no_approval(alembic_project, ledger_of):
    ended(alembic_project.call("protect", "--by", "ana"), 0, "Protected: ", "(confirmation tokens)")
    ended(alembic_project.call("protect", "--by", "eve"), 0, "is protected so already, since")
    kinds = [(r.kind, r.facts.get("by")) for r in ledger_of(alembic_project).audit_records(100)]
    assert [by for kind, by in kinds if kind == "protected"] == ["ana"], "and nobody else is noted for it"


def test_a_freeze_tells_its_reason_on_one_line(shop):
    ended(shop.call("protect", "--freeze", "incident 42\nprotected    no"), 0, "Frozen: dev.")
    lines = ended(shop.call("status"), 0).splitlines()
    assert next(line for line in lines if line.startswith("protected")).startswith(
        "protected    FROZEN: incident 42"
    )
    ended(shop.call("protect", "--unfreeze"), 0, "No longer frozen: dev.")


def test_F86_an_approver_is_read_from_a_public_key_file(alembic_project, ledger_of, tmp_path):
    key = key_file(tmp_path)
    found = key.with_name(f"{key.name}.pub")
    refused = alembic_project.call("protect", "--approver", str(found))
    assert refused.code == 2
    assert "says nothing of whose key it is" in refused.words
    assert alembic_project.call("protect", "--approver", f"alice {tmp_path}/none.pub").code == 2
    done = alembic_project.call("protect", "--approver", f"alice {found}")
    assert done.code == 0, done.text
    (line,) = protection.read(ledger_of(alembic_project)).rules.approvers
    assert line == f"alice {public_line()}"
    stopped = alembic_project.call("run")
    assert stopped.code == 4
    assert "1 of 1 approver must sign: alice." in stopped.words


def test_F86_keys_that_nobody_here_can_verify_are_not_accepted(alembic_project, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    done = alembic_project.call("protect", "--approver", f"alice {public_line()}")
    assert done.code == 2
    assert "pip install 'ci-migrate[approval]'" in done.text
    monkeypatch.undo()
    assert alembic_project.call("run").code == 0, "nobody is locked out"
