"""The layers, and the edges that each live in one module."""

import ast
import importlib.util
import io
import re
import shutil
import subprocess
import sys
import tokenize
from functools import cache
from pathlib import Path

import pytest

from ci_migrate.pipeline import PIPELINE
from ci_migrate.verbs import ALL, HABITS, VERBS, Verb, verb_of

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ci_migrate"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = {f: f.relative_to(PACKAGE).as_posix() for f in FILES}

CHILD = {name for name in NAMES.values() if name.startswith("migrations/worker/")}
"""What runs in the project's interpreter, where nothing of the package exists."""
KEEPER = {"databases/server_keeper.py", "testing/held_command.py"}
"""A program of its own."""


@cache
def parse(path: Path) -> ast.Module:
    """The tree of a file; each is read once for all tests."""
    return ast.parse(path.read_text())


def imported(path: Path) -> set[str]:
    """The top packages that a file imports, inside of functions too."""
    found = set()
    for node in ast.walk(parse(path)):
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
        for node in ast.walk(parse(f)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                found.add(file)
    return found


def mentions(pattern: str) -> set[str]:
    """The files whose code (not texts, not comments) has an expression that looks like this."""
    found = set()
    for f, file in NAMES.items():
        for node in ast.walk(parse(f)):
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
    # the worker of a fleet is handed the end of its pipe
    assert importers("multiprocessing") == {
        "fleet/forked.py",
        "fleet/worker.py",
        "testing/database_samples.py",
    }
    assert calls("os.system") | calls("os.popen") == set()
    # which process.py started: children are forked, and a server ends with the one who asked for it
    assert calls("os.fork") == {"migrations/worker/main.py", *KEEPER}


def test_only_migrations_and_the_ledger_know_alembic():
    # guard.py is called by env.py, where Alembic is at work already
    places = {name.partition("/")[0] for name in importers("alembic")} - {"guard.py"}
    assert places <= {"migrations", "ledger"}
    assert importers("alembic") & CHILD


def test_only_the_command_line_knows_click():
    assert {n for n in importers("click") if n != "cli.py" and not n.startswith("commands/")} == set()


def test_only_the_server_for_agents_knows_the_sdk():
    assert importers("mcp", "mcp_types", "anyio") == {"mcp/server.py"}


def test_only_the_command_line_reads_the_environment():
    readers = mentions(r"os\.(environ|getenv|environb)") - CHILD - KEEPER
    # process.py passes it on to client tools and reads nothing of it; pytest's plugin is a way in of its own; a backfill
    # runs in the project's process, as the child does
    assert readers == {"backfill/pace.py", "cli.py", "process.py", "pytest_plugin.py"}


def test_only_the_command_line_prints_and_exits():
    assert calls("print") == set()
    # it cleans what it prints; click's own questions are ours
    assert calls("click.echo") == {"commands/printing.py"}
    assert calls("traceback.print_exc") == set()
    assert calls("sys.exit") == {"__main__.py", *KEEPER}
    assert calls("exit") | calls("quit") == set()
    assert calls("os._exit") <= CHILD | KEEPER


def test_no_shell():
    for f, name in NAMES.items():
        for node in ast.walk(parse(f)):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                pytest.fail(f"{name}:{node.value.lineno} uses a shell")


@pytest.mark.parametrize("name", sorted(CHILD))
def test_the_child_imports_nothing_of_ours(name):
    """It runs where ci-migrate is not installed. Flask: only where the project is a Flask application."""
    flask = {"flask"} if name == "migrations/worker/alembic_env.py" else set()
    assert imported(PACKAGE / name) <= sys.stdlib_module_names | {"alembic", "sqlalchemy"} | flask


@pytest.mark.parametrize("name", sorted(CHILD))
def test_the_child_keeps_to_the_syntax_of_python_3_9(name):
    ast.parse((PACKAGE / name).read_text(), feature_version=(3, 9))


def test_no_file_of_the_child_is_long():
    assert {name for name in CHILD if len((PACKAGE / name).read_text().splitlines()) > 500} == set()


def test_only_the_runner_starts_the_child_and_nobody_imports_it():
    """Its files are data to us: only tests import them. But SQL is read by one lexer, which the child can't import."""
    importing = {
        name
        for file, name in NAMES.items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("ci_migrate.migrations.worker")
        and not node.module.endswith((".tokens", ".forms"))
    }
    assert importing == set()


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
        "ci_migrate.commands.printing",
        "ci_migrate.commands.ticker",
        "ci_migrate.migrations",
        "ci_migrate.migrations.interrupt",
        # whether the project's plugins have commands
        "ci_migrate.settings",
        "ci_migrate.settings.files",
        "ci_migrate.settings.backfills",
        "ci_migrate.settings.keys",
        "ci_migrate.settings.kinds",
        "ci_migrate.settings.secrets",
        "ci_migrate.settings.urls",
        "ci_migrate.timeouts",
    }


