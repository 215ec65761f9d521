"""docs/plugins.md and docs/extending.md: each block of code is run, or is what a command prints."""

import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine

from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.model import Diagnosis, Progress, TargetState

DOCS = Path(__file__).parents[1] / "docs"
PAGE = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("plugins.md", "extending.md"))
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
FILES = [text for kind, text in BLOCKS if kind == "python"]
SUITES = ("# test_memory_storage.py", "# test_memory_database.py", "# test_our_provider.py")


def test_every_block_is_run_somewhere():
    """Those of the suites by tests/conformance/test_documentation.py, the others here."""
    assert PAGE.count("```") == 2 * len(BLOCKS)
    assert {kind for kind, _ in BLOCKS} == {"python", "toml", "text"}
    names = [text.splitlines()[0].partition(":")[0] for text in FILES]
    assert sorted(names) == sorted(
        ["# checks.py", "# checks.py", "# ours.py", "# repairs.py", "# test_ours.py", *SUITES]
    )


@pytest.fixture
def users(alembic_project):
    """One row without a name, at `r1`."""
    assert alembic_project.gate("run", "r1").exit_code == 0
    alembic_project.sql("insert into users values (1, 'ana'), (2, null)")
    return alembic_project


def test_from_nothing_to_a_working_check(users):
    (settings,) = [text for kind, text in BLOCKS if kind == "toml" and text.startswith("# ci-migrate.toml")]
    (printed,) = [text for kind, text in BLOCKS if kind == "text"]
    first, second = [text for text in FILES if text.startswith("# checks.py")]
    (ours,) = [text for text in FILES if text.startswith("# ours.py")]
    users.write("checks.py", first)
    users.settings(settings)
    done = users.call("dry-run")
    assert done.code == 1
    assert printed in done.text
    users.write("checks.py", second)
    users.write("ours.py", ours)
    users.settings(settings.replace("]", ', "ours.py"]'))
    found = {f.code: f.message for f in users.gate("check").findings}
    assert found == {
        "SHOP001": "migrations/versions/r2.py: messages begin with a capital",
        "SHOP002": "migrations/versions/r2.py: messages begin with a capital.",
    }


def test_the_tests_of_a_plugin_pass(tmp_path, monkeypatch):
    """Called here, as pytest would: a run of its own costs seconds."""
    (ours,) = [text for text in FILES if text.startswith("# ours.py")]
    (tests,) = [text for text in FILES if text.startswith("# test_ours.py")]
    (tmp_path / "ours.py").write_text(ours)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "ours", None)  # so that it is as before afterwards
    monkeypatch.delitem(sys.modules, "ours")
    functions: dict[str, Any] = {}
    exec(compile(tests, "test_ours.py", "exec"), functions)
    names = [name for name in functions if name.startswith("test_")]
    assert len(names) == 2
    for name in names:
        (tmp_path / name).mkdir()
        functions[name](tmp_path / name)


def test_the_repair_fits_where_the_index_is_left(tmp_path):
    (text,) = [text for text in FILES if text.startswith("# repairs.py")]
    functions: dict[str, Any] = {}
    exec(compile(text, "repairs.py", "exec"), functions)
    (repair,) = functions["ci_migrate_repairs"]()
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE documents (id INTEGER)")
        connection.exec_driver_sql("CREATE INDEX ix_search ON documents (id)")
    engine.dispose()
    database = SQLite(engine.url)
    schema = {n: t for n, t in database.schema().items() if not n.startswith("index ")}

    class Context:
        """As a RepairContext on that database, with half a revision in it."""

        run = SimpleNamespace(database=database)
        diagnosis = Diagnosis(found=Progress.HALF, words="")

        def read_schema(self):
            return database.schema()

    assert repair.fits(Context()) == "drop the index ix_search"
    assert repair.mend(Context()).state is TargetState.AS_BEFORE
    assert database.schema() == schema
    assert repair.fits(Context()) is None


def test_the_entry_point_is_the_template_s():
    (shown,) = [text for kind, text in BLOCKS if kind == "toml" and text.startswith("# pyproject.toml")]
    template = Path(__file__).parents[1] / "examples" / "plugin" / "pyproject.toml"
    group = tomllib.loads(template.read_text())["project"]["entry-points"]
    assert tomllib.loads(shown)["project"]["entry-points"] == group
