"""What the worker's source promises: syntax of Python 3.9, no foreign imports, the messages of events.py and
requests.py, Alembic's private names."""

import ast
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory

from ci_migrate.migrations import events, requests
from ci_migrate.migrations.lender import WORKER
from ci_migrate.migrations.worker import alembic_env, failure, models, recording
from ci_migrate.model import Direction

FILES = sorted(WORKER.parent.glob("*.py"))
TREES = {f.name: ast.parse(f.read_text(), feature_version=(3, 9)) for f in FILES}
NODES = [node for tree in TREES.values() for node in ast.walk(tree)]


def test_it_compiles_with_the_oldest_python_that_is_supported():
    """ast checks the grammar only; a real interpreter of that age checks the rest where there is one."""
    found = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))
    if not found:
        pytest.skip("no Python 3.9 here")
    code = "import sys\nfor name in sys.argv[1:]: compile(open(name, encoding='utf-8').read(), name, 'exec')"
    done = subprocess.run([found[-1], "-c", code, *FILES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", TREES)
def test_it_is_self_contained(name):
    imported = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1
            assert f"{node.module}.py" in TREES
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    # Flask only where the project is a Flask application
    flask = {"flask"} if name == "alembic_env.py" else set()
    assert imported - sys.stdlib_module_names <= {"alembic", "sqlalchemy"} | flask


def test_nothing_of_another_package_is_imported_before_it_is_needed():
    """So that the child itself tells of an interpreter that has no Alembic."""
    for tree in TREES.values():
        for node in tree.body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_no_new_syntax_at_run_time():
    """`X | Y` in annotations is never evaluated; elsewhere it would be an error before Python 3.10."""
    for name, tree in TREES.items():
        future = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
        unions = [n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.BitOr)]
        assert future or not unions, name
    assert not any(isinstance(node, ast.Match) for node in NODES)


def test_no_state_outside_of_objects():
    """No class variable and no global that changes: a module may hold constants, a class may hold functions."""
    assert not any(isinstance(node, ast.Global) for node in NODES)
    for node in NODES:
        if isinstance(node, ast.ClassDef):
            kinds = {type(n) for n in node.body if not isinstance(n, ast.Expr)}
            assert kinds <= {ast.FunctionDef}, node.name


def sent():
    """Tag -> (names of fields, whether the child waits), of each `send` and `ask` in the source."""
    found = {}
    for node in NODES:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if (
            node.func.attr not in ("send", "ask")
            or not node.args
            or not isinstance(node.args[0], ast.Constant)
        ):
            continue
        names = {keyword.arg for keyword in node.keywords}
        known, waits = found.get(node.args[0].value, (set(), False))
        found[node.args[0].value] = (known | names, waits or node.func.attr == "ask")
    return found


EVENTS = {msgspec.inspect.type_info(event).tag: event for event in events.AnyEvent.__args__}


def fields_of(tag):
    return {field.encode_name: field.required for field in msgspec.inspect.type_info(EVENTS[tag]).fields}


def test_each_message_has_an_event():
    assert sent().keys() == EVENTS.keys()


@pytest.mark.parametrize("tag", EVENTS)
def test_fields(tag):
    names, waits = sent()[tag]
    fields = fields_of(tag)
    if None in names:  # sent as **mapping
        made = {
            "failed": failure.describe_failure,
            "committing": recording.Recorder.before_commit,
            "context": alembic_env.Contexts.preview,
            "models": alembic_env.compare_models,
            "release-models": models.describe_models,
        }[tag]
        source = textwrap.dedent(inspect.getsource(made))
        keys = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)}
        names = (names - {None}) | {name for name in fields if name in keys}
    assert {name for name, required in fields.items() if required} <= names
    assert names <= fields.keys()
    assert (EVENTS[tag] in events.WAITING) == waits


def test_tables_and_revisions_have_the_fields_of_their_mirrors():
    keys = {
        n.value
        for n in ast.walk(ast.parse(inspect.getsource(alembic_env.describe_one)))
        if isinstance(n, ast.Constant)
    }
    assert set(events.GraphRevision.__struct_fields__) <= keys
    source = textwrap.dedent(inspect.getsource(alembic_env.Contexts.table))
    keys = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)}
    assert set(events.Table.__struct_fields__) <= keys
    for made, mirror in (
        (models.describe_table, events.ModelTable),
        (models.describe_column, events.ModelColumn),
    ):
        keys = {n.value for n in ast.walk(ast.parse(inspect.getsource(made))) if isinstance(n, ast.Constant)}
        assert set(mirror.__struct_fields__) <= keys


