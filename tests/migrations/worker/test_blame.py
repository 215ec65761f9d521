"""Whose a file is: by where things really live."""

import contextlib
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import alembic
import pytest
import sqlalchemy

from ci_migrate.migrations.worker.blame import Blame

SITE = sysconfig.get_paths()["purelib"]


def script_directory(folder, *locations):
    return SimpleNamespace(dir=str(folder), version_locations=[str(place) for place in locations])


@pytest.mark.parametrize(
    "file",
    [
        alembic.__file__,
        sqlalchemy.engine.__file__,
        contextlib.__file__,
        pytest.__file__,
        f"{SITE}/shop/app.py",
    ],
)
def test_libraries_are_not_the_project(file):
    assert not Blame().is_project(file)


@pytest.mark.parametrize("name", ["<string>", "<frozen importlib._bootstrap>", "<sqlalchemy.orm>"])
def test_what_is_no_file_is_nobodys(name):
    assert not Blame().is_project(name)


def test_the_worker_itself_is_not_the_project():
    assert not Blame().is_project(Blame.is_project.__code__.co_filename)


@pytest.mark.parametrize("folder", ["alembic", "sqlalchemy", "site-packages", "lib/python3.11", "asyncio"])
def test_F63_a_word_in_a_path_decides_nothing(tmp_path, folder):
    assert Blame().is_project(str(tmp_path / folder / "versions" / "r1.py"))


def test_F93_scripts_inside_of_site_packages_are_the_projects():
    blame = Blame()
    blame.add_scripts(script_directory(f"{SITE}/shop/migrations", f"{SITE}/shop/more"))
    assert blame.is_project(f"{SITE}/shop/migrations/env.py")
    assert blame.is_project(f"{SITE}/shop/more/r1.py")
    assert not blame.is_project(f"{SITE}/shop/models.py")


def test_F93_an_environment_inside_of_the_script_folder_is_not(tmp_path):
    """Flask-Migrate's layout, where the folder of alembic.ini is the script folder, here that of the project."""
    blame = Blame()
    project = Path(SITE).parent.parent
    blame.add_scripts(script_directory(project))
    assert blame.is_project(str(project / "env.py"))
    assert not blame.is_project(f"{SITE}/psycopg/cursor.py")
