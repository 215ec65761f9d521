"""`ci-migrate unprotect`: needs an approval itself."""

from alembic_project import ended


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


def test_what_is_not_protected_stays_so(shop):
    for _ in range(2):
        ended(shop.call("unprotect"), 0, "dev is not protected.")


def test_what_is_no_copy(shop):
    ended(shop.call("unprotect", "--copy"), 0, "has no mark of another database.")
