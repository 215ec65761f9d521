"""backup: what is refused before one is taken."""


def test_F33_a_backup_that_dies_with_the_job(alembic_project, postgresql_url):
    """On a runner: refused on a production target, told elsewhere; a folder outside of the checkout is fine."""
    project = alembic_project
    project.environ = {
        "DATABASE_URL": postgresql_url.set(drivername="postgresql+psycopg").render_as_string(
            hide_password=False
        ),
        "CI": "true",
        "CI_MIGRATE_SCRATCH": "server",
    }
    project.settings(
        '[targets.dev]\nurl = "env:DATABASE_URL"\n[targets.live]\nurl = "env:DATABASE_URL"\ntags = ["production"]\n'
    )
    refused = project.run("run", "--target", "live")
    assert refused.code == 1, refused.text
    assert "thrown away with it" in refused.text
    assert "allow-ephemeral-backups" in refused.text
    assert not (project.folder / "backups").exists()
    told = project.run("dry-run", "--target", "dev")
    assert told.code == 0, told.text
    assert "WARNING  Backups go to" in told.out
    kept = project.run("run", "--target", "live", env={"CI_MIGRATE_ALLOW_EPHEMERAL_BACKUPS": "true"})
    assert kept.code == 4, kept.text
    assert "thrown away" not in kept.text