# --------------------------------------------------------------------------- the house


def test_the_top_level_is_one_screen():
    assert len([f for f in PACKAGE.glob("*.py") if not f.name.startswith("__")]) <= 14


def test_stages_holds_the_seven_stages():
    """Whoever opens the folder sees the pipeline, and nothing else."""
    assert {f.stem for f in (PACKAGE / "stages").glob("*.py")} == {
        "__init__",
        *(name.replace("-", "_") for name, _ in PIPELINE),
    }
    assert [f for f in (PACKAGE / "stages").iterdir() if f.is_dir() and f.name != "__pycache__"] == []


def test_no_module_is_longer_than_500_lines():
    lines = {name: len(f.read_text().splitlines()) for f, name in NAMES.items()}
    assert {name: count for name, count in lines.items() if count > 500} == {}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def own_imports(path: Path, modules: set[str]) -> set[str]:
    """The modules of ours that a file imports, inside of functions too; not those for the type checker alone."""
    tree = parse(path)
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & modules
            if names - modules:
                found.add(node.module)
    return found & modules - {module_of(path)}


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """A way from a module back to itself; [] where there is none."""
    ended: set[str] = set()

    def walk(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module not in ended:
            for other in sorted(graph[module]):
                found = walk(other, [*way, module])
                if found:
                    return found
            ended.add(module)
        return []

    return next((found for module in sorted(graph) if (found := walk(module, []))), [])


def test_no_module_imports_itself_by_way_of_others():
    modules = {module_of(f) for f in FILES}
    graph = {module_of(f): own_imports(f, modules) for f in FILES}
    assert sum(map(len, graph.values())) > 500, "the walk finds the imports"
    cycle = cycle_in(graph)
    assert not cycle, " -> ".join(cycle)


def test_a_cycle_is_found():
    assert cycle_in({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]


# --------------------------------------------------------------------------- the table of commands

TABLE = "verbs.py"
HELD_AGAINST = {
    "backfill/pace.py": {"os.environ.get('CI_MIGRATE_STAGE') == 'dry-run'"},  # a stage, told to the project
    "approval/command_lines.py": {"plan.destination == 'unprotect'"},  # a change of protection
    "databases/mysql/undo.py": {"kind == 'check'"},  # a kind of constraint
    "ledger/ledger.py": {"'plan' in fields", "'plan' not in fields"},  # a field of a stored row
    "migrations/worker/alembic_env.py": {  # a direction
        "self.direction == 'stamp'",
        "self.direction != 'stamp'",
    },
    "operations/dry_run_on.py": {"kind != 'backup'"},  # the word before the colon of `--on backup:ID`
    "run/traffic.py": {"settings.in_the_way == 'wait'"},  # a value of the setting
    "server/routes.py": {"name not in ('message', 'status')"},  # fields of an answer
    "stages/check.py": {"run.settings.dry_run == 'backup'"},  # a value of the setting
}
"""What looks like the name of a verb, and is something else."""


def compared_texts(node: ast.AST) -> set[str]:
    """The literals that something is compared with: `==`, `in (...)`, `case`."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
    elif isinstance(node, ast.MatchValue):
        sides = [node.value]
    else:
        return set()
    values = [v for s in sides for v in (s.elts if isinstance(s, ast.Tuple | ast.List | ast.Set) else [s])]
    return {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)}


def is_about_a_stage(node: ast.AST) -> bool:
    """Stages bear the names of verbs: what is called `stage` or `stages` is compared with a stage."""
    sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
    return any(re.search(r"(^|\.)stages?$", ast.unparse(side)) for side in sides)


def verbs_compared(tree: ast.Module) -> set[str]:
    """The comparisons of a file with the name of a verb."""
    return {
        ast.unparse(node)
        for node in ast.walk(tree)
        if compared_texts(node) & set(VERBS) and not is_about_a_stage(node)
    }


def test_no_verb_is_compared_as_text():
    """What a verb may do is a cell of its row: ask the row."""
    found = {name: verbs_compared(parse(f)) for f, name in NAMES.items() if name != TABLE}
    assert {name: these for name, these in found.items() if these} == HELD_AGAINST


def test_a_verb_that_is_compared_as_text_is_found():
    source = (
        "if command == 'run' or x in ('plan', y):\n pass\nmatch z:\n case 'stamp': pass\n"
        "a.stage == 'check'\nb != 'none'"
    )
    assert verbs_compared(ast.parse(source)) == {"command == 'run'", "x in ('plan', y)", "'stamp'"}


def test_each_verb_that_is_asked_for_is_in_the_table():
    for f, name in NAMES.items():
        for node in ast.walk(parse(f)):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "VERBS":
                chosen = node.slice
                texts = [chosen.body, chosen.orelse] if isinstance(chosen, ast.IfExp) else [chosen]
                for text in texts:
                    assert not isinstance(text, ast.Constant) or text.value in VERBS, f"{name}:{node.lineno}"


def test_each_verb_is_a_file_and_each_file_a_verb():
    """A row `backup create` is commands/backup/create.py; an option that makes another verb of one is in its file."""
    files = set()
    for f in (PACKAGE / "commands").rglob("*.py"):
        defined = {n.name for n in parse(f).body if isinstance(n, ast.FunctionDef)}
        if "command" in defined:
            files.add(module_of(f).removeprefix("ci_migrate.commands."))
    verbs = {name.partition(" --")[0] for name in VERBS}
    assert files == {name.replace("-", "_").replace(" ", ".") for name in verbs}
    assert verbs <= set(VERBS)


def test_the_rows_make_sense():
    assert tuple(name for name, _ in PIPELINE) == ALL
    for verb in VERBS.values():
        assert set(verb.stages) <= set(ALL), verb.name
        assert list(verb.stages) == [stage for stage in ALL if stage in verb.stages], verb.name
        assert verb.writes == ("migrate" in verb.stages) or verb.name.startswith(
            ("backfill run", "backup restore", "repair")
        )
        assert not verb.rehearsal or VERBS[verb.rehearsal].rehearses
    assert not set(HABITS) & set(VERBS)
    assert {text.split()[0] for text in HABITS.values()} <= set(VERBS)
    listed = {verb.name for verb in VERBS.values() if verb.words}
    assert listed == {name for name in VERBS if " " not in name}
    assert verb_of("of a later version") == Verb("of a later version")


# --------------------------------------------------------------------------- the one door

DOOR = "run/authorization.py"

WRITERS = {
    "backups/catalog.py": {"delete"},
    "backups/restore.py": {"restore", "restore_tables"},
    "ledger/protection.py": {"protect", "unprotect", "unfreeze"},
    "migrations/requests.py": {"migrate_request"},
    "operations/backfills.py": {"fill"},
}
"""What writes to a target, or takes a way back or a protection away."""

BEHIND_WRITERS = {
    "Mode.MIGRATE": {"migrations/requests.py"},  # the child that writes to the target
    r".*\.drop_replaced": {"operations/backups.py", "databases/composite/database.py",
                                               "databases/mysql/database.py", "databases/postgresql/database.py"},
    r".*\.storage\.delete": {"backups/catalog.py"},
    r"provider\.bring_back": {"backups/restore.py"},
    r"undoes_additions\(run\.database\)\.undo": {"repairs/undo_additions.py"},
}  # fmt: skip
"""What they do it with, and who may touch that."""


def test_only_the_door_makes_permits():
    assert calls("Permit") == {DOOR}
    naming = {name for file, name in NAMES.items() if re.search(r"\bSEAL\b", file.read_text())}
    assert naming == {DOOR, "model/permit.py"}


def test_what_writes_takes_a_permit():
    for name, functions in WRITERS.items():
        defined = {n.name: n for n in ast.walk(parse(PACKAGE / name)) if isinstance(n, ast.FunctionDef)}
        for function in functions:
            arguments = [a for a in defined[function].args.args if a.arg != "self"]
            annotation = arguments[0].annotation
            assert annotation is not None, f"{name}: {function}"
            assert ast.unparse(annotation) == "Permit", f"{name}: {function}"
            required = len(defined[function].args.args) - len(defined[function].args.defaults)
            assert required >= 1, "it can't be left out"
            asks = [n for n in ast.walk(defined[function]) if isinstance(n, ast.Call)]
            assert any(ast.unparse(n.func) == "permit.require" for n in asks), f"{name}: {function}"


def test_nobody_goes_round_what_takes_a_permit():
    for pattern, places in BEHIND_WRITERS.items():
        assert mentions(pattern) == places, pattern


# --------------------------------------------------------------------------- names in texts

IMPORT = re.compile(r"from (ci_migrate[\w.]*) import ([\w, ]+)")
POINT = re.compile(r'"(ci_migrate(?:\.\w+)+):(\w+)')
NOT_OURS = {"ci_migrate.dry_run", "ci_migrate.checks.CM201"}  # of JUnit's types


def is_there(module: str, name: str = "") -> bool:
    try:
        found = importlib.import_module(module)
        return not name or hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}") is not None
    except ModuleNotFoundError:
        return False


def names_in_texts() -> list[tuple[str, str, str]]:
    """File, module and name: of programs that stand as text in tests, where no linter sees a module that moved."""
    found = []
    for file in sorted((ROOT / "tests").rglob("*.py")):
        source = file.read_text()
        for module, names in IMPORT.findall(source):
            each = [name.strip().partition(" as ")[0] for name in names.split(",")]
            found += [(file.name, module, name) for name in each if name]
        found += [(file.name, module, name) for module, name in POINT.findall(source)]
    return found


def test_modules_that_texts_name_are_there():
    asked = {entry for entry in names_in_texts() if entry[1] not in NOT_OURS}
    assert len(asked) > 200
    assert [entry for entry in sorted(asked) if not is_there(entry[1], entry[2])] == []


NO_NAMES = {"PYTHONPATH", "ps", "_in_process", "nonces", "age1...", "tenant_a.alembic_version"}
"""What stands in backticks and is no name of the package: of the environment, of a program, an example."""


def test_names_in_docstrings_are_there():
    """`restore_loss` in a docstring is a name of the code: what was renamed may not live on in prose."""
    known = {part for file in FILES for part in (*file.relative_to(ROOT).parts, file.stem)}
    named = set()
    for file, name in NAMES.items():
        for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline):
            prose = token.type == tokenize.COMMENT or token.string.startswith(('"""', 'r"""'))
            if token.type == tokenize.NAME:
                known.add(token.string)
            elif prose:
                named |= {
                    (name, found) for found in re.findall(r"`([A-Za-z_][\w.]*)(?:\(\))?`", token.string)
                }
            elif token.type == tokenize.STRING:
                known |= set(re.findall(r"\w+", token.string))
    assert len(named) > 300
    assert {(f, n) for f, n in named if n not in NO_NAMES and not set(n.split(".")) <= known} == set()
