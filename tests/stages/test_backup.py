"""backup: what is refused before one is taken."""

from datetime import UTC, datetime, timedelta


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
    assert not (project.folder / ".ci-migrate" / "backups").exists()
    told = project.run("dry-run", "--target", "dev")
    assert told.code == 0, told.text
    assert "WARNING  Backups go to" in told.out
    kept = project.run("run", "--target", "live", env={"CI_MIGRATE_ALLOW_EPHEMERAL_BACKUPS": "true"})
    assert kept.code == 4, kept.text
    assert "thrown away" not in kept.text


def test_F106_a_backup_by_a_clock_that_was_ahead_is_not_young_for_ever(alembic_project, monkeypatch):
    """`reuse-backup` takes none from the future, `status` says so, and the newest one is the one that came last."""
    project = alembic_project
    project.settings(
        'reuse-backup = "1h"\nbackup-dir = "./backups"\n[targets.dev]\nurl = "sqlite:///app.db"\n'
    )
    assert project.call("run", "--to", "r1").code == 0
    with monkeypatch.context() as clock:
        clock.setattr("ci_migrate.backups.catalog.now", lambda: datetime.now(UTC) + timedelta(days=3))
        assert project.call("backup", "create").code == 0
    done = project.call("dry-run")
    assert done.code == 0, done.text
    assert len(list((project.folder / "backups").glob("backup_*"))) == 3, "one of its own was taken"
    assert project.call("dry-run").code == 0
    assert len(list((project.folder / "backups").glob("backup_*"))) == 3, "that one is young"


def test_F106_status_says_that_the_clock_was_ahead(alembic_project, monkeypatch):
    project = alembic_project
    with monkeypatch.context() as clock:
        clock.setattr("ci_migrate.backups.catalog.now", lambda: datetime.now(UTC) + timedelta(days=3))
        assert project.call("run").code == 0
    assert "by a clock that is ahead of this one" in project.call("status").text


def test_F106_the_newest_backup_is_the_one_that_came_last(alembic_project, monkeypatch):
    """The one with rows was made by a clock that was ahead: it was emptied on purpose since, and backed up."""
    project = alembic_project
    assert project.call("run", "--to", "r1").code == 0
    for number in range(200):
        project.sql(f"insert into users (name) values ('{number}')")
    with monkeypatch.context() as clock:
        clock.setattr("ci_migrate.backups.catalog.now", lambda: datetime.now(UTC) + timedelta(days=3))
        assert project.call("backup", "create").code == 0
    project.sql("delete from users")
    refused = project.call("check")
    assert refused.code == 1
    assert "has lost its rows" in " ".join(refused.text.split())
    assert project.call("backup", "create").code == 0
    assert project.call("check").code == 0
