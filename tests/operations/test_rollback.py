"""Back to a revision by the backup that was taken there: which one, what is said, what stands in the ledger. On SQLite."""

import pytest
from alembic_project import AlembicProject, new_project
from pasted import checked

from ci_migrate.errors import RefusedError
from ci_migrate.model import Direction
from ci_migrate.operations.rollback import back_by_restore
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS


@pytest.fixture(scope="module")
def migrated(tmp_path_factory) -> AlembicProject:
    """To r1, then with a row to r2: of r1 there is the backup that the second run took."""
    project = new_project(tmp_path_factory.mktemp("rollback") / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate", "r1").exit_code == 0
    project.sql("insert into users (name) values ('ana')")
    assert project.gate("migrate").exit_code == 0
    return project


def back(project: AlembicProject, destination: str, sure=None):
    settings = load(project.folder, project.environment(), {})
    request = GateRequest(VERBS["rollback"], direction=Direction.DOWNGRADE, destination=destination)
    return back_by_restore(settings, request, None, sure=sure or (lambda *_: None))


def test_where_it_is_already_there_is_nothing_to_do(migrated):
    report = back(migrated, "r2")
    assert report.exit_code == 0
    assert "Nothing to do" in report.results[-1].message


def test_no_backup_of_it_names_the_other_way(migrated):
    for backup in (migrated.folder / ".ci-migrate" / "backups").glob("backup_base_*"):
        backup.rename(migrated.folder / backup.name)
    with pytest.raises(RefusedError, match="No whole backup of target dev was taken at base") as refused:
        back(migrated, "base")
    assert checked(refused.value.hint.splitlines()) == [
        "ci-migrate rollback --to base --by downgrade --target dev",
        "ci-migrate backup list --target dev",
    ]
    assert migrated.heads == ["r2"]


def test_who_is_not_sure_restores_nothing(migrated):
    def unsure(_run, _backup, lost):
        assert lost == {"users": (2, 1)}
        raise RefusedError("Nobody was sure.")

    migrated.sql("insert into users (name) values ('bo')")
    before = migrated.dump()
    with pytest.raises(RefusedError, match="Nobody was sure"):
        back(migrated, "r1", unsure)
    assert migrated.dump() == before


def test_the_newest_backup_of_it_comes_back_and_stands_among_the_runs(migrated):
    newest = max(p.name for p in (migrated.folder / ".ci-migrate" / "backups").glob("backup_r1_*"))
    report = back(migrated, "r1")
    assert report.exit_code == 0
    assert f"Back by restoring {newest}: r2 -> r1" in report.results[0].message
    assert report.results[-1].message.startswith(f"Restored {newest}.")
    assert migrated.heads == ["r1"]
    assert migrated.sql("select name from users") == [("ana",)]
    line = migrated.call("history").out.splitlines()[0]
    assert "rollback" in line
    assert "exit 0" in line


@pytest.fixture
def own(tmp_path) -> AlembicProject:
    """As `migrated`, for a test of its own."""
    project = new_project(tmp_path / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate", "r1").exit_code == 0
    assert project.gate("migrate").exit_code == 0
    return project


def test_rows_of_some_tables_are_no_way_back(own):
    for backup in (own.folder / ".ci-migrate" / "backups").glob("backup_r1_*"):
        backup.rename(own.folder / backup.name)
    own.put_version_rows("r1")
    assert own.call("backup", "create", "--table", "users").code == 0
    own.put_version_rows("r2")
    with pytest.raises(RefusedError, match="No whole backup of target dev was taken at r1"):
        back(own, "r1")
    assert own.heads == ["r2"]


def test_a_step_back_is_counted_as_alembic_does(own):
    report = back(own, "-1")
    assert report.exit_code == 0
    assert own.heads == ["r1"]


def test_version_rows_that_make_no_sense_are_gone_with_the_restore(own):
    """It may be why somebody goes back: then the revision's name alone leads to the backup."""
    own.put_version_rows("zzz")
    report = back(own, "r1")
    assert report.exit_code == 0, report
    assert own.heads == ["r1"]
