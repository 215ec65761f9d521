"""The layers, and the edges that each live in one module."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ci_migrate"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = {f: f.relative_to(PACKAGE).as_posix() for f in FILES}

CHILD = "migrations/worker.py"
"""Runs in the project's interpreter, where nothing of the package exists."""


def imported(path: Path) -> set[str]:
    """The top packages that a file imports, inside of functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def importers(*modules: str) -> set[str]:
    return {name for f, name in NAMES.items() if imported(f) & set(modules)}


def calls(name: str) -> set[str]:
    """The files that call a function or a method of this name."""
    found = set()
    for f, file in NAMES.items():
        for node in ast.walk(ast.parse(f.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                found.add(file)
    return found


def mentions(pattern: str) -> set[str]:
    """The files whose code (not texts, not comments) has an expression that looks like this."""
    found = set()
    for f, file in NAMES.items():
        for node in ast.walk(ast.parse(f.read_text())):
            if isinstance(node, ast.Attribute) and re.fullmatch(pattern, ast.unparse(node)):
                found.add(file)
    return found


def test_the_contracts_of_import_linter_are_kept():
    program = shutil.which("lint-imports", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_only_process_starts_processes():
    assert importers("subprocess") == {"process.py"}
    assert calls("os.system") | calls("os.popen") == set()
    assert calls("os.fork") == {CHILD}  # which process.py started, so that children are forked


def test_only_migrations_and_the_ledger_know_alembic():
    places = {name.partition("/")[0] for name in importers("alembic")}
    assert places <= {"migrations", "ledger"}
    assert CHILD in importers("alembic")


def test_only_the_command_line_knows_click():
    assert {n for n in importers("click") if n != "cli.py" and not n.startswith("commands/")} == set()


def test_only_the_command_line_reads_the_environment():
    readers = mentions(r"os\.(environ|getenv|environb)") - {CHILD}
    # process.py passes it on to client tools and reads nothing of it; pytest's plugin is a way in of its own
    assert readers == {"cli.py", "process.py", "pytest_plugin.py"}


def test_only_the_command_line_prints_and_exits():
    assert calls("print") == set()
    assert calls("sys.exit") == {"__main__.py"}
    assert calls("exit") | calls("quit") == set()
    assert calls("os._exit") <= {CHILD}


def test_no_shell():
    for f, name in NAMES.items():
        for node in ast.walk(ast.parse(f.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                pytest.fail(f"{name}:{node.value.lineno} uses a shell")


def test_the_child_imports_nothing_of_ours():
    """It runs where ci-migrate is not installed."""
    own = {"ci_migrate", "msgspec", "click", "pluggy", "rich"}
    assert imported(PACKAGE / CHILD) & own == set()
    allowed = sys.stdlib_module_names | {"alembic", "sqlalchemy"}
    assert imported(PACKAGE / CHILD) - allowed <= {
        "aiosqlite",
        "asyncpg",
        "flask",
        "psycopg",
        "psycopg2",
        "pymysql",
    }


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_is_quick_because_it_imports_little(argument):
    """Under 0.15 s: what takes longer is imported where it is used."""
    code = (
        "import sys\n"
        "from ci_migrate.cli import run\n"
        f"assert run([{argument!r}]) == 0\n"
        "sys.stderr.write(' '.join(sorted({m.partition('.')[0] for m in sys.modules})))\n"
        "sys.stderr.write('|' + ' '.join(m for m in sys.modules if m.startswith('ci_migrate.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules, ours = (set(part.split()) for part in done.stderr.split("|"))
    assert modules & {"sqlalchemy", "alembic", "msgspec", "rich", "psycopg"} == set()
    assert ours <= {
        "ci_migrate.cli",
        "ci_migrate.errors",
        "ci_migrate.verbs",
        "ci_migrate.markers",
        "ci_migrate.commands",
        "ci_migrate.commands.environment",
        "ci_migrate.migrations",
        "ci_migrate.migrations.interrupt",
    }
