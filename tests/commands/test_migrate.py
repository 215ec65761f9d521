"""`ci-migrate migrate`: as run, without the dry run; production refuses it."""


def test_without_a_dry_run(alembic_project, ledger_of):
    done = alembic_project.call("migrate")
    assert done.code == 0, done.text
    assert done.outcomes == dict.fromkeys(("check", "backup", "migrate", "verify"), "passed")
    assert alembic_project.heads == ["r2"]
    assert ledger_of(alembic_project).runs()[0].command == "migrate"


def test_production_refuses_it(alembic_project):
    alembic_project.settings('[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\n')
    done = alembic_project.call("migrate", "--target", "live")
    assert done.code == 1
    assert "`migrate` leaves out the dry run; target live is a production one" in done.text
    assert "Use `ci-migrate run`." in done.text
    assert not alembic_project.database.exists()
