"""`ci-migrate protect`: what the ledger then says, and what that forbids."""


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
