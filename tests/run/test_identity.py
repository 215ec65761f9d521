"""History and backups go by the database, whatever its target is called; on each engine."""

import shutil

import pytest
from alembic_project import AlembicProject
from sqlalchemy import NullPool, create_engine, make_url

from ci_migrate.model import RunRecord, now


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def project(request, alembic_project) -> AlembicProject:
    """A project whose target is called `dev`."""
    if request.param != "sqlite":
        fixture = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}[request.param]
        url = make_url(request.getfixturevalue(fixture))
        driver = "postgresql+psycopg" if request.param == "postgresql" else "mysql+pymysql"
        text = url.set(drivername=driver).render_as_string(hide_password=False)
        alembic_project.environ["DATABASE_URL"] = text
        rename(alembic_project, "dev")
    return alembic_project


def rename(project: AlembicProject, name: str = "live") -> None:
    url = "env:DATABASE_URL" if "DATABASE_URL" in project.environ else "sqlite:///app.db"
    project.settings(f'[targets.{name}]\nurl = "{url}"\nscratch = "server"\n')


def begin_many(project: AlembicProject, number: int) -> None:
    """Runs that had nothing to do."""
    with project.ledger() as ledger:
        for n in range(number):
            ledger.begin_run(RunRecord(run_id=f"empty-{n}", target="dev", command="run", started=now()))
            ledger.finish_run(f"empty-{n}", 0, "untouched")


def test_F3_an_unfinished_run_is_found_under_any_name(project):
    killed = project.gate("run")
    project.leave_unfinished(killed.run_id)
    rename(project)
    status = project.run("status")
    assert status.code == 7
    assert f"UNFINISHED   {killed.run_id}" in status.out
    refused = project.run("run")
    assert refused.code == 7
    assert f"Run {killed.run_id}" in refused.text
    assert project.run("repair").code == 0
    with project.ledger() as ledger:
        assert ledger.run(killed.run_id).state == "migrated", "its heads and schema were compared"
    assert project.run("status").code == 0


def test_F3_what_a_later_run_left_proves_nothing_of_an_earlier_one(alembic_project):
    """A ledger of version 0.1.0 may hold an unfinished run with others after it."""
    killed = alembic_project.gate("run", destination="r1")
    later = alembic_project.gate("run")
    assert later.exit_code == 0
    alembic_project.leave_unfinished(killed.run_id)
    shown = alembic_project.run("repair", "--dry-run")
    assert "proves nothing of the first one" in shown.text
    repaired = alembic_project.run("repair")
    assert repaired.code == 7, "nothing was proved: a person has to look, once"
    with alembic_project.ledger() as ledger:
        assert ledger.run(killed.run_id).state == f"not proved: {later.run_id} came after it"
        assert ledger.unfinished(ledger.uuid) is None
    assert alembic_project.run("status").code == 0


def test_F4_after_any_number_of_runs_the_last_migration_and_the_proven_backup_are_known(project):
    migrated = project.gate("run")
    begin_many(project, 210)
    verified = project.run("verify")
    assert verified.code == 0
    assert f"As run {migrated.run_id} left it" in verified.out
    status = project.run("status")
    assert migrated.backup.backup_id in status.out, "the last proven one"
    assert "empty-209" in status.out


def test_F5_backups_are_found_under_any_name(project):
    first = project.gate("run")
    for _ in range(3):
        assert project.run("backup", "create").code == 0
    rename(project)
    found = project.run("backup", "list").out
    assert len(found.splitlines()) == 4
    assert f"{first.backup.backup_id}" in found
    assert "proven" in found
    pruned = project.run("backup", "prune", "--keep", "1", "--yes")
    assert pruned.code == 0
    left = project.run("backup", "list").out
    assert first.backup.backup_id in left, "the last proven one"


