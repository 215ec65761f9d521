"""What `check --watch` looks at; the command itself: tests/commands/test_check_watch.py."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.operations.watch import changed, pause_after, state_of, watch
from ci_migrate.settings.settings import load as settings_of


def test_scripts_and_settings_are_looked_at_and_what_is_installed_is_not(alembic_project):
    folder = alembic_project.folder
    for name in (
        ".venv/x.py",
        "node_modules/y.py",
        "migrations/__pycache__/z.py",
        "py3.11/pyvenv.cfg",
        "py3.11/lib/w.py",
        "notes.txt",
        "app/models.py",
        "app/v1.2/models.py",
        "migrations/versions/2026.11/r3.py",
    ):
        alembic_project.write(name, "")
    names = {Path(path).relative_to(folder).as_posix() for path in state_of(folder)}
    assert names == {
        "alembic.ini", "app/models.py", "app/v1.2/models.py", "ci-migrate.toml", "migrations/versions/2026.11/r3.py",
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
    assert str(alembic_project.folder / "ci-migrate.toml") in state_of(below)


def test_a_large_tree_takes_a_tenth_of_a_processor_and_a_change_is_seen_soon():
    assert pause_after(0.001) == 0.1
    assert pause_after(0.03) == pytest.approx(0.27)
    assert pause_after(3) == 0.4


def test_the_last_backup_is_looked_up_once_for_the_same_settings(alembic_project):
    """The place may be a bucket far away, and each save asked it."""
    project = alembic_project
    backups = project.folder / "elsewhere"
    project.settings('backup-dir = "elsewhere"\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.call("run", "--to", "r1").code == 0
    for command in ("init -q -b main", "add -A", "commit -qm first"):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *command.split()],
            cwd=project.folder, check=True, capture_output=True,
        )  # fmt: skip
    project.sql("insert into users (id) values (1)")
    assert project.call("backup", "create").code == 0
    drop = 'op.drop_table("users")'
    project.revision("r3", "r2", drop)
    told = []

    def load():
        return settings_of(project.folder, project.environment(), {})

    def show(folder, found, changed, seconds):
        (finding,) = (f for f in found.findings if f.code == "CM201")
        told.append(finding.message)
        if len(told) == 1:
            shutil.rmtree(backups)
            project.revision("r3", "r2", f"{drop}  # the same")
        elif len(told) == 2:
            project.settings('backup-dir = "nowhere"\n[targets.dev]\nurl = "sqlite:///app.db"\n')
        else:
            raise EndedError

    with pytest.raises(EndedError):
        watch(project.folder, load, "HEAD", Interrupt(), show)
    assert told[0] == told[1] != told[2]
    assert "1 row" in told[0]
