"""`ci-migrate unprotect`: needs an approval itself."""


def test_only_with_a_token(alembic_project, ledger_of):
    assert alembic_project.call("protect").code == 0
    refused = alembic_project.call("unprotect")
    assert refused.code == 4, refused.text
    assert "--protection unprotect" in refused.text
    made = alembic_project.call(
        "token", "generate", "--quiet", "--reason", "moved", "--protection", "unprotect"
    )
    assert made.code == 0, made.text
    done = alembic_project.call("unprotect", env={"CI_MIGRATE_TOKEN": made.out.strip()})
    assert done.code == 0, done.text
    assert any(r.kind == "unprotected" for r in ledger_of(alembic_project).audit_records(100))
    assert alembic_project.call("migrate").code == 0
