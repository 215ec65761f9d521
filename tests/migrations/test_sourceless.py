"""Projects whose scripts are there as .pyc alone, as Alembic's `sourceless` allows."""

import py_compile
from pathlib import Path

import pytest
from alembic_project import INI, AlembicProject, new_project


def compile_scripts(project: AlembicProject) -> None:
    for file in (project.folder / "migrations").rglob("*.py"):
        py_compile.compile(str(file), cfile=f"{file}c", doraise=True)
        file.unlink()


@pytest.fixture
def sourceless(tmp_path: Path) -> AlembicProject:
    project = new_project(tmp_path, ini=INI.replace("[alembic]\n", "[alembic]\nsourceless = true\n"))
    compile_scripts(project)
    return project


def test_F58_a_project_without_sources_is_migrated(sourceless: AlembicProject) -> None:
    done = sourceless.call("run")
    assert done.code == 0, done.text
    assert sourceless.heads == ["r2"]
    files = {s["file"] for s in done.stage("dry-run")["evidence"]["statements"] if s["revision"]}
    assert files >= {"migrations/versions/r1.pyc", "migrations/versions/r2.pyc"}


def test_F58_a_failure_without_sources_names_file_and_line(sourceless: AlembicProject) -> None:
    sourceless.revision("r3", "r2", "create table users (id integer)")
    compile_scripts(sourceless)
    done = sourceless.call("run")
    assert done.code == 1, done.text
    found = done.stage("dry-run")
    assert found["line"] == 12
    assert "r3" in found["message"]
    assert found["file"].startswith("migrations/versions/r3.py")


def test_F58_what_has_nothing_to_do_with_space_is_not_told_to_make_room(sourceless: AlembicProject) -> None:
    sourceless.settings('backup-dir = "/proc/backups"\n')
    done = sourceless.call("run")
    assert done.code not in (0, 3), done.text
    assert done.outcomes["backup"] == "error"
    assert "No such file or directory" in done.text
    assert "room" not in done.text.lower()
    assert "its rights" in done.text
