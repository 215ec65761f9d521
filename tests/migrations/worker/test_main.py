"""How the child is loaded: the project's modules and `sys.path` are as if we were not there."""

import json
import shutil
import subprocess
import sys

import pytest
import sqlalchemy as sa
from child_support import plain_request, start_workers
from env_zoo import PLAIN, SYNC, new_zoo

from ci_migrate.migrations import lender

OURS = sorted(file.stem for file in lender.WORKER.parent.glob("[a-z]*.py"))

CHECK = f"""
import json, sys
names = {OURS!r}
sys.path.insert(0, {{folder!r}})
found = {{{{name: __import__(name).WHOSE for name in names}}}}
with open("found.json", "w") as file:
    json.dump([found, sys.path[1:], sys.argv, sys.dont_write_bytecode, sorted(sys.modules)], file)
"""


@pytest.fixture
def zoo(tmp_path):
    """A project whose own modules have the names of ours, beside an env.py that imports them all."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    zoo = new_zoo(tmp_path, url, "", history=False)
    zoo.revision("r1", None, "op.execute('create table one (id integer)')")
    for name in OURS:
        (tmp_path / f"{name}.py").write_text("WHOSE = 'the project'")
    (tmp_path / "migrations" / "env.py").write_text(CHECK.format(folder=str(tmp_path)) + SYNC + PLAIN)
    return zoo


def look(zoo):
    ended = start_workers(zoo).run(plain_request(zoo), lambda _event: None)
    assert ended.ok, ended
    return json.loads((zoo.folder / "found.json").read_text())


def test_the_projects_own_modules_are_the_ones_that_its_env_py_imports(zoo):
    assert {"main", "state", "wall", "channel", "drivers"} <= set(OURS)
    found, _, argv, _, modules = look(zoo)
    assert found == dict.fromkeys(OURS, "the project")
    assert argv == ["alembic", "upgrade", "head"]
    assert {f"_ci_migrate_worker.{name}" for name in OURS} <= set(modules)


@pytest.mark.parametrize("variable", [None, "PYTHONSAFEPATH", "PYTHONPATH"])
def test_sys_path_is_the_projects(zoo, monkeypatch, variable):
    """As a script of the environment has it, as `alembic` is one, but for the folder of that script."""
    if variable:
        monkeypatch.setenv(variable, str(zoo.folder))
    code = "import json, sys; print(json.dumps(sys.path))"
    script = zoo.folder / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, cwd=zoo.folder
    )
    assert look(zoo)[1] == [path for path in json.loads(done.stdout) if path != str(script.parent)]


@pytest.mark.parametrize("writes", ["", "1"])
def test_nothing_is_written_beside_the_worker(zoo, monkeypatch, tmp_path, writes):
    """The project's own bytecode is written or not, as the environment says."""
    copy = tmp_path / "odd place" / "worker"
    shutil.copytree(lender.WORKER.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(copy.iterdir())
    monkeypatch.setattr(lender, "WORKER", copy / "__main__.py")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", writes)
    assert look(zoo)[3] is bool(writes)
    assert sorted(copy.iterdir()) == before


def test_multiprocessing_of_the_project_does_not_start_the_worker_again(zoo):
    env = zoo.folder / "migrations" / "env.py"
    spawn = (
        "import multiprocessing\n"
        "if __name__ != '__mp_main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=print, args=('from afar',))\n"
        "    process.start()\n"
        "    process.join(30)\n"
        "    assert process.exitcode == 0, process.exitcode\n"
    )
    env.write_text(spawn + env.read_text())
    ended = start_workers(zoo).run(plain_request(zoo), lambda _event: None)
    assert ended.ok, ended
    assert "from afar" in ended.output
