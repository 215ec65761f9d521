"""What the worker's source promises: syntax of Python 3.9, no foreign imports, the messages of events.py, Alembic's
private names."""

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

from ci_migrate.migrations import events, worker

SOURCE = Path(worker.__file__).read_text()
TREE = ast.parse(SOURCE, feature_version=(3, 9))


def test_it_compiles_with_the_oldest_python_that_is_supported():
    """ast checks the grammar only; a real interpreter of that age checks the rest where there is one."""
    found = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))
    if not found:
        pytest.skip("no Python 3.9 here")
    code = "import sys; compile(sys.stdin.read(), 'worker', 'exec')"
    done = subprocess.run([found[-1], "-c", code], input=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_is_self_contained():
    imported = set()
    for node in ast.walk(TREE):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.split(".")[0])
    # Flask only where the project is a Flask application
    assert imported - sys.stdlib_module_names == {"alembic", "flask", "sqlalchemy"}


def test_no_new_syntax_at_run_time():
    """`X | Y` in annotations is never evaluated; elsewhere it would be an error before Python 3.10."""
    assert any(isinstance(n, ast.ImportFrom) and n.module == "__future__" and n.names[0].name == "annotations" for n in TREE.body)  # fmt: skip
    assert not any(isinstance(node, ast.Match) for node in ast.walk(TREE))


def sent():
    """Tag -> (names of fields, whether the child waits), of each `send` and `ask` in the source."""
    found = {}
    for node in ast.walk(TREE):
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
            "graph": worker.describe_graph,
            "failed": worker.failure,
            "committing": worker.before_commit,
            "context": worker.Contexts.outlook,
            "models": worker.compared,
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
        for n in ast.walk(ast.parse(inspect.getsource(worker.describe_graph)))
        if isinstance(n, ast.Constant)
    }
    assert set(events.GraphRevision.__struct_fields__) <= keys
    source = textwrap.dedent(inspect.getsource(worker.Contexts.table))
    keys = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)}
    assert set(events.Table.__struct_fields__) <= keys


# --------------------------------------------------------------------------- Alembic's private names


def private_names():
    """Attributes with one underscore that are used on Alembic's objects."""
    return {
        node.attr
        for node in ast.walk(TREE)
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


# --------------------------------------------------------------------------- what statements are


@pytest.mark.parametrize("sql", ["select a from b", " SELECT a\nFROM b", "show x", "PRAGMA table_info(x)", "explain select 1", "pragma foreign_keys"])  # fmt: skip
def test_what_only_reads(sql):
    assert worker.READS.match(sql)


@pytest.mark.parametrize(
    "sql",
    ["select a into b from c", "explain analyze delete from t", "EXPLAIN (ANALYZE) delete from t", "select setval('x', 1)",
     "pragma foreign_keys=off", "insert into a select b from c", "with x as (delete from a returning *) select * from x"],
)  # fmt: skip
def test_what_may_write(sql):
    assert not worker.READS.match(sql)


@pytest.mark.parametrize("sql", ["-- why\ncreate table t (id int)", "/* a */ /* b */ INSERT into t", "  drop table t", "do $$ $$"])  # fmt: skip
def test_what_is_held_back_while_reading(sql):
    assert worker.WRITES.match(sql)


@pytest.mark.parametrize(
    ("dsn", "parts"),
    [
        ("host=h port=1 dbname=d", {"host": "h", "port": "1", "dbname": "d"}),
        (r"host = 'a b' password='it\'s \\'", {"host": "a b", "password": "it's \\"}),
        ("postgres://u:p%40@h:5/d?sslmode=require", {"host": "h", "port": 5, "dbname": "d", "user": "u", "password": "p@", "sslmode": "require"}),
        ("", {}),
    ],
)  # fmt: skip
def test_connection_strings(dsn, parts):
    assert worker.parse_dsn(dsn) == parts


@pytest.mark.parametrize(
    "words",
    [
        "Duplicate entry 'ana's@example.com' for key 'ix_email' (1062)",
        "Incorrect integer value: 'ana's' for column `shop`.`users`.`age` at row 1 (1366)",
        "Truncated incorrect DOUBLE value: 'ana's' (1292)",
        'invalid input syntax for type integer: "ana\'s \\"own\\""',
        'invalid input value for enum mood: "ana\'s"',
    ],
)
def test_what_stood_in_a_row_is_not_repeated(words):
    told = worker.error_words(ValueError(words))
    assert "ana" not in told
    assert "***" in told
    assert told.startswith("ValueError: " + words[:12])
    assert told.split("***")[1].lstrip("'\"").split("(")[0].strip() in words