# --------------------------------------------------------------------------- requests


def read_of(*names):
    """The keys that are read from a dict by one of these names, anywhere in the source."""
    found = set()
    for node in NODES:
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            owner, key = node.value, node.slice.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".get") and node.args:
            owner, key = node.func.value, getattr(node.args[0], "value", None)
        else:
            continue
        if ast.unparse(owner).split(".")[-1] in names and isinstance(key, str):
            found.add(key)
    return found


def names_of(*structs):
    return {name for struct in structs for name in struct.__struct_fields__}


def test_what_is_read_of_a_request_is_what_it_has():
    assert read_of("request") == names_of(*requests.AnyRequest.__args__) | {"action"}
    assert read_of("setup", "request['setup']") == names_of(requests.Setup)
    assert read_of("project") == names_of(requests.AlembicConfig)
    assert read_of("session") == names_of(requests.SessionSettings)
    assert read_of("marker") == names_of(requests.Marker)
    assert read_of("skip") == names_of(requests.Skip)
    assert read_of("entry", "target", "e") == names_of(requests.WallEntry)
    assert read_of("planned", "c") == names_of(requests.PlannedTable)


def test_the_kinds_of_requests_and_modes_are_known_on_both_sides():
    texts = {n.value for n in ast.walk(TREES["main.py"]) if isinstance(n, ast.Constant)}
    texts |= {n.value for n in ast.walk(TREES["alembic_env.py"]) if isinstance(n, ast.Constant)}
    texts |= {n.value for n in ast.walk(TREES["wall.py"]) if isinstance(n, ast.Constant)}
    tags = {kind.__struct_config__.tag for kind in requests.AnyRequest.__args__}
    assert tags - {"run"} <= texts  # what is none of the others
    assert {mode.value for mode in requests.Mode} <= texts


def test_a_request_does_not_show_a_password(tmp_path):
    entry = requests.WallEntry(
        name="", dialect="postgresql", match={}, connect={"password": "hunter2"}, identity={}
    )
    setup = requests.Setup(
        alembic=requests.AlembicConfig(),
        direction=Direction.UPGRADE,
        destination="head",
        url="postgresql://u:hunter2@h/d",
        environ={"DATABASE_URL": "postgresql://u:hunter2@h/d"},
        databases=(entry,),
    )
    assert "hunter2" not in repr(requests.GraphRequest(setup=setup))


# --------------------------------------------------------------------------- Alembic's private names


def private_names():
    """Attributes with one underscore that are used on Alembic's objects."""
    return {
        node.attr
        for node in NODES
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "script"
        and node.attr.startswith("_")
    }  # fmt: skip


def test_all_private_names_are_known_here():
    assert private_names() == {"_upgrade_revs", "_downgrade_revs", "_stamp_revs"}


@pytest.mark.parametrize("name", ["_upgrade_revs", "_downgrade_revs"])
def test_what_would_run(name):
    parameters = inspect.signature(getattr(ScriptDirectory, name)).parameters
    assert list(parameters)[1:] == ["destination", "current_rev"]


def test_what_a_stamp_would_write():
    assert list(inspect.signature(ScriptDirectory._stamp_revs).parameters)[1:3] == ["revision", "heads"]


def test_public_names_that_alembic_does_not_document():
    assert "fn" in inspect.getsource(MigrationContext)
    assert "dont_mutate" in inspect.getsource(MigrationContext.run_migrations)
    assert list(inspect.signature(MigrationStep.upgrade_from_script).parameters) == ["revision_map", "script"]
    assert list(inspect.signature(MigrationStep.downgrade_from_script).parameters) == [
        "revision_map",
        "script",
    ]
    assert "on_version_apply_callbacks" in inspect.getsource(MigrationContext)
    parameters = inspect.signature(EnvironmentContext.configure).parameters
    assert {"connection", "transactional_ddl", "transaction_per_migration"} <= parameters.keys()
