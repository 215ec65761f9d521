"""It stands by itself: a project's interpreter imports it, or copies its folder."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ci_migrate.backfill
from ci_migrate.backfill import checkpoints, connection
from ci_migrate.migrations import record
from ci_migrate.migrations.worker import backfills

FOLDER = Path(ci_migrate.backfill.__file__).parent
LOADED = "import sys; print(sorted(n for n in sys.modules if n.partition('.')[0] in ('ci_migrate', 'pluggy', 'alembic')))"


def python(program, **options):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


def test_nothing_else_of_ci_migrate_is_loaded():
    found = python("import ci_migrate.backfill; " + LOADED)
    assert {n for n in found if not n.startswith("ci_migrate.backfill")} == {"ci_migrate"}


def test_the_folder_can_be_copied(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "shop" / "batches")
    program = "sys.path.insert(0, '.'); from shop.batches import backfill; "
    assert python("import sys; " + program + LOADED, cwd=tmp_path) == []


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda f: f.name)
def test_the_syntax_of_python_3_9_and_sqlalchemy_alone(file):
    tree = ast.parse(file.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            assert top == "sqlalchemy" or top in sys.stdlib_module_names, name


def test_the_gate_knows_it_by_the_same_names():
    assert backfills.OPTION == connection.MARK
    assert backfills.RECORDS == record.RECORDS == checkpoints.RECORDS
    assert Path(backfills.FOLDER) == FOLDER


def test_the_names_that_the_package_had_are_still_there():
    assert python(
        "import ci_migrate; print([ci_migrate.hookimpl.project_name, ci_migrate.check.__name__])"
    ) == [
        "ci_migrate",
        "check",
    ]
    with pytest.raises(AttributeError, match="nosuch"):
        ci_migrate.nosuch  # noqa: B018


WITHOUT = """
import importlib.util, os, sys
from pathlib import Path

worker = Path({worker!r})


class Lacking:
    # the finders of an interpreter that has no ci-migrate

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name == "ci_migrate" else self.finder.find_spec(name, path, target)


sys.meta_path[:] = [Lacking(finder) for finder in sys.meta_path]
try:
    import ci_migrate
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("it is there")
spec = importlib.util.spec_from_file_location("_w", worker / "__init__.py", submodule_search_locations=[str(worker)])
sys.modules["_w"] = importlib.util.module_from_spec(spec)
from _w.backfills import offer_backfill
offer_backfill()
offer_backfill()
from ci_migrate.backfill import backfill, forget_backfill, requires_backfill
try:
    import ci_migrate.gate
except ModuleNotFoundError:
    print(repr([backfill.__name__, len([f for f in sys.meta_path if type(f).__name__ == "Finder"])]))
"""


def test_the_child_brings_it_along_where_the_project_has_no_ci_migrate(tmp_path):
    program = WITHOUT.format(worker=str(FOLDER.parent / "migrations" / "worker"))
    assert python(program, cwd=tmp_path) == ["backfill", 1]
