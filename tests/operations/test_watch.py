"""What `check --watch` looks at; the command itself: tests/commands/test_check_watch.py."""

import pytest

from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.operations.watch import changed, state_of, watch
from ci_migrate.settings.settings import load as settings_of


def test_scripts_and_settings_are_looked_at_and_what_is_installed_is_not(alembic_project):
    folder = alembic_project.folder
    for name in (
        ".venv/x.py",
        "node_modules/y.py",
        "migrations/__pycache__/z.py",
        "notes.txt",
        "app/models.py",
    ):
        alembic_project.write(name, "")
    names = {path.relative_to(folder).as_posix() for path in state_of(folder)}
    assert names == {
        "alembic.ini", "app/models.py", "ci-migrate.toml",
        "migrations/env.py", "migrations/versions/r1.py", "migrations/versions/r2.py",
    }  # fmt: skip


def test_what_changed(alembic_project):
    before = state_of(alembic_project.folder)
    alembic_project.write("migrations/versions/r2.py", "# other")
    alembic_project.write("migrations/versions/r3.py", "")
    (alembic_project.folder / "migrations/versions/r1.py").unlink()
    found = changed(before, state_of(alembic_project.folder))
    assert [path.name for path in found] == ["r1.py", "r2.py", "r3.py"]
    assert changed(before, before) == []


def test_a_link_that_leads_back_is_not_followed(alembic_project):
    (alembic_project.folder / "migrations" / "again").symlink_to(alembic_project.folder)
    assert len(state_of(alembic_project.folder)) == 5


class EndedError(Exception):
    """What ends the watch here, as a signal does otherwise."""


def test_a_change_while_settings_are_read_is_seen(alembic_project):
    """They were read, then the state of the files was taken: a change between the two was never seen."""
    shown = []

    def load():
        settings = settings_of(alembic_project.folder, alembic_project.environment(), {})
        if not shown:
            alembic_project.settings('[targets.dev]\nurl = "sqlite:///other.db"\n')
        return settings

    def show(folder, found, changed, seconds):
        shown.append([path.name for path in changed])
        if len(shown) == 2:
            raise EndedError

    with pytest.raises(EndedError):
        watch(alembic_project.folder, load, "HEAD", Interrupt(), show)
    assert shown == [[], ["ci-migrate.toml"]]


def test_settings_above_the_folder_are_looked_at(alembic_project):
    below = alembic_project.folder / "migrations"
    assert alembic_project.folder / "ci-migrate.toml" in state_of(below)