def test_F5_postgresql_backups_from_before_a_restore_are_found(alembic_project, postgresql_url):
    text = make_url(postgresql_url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    alembic_project.environ["DATABASE_URL"] = text
    rename(alembic_project, "dev")
    first = alembic_project.gate("run")
    restored = alembic_project.run("backup", "restore", first.backup.backup_id, "--yes")
    assert restored.code == 0, restored.text
    found = alembic_project.run("backup", "list").out
    assert len(found.splitlines()) == 2
    assert first.backup.backup_id in found
    with alembic_project.ledger() as ledger:
        assert len(ledger.known_keys(None)) == 2, "the restore gave it another oid"


def test_a_copy_elsewhere_is_another_database(alembic_project, tmp_path_factory):
    alembic_project.gate("run")
    assert len(alembic_project.run("backup", "list").out.splitlines()) == 1
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(alembic_project.folder, folder, dirs_exist_ok=True)
    copy = AlembicProject(folder)
    refused = copy.run("run")
    assert refused.code == 1
    assert "belongs to another database" in refused.text
    assert copy.run("backup", "prune", "--keep", "1").out.startswith("Nothing to delete")


TWO = """
[targets.live]
url = "{live}"
scratch = "server"

[targets.staging]
url = "{staging}"
scratch = "server"
"""


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("mariadb", marks=pytest.mark.long)])
def staging(request, alembic_project) -> AlembicProject:
    """A project with the targets `live` and `staging`; STAGING is the URL of the second."""
    if request.param == "sqlite":
        live, staging = (f"sqlite:///{alembic_project.folder / name}" for name in ("app.db", "staging.db"))
    else:
        fixture = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}[request.param]
        driver = "postgresql+psycopg" if request.param == "postgresql" else "mysql+pymysql"
        url = make_url(request.getfixturevalue(fixture)).set(drivername=driver)
        name = f"{url.database}_staging"
        admin = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        request.addfinalizer(lambda: drop(admin, name))
        live, staging = (u.render_as_string(hide_password=False) for u in (url, url.set(database=name)))
    alembic_project.environ.update(DATABASE_URL=live, STAGING=staging)
    alembic_project.settings(TWO.format(live="env:DATABASE_URL", staging="env:STAGING"))
    return alembic_project


def drop(admin, name):
    with admin.connect() as connection:
        force = " WITH (FORCE)" if admin.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(f"DROP DATABASE {name}{force}")
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}_ci_migrate{force}")


def test_F6_read_url_must_lead_to_the_targets_database(staging):
    settings = TWO.format(live="env:DATABASE_URL", staging="env:STAGING")
    staging.settings(settings.replace("[targets.staging]", 'read-url = "env:STAGING"\n\n[targets.staging]'))
    for verb in ("check", "run", "backup create"):
        refused = staging.run(*verb.split(), "--target", "live")
        assert refused.code == 1, refused.text
        assert "read-url leads to another database" in " ".join(refused.text.split())
        assert "staging" in refused.text
    accepted = staging.run("protect", "--target", "live", "--accept-identity")
    assert accepted.code == 0, accepted.text
    assert "replica" in accepted.text
    assert staging.run("check", "--target", "live").code == 0, "somebody said that it is a replica"


def test_F8_a_backup_of_another_database_is_not_restored_without_being_told_to(staging):
    assert staging.run("run", "--target", "live").code == 0
    done = staging.run("run", "--target", "staging", env={"DATABASE_URL": staging.environ["STAGING"]})
    assert done.code == 0, done.text
    foreign = done.stage("backup")["backup"]["backupId"]
    words = ("backup", "restore", foreign, "--target", "live", "--yes")
    refused = staging.run(*words)
    assert refused.code == 1
    assert "staging" in refused.text
    assert "--from-other-database" in refused.text
    assert staging.run("status", "--target", "live").code == 0
    restored = staging.run(*words, "--from-other-database")
    assert restored.code == 0, restored.text


def test_F11_our_own_restore_is_not_taken_for_somebody_elses(project):
    project.gate("run", "r1")
    assert project.gate("run").exit_code == 0
    backup = next(w for w in project.run("backup", "list").text.split() if w.startswith("backup_r1"))
    restored = project.run("backup", "restore", backup, "--yes")
    assert restored.code == 0, restored.text
    status = project.run("status")
    assert "applied outside" not in status.text
    assert "backup restore" in status.text
    history = project.run("history").out.splitlines()
    assert "backup restore" in history[0]
    assert "r2 -> r1" in history[0]
    again = project.gate("run")
    assert again.exit_code == 0
    assert "CM501" not in {finding.code for finding in again.findings}
