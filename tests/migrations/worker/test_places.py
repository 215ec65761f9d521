"""Which files decide what a migration does. One that is missing lets an approved plan do something else."""

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from ci_migrate.migrations.worker import places as places_module
from ci_migrate.migrations.worker.places import Places


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "project"
    (folder / "migrations" / "versions").mkdir(parents=True)
    return folder


@pytest.fixture
def places(project) -> Places:
    found = Places(str(project), [])
    found.add_scripts([str(project / "migrations" / "versions")])
    return found


STDLIB = sysconfig.get_paths()["stdlib"]
SITE = sysconfig.get_paths()["purelib"]
HOME = os.path.expanduser("~")  # noqa: PTH111 - as the worker has it


@pytest.mark.parametrize(
    ("path", "code", "data"),
    [
        (f"{STDLIB}/json/__init__.py", False, False),
        (f"{SITE}/alembic/command.py", False, False),
        ("/srv/shared/helpers.py", True, True),
        ("/usr/share/zoneinfo/UTC", True, False),  # the machine's, read; code there would be an input
        ("/etc/app/settings.py", True, False),
        ("/usr/src/app/models.py", True, True),  # where containers keep an application
        ("/opt/app/models.py", True, True),
        (f"{HOME}/.pgpass", True, False),
        (f"{HOME}/app/models.py", True, True),
        ("/proc/self/environ", True, False),
    ],
)
def test_what_decides_and_what_is_the_machines(places, path, code, data):
    assert places.is_input(path, code=True) is code
    assert places.is_input(path, code=False) is data


@pytest.mark.parametrize(
    "name", ["env.py", "data/rows.csv", ".env", "migrations/versions/r1.py", ".hidden/x.py"]
)
def test_all_of_the_project_is_an_input(places, project, name):
    for code in (True, False):
        assert places.is_input(str(project / name), code=code)


@pytest.mark.parametrize(
    "root", ["/usr/lib/app", "/etc/app", SITE + "/shop", STDLIB + "/shop", HOME + "/.app"]
)
def test_a_project_is_a_project_wherever_it_lies(root):
    found = Places(root, [])
    assert found.is_input(f"{root}/env.py", code=True)
    assert found.is_input(f"{root}/rows.csv", code=False)


def test_scripts_that_are_installed_are_inputs_and_their_package_is_not(project):
    found = Places(str(project), [])
    script = f"{SITE}/shop/migrations/versions/r1.py"
    assert not found.is_input(script, code=True)
    found.add_scripts([f"{SITE}/shop/migrations/versions"])
    assert found.is_input(script, code=True), "what was known of the folder is looked at anew"
    assert not found.is_input(f"{SITE}/shop/models.py", code=True)


def test_an_environment_inside_of_the_project_is_the_interpreters(project, monkeypatch):
    prefix = project / ".venv"
    monkeypatch.setattr(sys, "prefix", str(prefix))
    found = Places(str(project), [])
    assert not found.is_input(f"{prefix}/lib/python3.11/site-packages/x.py", code=True)
    assert not found.is_input(f"{prefix}/pyvenv.cfg", code=False)
    assert found.is_input(f"{prefix}/src/editable/x.py", code=True), "where pip checks sources out"


def test_a_link_to_the_project_is_the_project_from_both_sides(tmp_path, project):
    link = tmp_path / "link"
    link.symlink_to(project)
    for root in (project, link):
        found = Places(str(root), [])
        for seen in (project, link):
            assert found.is_input(str(seen / "env.py"), code=True)
    assert found.name_of(str(link / "env.py")) == found.name_of(str(project / "env.py")) == "env.py"


def test_a_file_of_the_project_that_is_linked_from_elsewhere_is_the_projects(project, tmp_path, monkeypatch):
    """An editable installation may be a link in site-packages; other files beside it are none of it."""
    site = tmp_path / "site"
    site.mkdir()
    (project / "shop.py").touch()
    (site / "shop.py").symlink_to(project / "shop.py")
    (site / "other.py").touch()
    monkeypatch.setattr(places_module, "interpreter_folders", lambda: {str(site)})
    found = Places(str(project), [])
    assert found.is_input(str(site / "shop.py"), code=True)
    assert not found.is_input(str(site / "other.py"), code=True)


def test_the_databases_of_the_request_are_none_with_all_that_sqlite_puts_beside_them(project):
    (project / "app.db").touch()
    (project / "link.db").symlink_to("app.db")
    entry = {"match": {"file": str(project / "link.db")}, "connect": {"file": "/tmp/copy.db"}, "identity": {}}
    found = Places(str(project), [entry])
    for name in ("app.db", "link.db", "app.db-wal", "app.db-shm", "app.db-journal"):
        assert not found.is_input(str(project / name), code=False), name
    assert not found.is_input("/tmp/copy.db", code=False)
    assert found.is_input(str(project / "app.db.sql"), code=False)
    assert found.is_input(str(project / "other.db"), code=False)


def test_names_are_the_same_on_each_machine_for_what_is_in_the_project(places, project):
    assert places.name_of(str(project / "migrations" / "env.py")) == "migrations/env.py"
    assert places.name_of("/srv/shared/x.py") == "/srv/shared/x.py"
    assert places.name_of(f"{project}-other/x.py") == f"{project}-other/x.py", (
        "a name that begins alike is another folder"
    )
    assert places.name_of(os.fsdecode(bytes(project) + b"/\xe9.csv")) == "\\udce9.csv"
    assert Places("/", []).name_of("/env.py") == "env.py", "a container may have its project there"
