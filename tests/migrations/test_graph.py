"""The plan that follows from a graph: held against what Alembic itself would leave; and what is said where there is none."""

import hashlib
import io
import os
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from alembic.runtime.migration import HeadMaintainer, MigrationContext, RevisionStep
from alembic.script.revision import Revision as AlembicRevision
from alembic.script.revision import RevisionMap
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import RefusedError, UsageError, WorkerError
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import (
    Inspection,
    are_branches,
    ask_url,
    build_plan,
    explain_failure,
    graph_of,
    heads_after,
    inspect,
    make_plan,
    read_wanted_url,
    relative,
)
from ci_migrate.migrations.requests import project_setup, wall_entry
from ci_migrate.migrations.runner import NO_ALEMBIC, Ended, Launch, Workers
from ci_migrate.model import Direction, Identity, Inputs, PlannedContext, VersionTable
from ci_migrate.settings.settings import load

NOWHERE = Launch(python="python", directory=Path("/nowhere"), environ={})

IDENTITY = Identity(dialect="sqlite", place="app.db", facts={"file": "app.db"})


def revision(
    name: str, *downs: str, depends_on: tuple[str, ...] = (), labels: tuple[str, ...] = (), file: str = ""
):
    return events.GraphRevision(
        id=name, file=file or f"{name}.py", message=f"about {name}", down_revisions=downs, depends_on=depends_on,
        branch_labels=labels, has_downgrade=True, allow={},
    )  # fmt: skip


# --------------------------------------------------------------------------- version rows, as Alembic writes them


@st.composite
def histories(draw) -> list[events.GraphRevision]:
    """Any graph that Alembic makes: branches, merges, dependencies, several bases.

    No revision builds on another one and on what that one has below it: Alembic's own bookkeeping fails of that.
    """
    made: list[events.GraphRevision] = []
    below: dict[str, set[str]] = {}
    for number in range(draw(st.integers(1, 7))):
        names = [one.id for one in made]
        wanted = draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) if names else []
        wanted = [name for name in wanted if not any(name in below[other] for other in wanted)]
        downs, depends = wanted[:2], wanted[2:]
        if draw(st.booleans()):
            downs, depends = wanted[1:], wanted[:1]
        made.append(revision(f"r{number}", *downs, depends_on=tuple(depends)))
        below[f"r{number}"] = {*wanted, *(lower for name in wanted for lower in below[name])}
    return made


@cache
def _writes_nowhere() -> MigrationContext:
    options = {"as_sql": True, "output_buffer": io.StringIO()}
    return MigrationContext.configure(dialect_name="sqlite", opts=options)


def alembic_heads(
    made: list[events.GraphRevision], heads: set[str], steps: list[str], *, up: bool
) -> set[str]:
    """The version rows that Alembic leaves behind."""
    scripts = [
        AlembicRevision(r.id, r.down_revisions or None, dependencies=r.depends_on or None) for r in made
    ]
    for script in scripts:
        script.module = SimpleNamespace(upgrade=None, downgrade=None)
    known = RevisionMap(lambda: scripts)
    rows = HeadMaintainer(_writes_nowhere(), heads)
    for name in steps:
        rows.update_to_step(RevisionStep(known, known.get_revision(name), up))
    return set(rows.heads)


@given(made=histories(), data=st.data())
@settings(max_examples=60)
def test_the_rows_after_an_upgrade_are_those_that_alembic_leaves(made, data):
    """A plan that promised others would be refused by the child in the middle of a migration."""
    by_id = {one.id: one for one in made}
    all_of_them = [one.id for one in made]  # each after what it builds upon
    stop = data.draw(st.integers(0, len(all_of_them)))
    before = alembic_heads(made, set(), all_of_them[:stop], up=True)
    assert set(heads_after(by_id, (), all_of_them[:stop], Direction.UPGRADE)) == before
    after = alembic_heads(made, set(before), all_of_them[stop:], up=True)
    assert set(heads_after(by_id, before, all_of_them[stop:], Direction.UPGRADE)) == after


@given(made=histories(), data=st.data())
@settings(max_examples=60)
def test_the_rows_after_a_downgrade_are_those_that_alembic_leaves(made, data):
    by_id = {one.id: one for one in made}
    names = [one.id for one in made]
    heads = alembic_heads(made, set(), names, up=True)
    stop = data.draw(st.integers(0, len(names)))
    back = names[stop:][::-1]
    assert set(heads_after(by_id, heads, back, Direction.DOWNGRADE)) == alembic_heads(
        made, set(heads), back, up=False
    )


def test_a_dependency_may_be_named_by_a_label_or_the_beginning_of_an_id():
    made = [
        revision("abc123"),
        revision("def456", labels=("billing",)),
        revision("x", depends_on=("abc", "billing")),
    ]
    by_id = {one.id: one for one in made}
    assert heads_after(by_id, (), ("abc123", "def456", "x"), Direction.UPGRADE) == ("x",)
    nothing = {"x": revision("x", depends_on=("nowhere",))}
    assert heads_after(nothing, (), ("x",), Direction.UPGRADE) == ("x",)
    assert heads_after({}, ("gone",), (), Direction.UPGRADE) == ("gone",), "a row that no script has stays"


# --------------------------------------------------------------------------- files


def a_graph(*made: events.GraphRevision, env: str) -> events.Graph:
    return events.Graph(revisions=made, heads=tuple(one.id for one in made), env_file=env)


def test_a_plan_has_the_bytes_that_the_child_compiled_not_those_that_lie_there_by_now(tmp_path):
    for name in ("env.py", "r1.py", "r2.py"):
        (tmp_path / name).write_text(f"# {name}")
    graph = a_graph(
        revision("r1", file=str(tmp_path / "r1.py")), revision("r2", "r1", file=str(tmp_path / "r2.py")),
        env=str(tmp_path / "env.py"),
    )  # fmt: skip
    contexts = [
        PlannedContext(version_table=VersionTable(), from_heads=(), to_heads=("r2",), revisions=("r1", "r2")),
        PlannedContext(
            version_table=VersionTable(name="other"), from_heads=(), to_heads=("r1",), revisions=("r1",)
        ),
    ]
    plan = build_plan(
        graph, contexts, target="dev", identity=IDENTITY, direction=Direction.UPGRADE, destination="head",
        project=tmp_path, inputs=Inputs(files={"r1.py": "1" * 64, "env.py": "e" * 64}),
    )  # fmt: skip
    assert [(r.id, r.file) for r in plan.revisions] == [("r1", "r1.py"), ("r2", "r2.py")], "each once"
    assert plan.env_sha256 == "e" * 64
    assert plan.revisions[0].sha256 == "1" * 64
    assert plan.revisions[1].sha256 == hashlib.sha256(b"# r2.py").hexdigest()
    assert plan.revisions[1].message == "about r2"
    assert plan.script_heads == ("r1", "r2")


def test_files_are_named_from_the_project_whatever_link_leads_there(tmp_path):
    project, linked = tmp_path / "project", tmp_path / "link"
    (project / "versions").mkdir(parents=True)
    linked.symlink_to(project)
    file = project / "versions" / "r1.py"
    file.touch()
    assert (
        relative(str(file), project)
        == relative(str(linked / "versions" / "r1.py"), project)
        == "versions/r1.py"
    )
    assert relative(str(file), linked) == "versions/r1.py"
    assert relative("/usr/lib/x.py", project) == "/usr/lib/x.py"


# --------------------------------------------------------------------------- where there is no plan


def ended(output: str = "", died: str | None = None, **failed) -> Ended:
    told = (
        events.Failed(**{"kind": "error", "message": "ValueError: boom", **failed}) if died is None else None
    )
    return Ended(None, None, told, died, output)


@pytest.mark.parametrize(
    ("failed", "kind", "words"),
    [
        ({"kind": "command", "message": "Can't locate revision 'x'."}, RefusedError, "Alembic says: Can't locate revision 'x'."),
        ({"kind": "refused", "message": "it writes", "file": "env.py", "line": 3}, RefusedError, "Refused (env.py:3): it writes."),
        ({"kind": "script", "message": "SyntaxError: x", "file": "r1.py", "line": 9}, RefusedError, "A revision script can't be loaded (r1.py:9): SyntaxError: x."),
        ({"kind": "script", "message": "KeyError: 'r0'"}, RefusedError, "A revision script builds on 'r0', and no script has that id."),
        ({"kind": "configure", "message": "no module x."}, UsageError, "The setting `configure` names what can't be imported: no module x."),
        ({"file": "env.py", "line": 1}, WorkerError, "env.py failed (env.py:1): ValueError: boom."),
        ({"sqlstate": "25006"}, WorkerError, "The application writes to its database when env.py loads it. "),
        ({"sqlstate": "SQLITE_READONLY"}, WorkerError, "The application writes to its database"),
        ({"sqlstate": "1792"}, WorkerError, "The application writes to its database"),
    ],
)  # fmt: skip
def test_each_end_has_the_error_that_fits(failed, kind, words):
    error = explain_failure(ended(**failed), NOWHERE)
    assert type(error) is kind
    assert error.what.startswith(words)
    assert error.exit_code == kind.exit_code


def test_what_was_refused_is_named_before_what_the_project_made_of_it():
    error = explain_failure(
        ended(kind="refused", message="OperationalError: x"), NOWHERE, ["a connection to db:5432/other"]
    )
    assert error.what == "env.py asked for a connection to db:5432/other, which is not the target."
    assert "allow-connections" in error.hint


def test_a_write_that_was_held_back_is_shown_in_one_short_line():
    error = explain_failure(
        ended(), NOWHERE, writes=["create table\n  users (id integer)" + " " * 50 + "x" * 500]
    )
    assert "(create table users (id integer) xxx" in error.what
    assert len(error.what) < 400
    assert "CI_MIGRATE_STAGE" in error.hint


@pytest.mark.parametrize("message", ["ModuleNotFoundError: No module named 'app'", "ImportError: x"])
def test_what_is_not_installed_there_is_a_matter_of_the_interpreter(message):
    hint = explain_failure(ended(message=message), NOWHERE).hint
    assert hint.startswith("Install it there, or name the interpreter")
    assert 'python = ".venv/bin/python"' in hint


@pytest.mark.parametrize(
    ("file", "environ", "hint"),
    [
        (
            "poetry.lock",
            {},
            "Poetry keeps the project's packages elsewhere: put `poetry run` before the command.",
        ),
        (
            "Pipfile",
            {},
            "Pipenv keeps the project's packages elsewhere: put `pipenv run` before the command.",
        ),
        (
            "poetry.lock",
            {"VIRTUAL_ENV": "/env"},
            "Install it there by `poetry install`, or name the interpreter",
        ),
        (
            "poetry.lock",
            {"VIRTUAL_ENV": "/env", "PRE_COMMIT": "1"},
            "Install it there, or name the interpreter",
        ),
        ("uv.lock", {}, "Install it there, or name the interpreter"),
    ],
)
def test_where_a_tool_keeps_the_packages_elsewhere_it_finds_them(tmp_path, file, environ, hint):
    (tmp_path / file).touch()
    launch = Launch(python="python", directory=tmp_path, environ=environ)
    failed = explain_failure(ended(message="ModuleNotFoundError: No module named 'shop'"), launch)
    assert failed.hint.startswith(hint)
    none = explain_failure(ended(f"ModuleNotFoundError: {NO_ALEMBIC}", died="exit 1"), launch)
    assert none.hint.startswith(hint)


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("", ""),
        ("  \n\n", ""),
        ("one\nLast words \n\n", "It printed: Last words"),
        (f"Traceback\nModuleNotFoundError: {NO_ALEMBIC}", "Install it there, or name the interpreter"),
        ("x" * 1000, "It printed: " + "x" * 300),
    ],
)
def test_of_a_child_that_died_its_last_line_is_told(output, hint):
    error = explain_failure(ended(output, died="exit 1"), NOWHERE)
    assert error.what == "Alembic could not be run: exit 1."
    assert error.hint.startswith(hint)
    assert bool(error.hint) is bool(hint)


# --------------------------------------------------------------------------- the URL that env.py asks for


def wanted(dialect: str, **parts: str) -> Inspection:
    return Inspection(wanted=[events.Wanted(dialect=dialect, driver="x", parts=parts)])


@pytest.mark.parametrize(
    ("found", "url"),
    [
        (wanted("sqlite", file="/srv/a?b.db"), make_url("sqlite://").set(database="/srv/a?b.db")),
        (wanted("postgresql", host="h", port="5433", user="u", password="p@:/", database="d"),
         make_url("postgresql://u:p%40%3A%2F@h:5433/d")),
        (wanted("postgresql", host="", port="", user="", password="", database="d"), make_url("postgresql:///d")),
        (wanted("postgresql", host="a,b", port="1,2", database="d"), make_url("postgresql:///d?host=a%2Cb&port=1%2C2")),
        (wanted("mysql", host="h", port="3306", database="d", unix_socket="/run/s", charset=""),
         make_url("mysql://h:3306/d?unix_socket=%2Frun%2Fs")),
    ],
)  # fmt: skip
def test_the_url_of_a_drivers_arguments(found, url):
    assert read_wanted_url(found) == url


def test_a_password_of_the_url_is_shown_to_nobody():
    found = read_wanted_url(
        wanted("postgresql", host="h", port="1", user="u", password="s3cret", database="d")
    )
    assert "s3cret" not in repr(found)
    assert found.password == "s3cret"


# --------------------------------------------------------------------------- asked of a project


@pytest.fixture
def asked(alembic_project):
    """Asks a child of the project: `asked(inspect)`, `asked(graph_of, destination="r1")`."""

    def ask(question, direction: Direction = Direction.UPGRADE, destination: str = "head"):
        found = load(alembic_project.folder, alembic_project.environment(), {"target": "dev"})
        launch = Launch(python=sys.executable, directory=alembic_project.folder, environ=dict(os.environ))
        setup = project_setup(found, direction, destination)
        if question is inspect:  # which reaches the target
            entry = wall_entry("", SQLite(make_url(f"sqlite:///{alembic_project.database}")).wall())
            setup = msgspec.structs.replace(setup, databases=(entry,))
        with Workers(launch) as workers:
            return question(workers, setup)

    return ask


def test_the_graph_is_read_without_env_py(asked, alembic_project):
    alembic_project.write("migrations/env.py", "raise SystemExit('env.py ran')")
    found = asked(graph_of)
    assert [one.id for one in found.revisions] == ["r2", "r1"], "newest first"
    assert (found.heads, Path(found.env_file).name) == (("r2",), "env.py")
    assert not alembic_project.database.exists()


def test_a_script_that_ends_the_process_is_refused(asked, alembic_project):
    alembic_project.write(
        "migrations/versions/r3.py", "revision = 'r3'\ndown_revision = 'r2'\nraise SystemExit\n"
    )
    with pytest.raises(RefusedError, match=r"ends the process when it is loaded \(sys.exit\)"):
        asked(graph_of)


def test_env_py_says_where_it_would_go_and_does_not_get_there(asked, alembic_project):
    found = asked(ask_url)
    assert found.database == str(alembic_project.database)
    assert not alembic_project.database.exists(), "the connection was refused"


def test_an_env_py_that_connects_to_nothing_leaves_the_url_unknown(asked, alembic_project):
    alembic_project.write("migrations/env.py", "")
    with pytest.raises(WorkerError, match="never opened a connection") as caught:
        asked(ask_url)
    assert "`url`" in caught.value.hint
    with pytest.raises(WorkerError, match="without configuring a migration context"):
        asked(inspect)


@pytest.mark.parametrize(
    ("labels", "apart"),
    [
        ([("a",), ("b",)], True),
        ([(), ("b",)], True),
        ([(), ()], False),
        ([("a",)], False),
        ([("a",), ("a",)], False),
        ([("a",), ("a", "b")], True),
        ([(), (), ("b",)], False),
    ],
)
def test_F72_heads_of_branches_are_meant_to_stay_apart(labels, apart):
    revisions = tuple(revision(f"r{n}", labels=each) for n, each in enumerate(labels))
    graph = events.Graph(revisions=revisions, heads=tuple(r.id for r in revisions), env_file="env.py")
    assert are_branches(graph) is apart


def test_a_branch_with_several_heads_is_told_with_the_merge(asked, alembic_project):
    alembic_project.revision("b1", "r2", "pass", extra="branch_labels = ('billing',)")
    alembic_project.revision("b2", "b1", "pass")
    alembic_project.revision("b3", "b1", "pass")
    with pytest.raises(RefusedError) as caught:
        asked(inspect, destination="billing@head")
    assert caught.value.hint == "The branch billing has 2 heads; merge them: alembic merge -m MESSAGE b2 b3"


def test_a_plan_of_an_inspection_is_what_would_run(asked, alembic_project):
    found = asked(inspect)
    plan = make_plan(
        found, target="dev", identity=IDENTITY, direction=Direction.UPGRADE, destination="head",
        project=alembic_project.folder, inputs=Inputs(),
    )  # fmt: skip
    (context,) = plan.contexts
    assert (context.from_heads, context.to_heads, context.revisions) == ((), ("r2",), ("r1", "r2"))
    assert plan.revisions[0].file == "migrations/versions/r1.py"
    assert found.row_troubles == []


# --------------------------------------------------------------------------- stamps, and several version tables


def stamped(tmp_path, *heads: str):
    for name in ("env.py", "r1.py", "r2.py"):
        (tmp_path / name).write_text("")
    made = (revision("r1", file=str(tmp_path / "r1.py")), revision("r2", "r1", file=str(tmp_path / "r2.py")))
    table = events.Table(name="alembic_version", schema=None, database="", search_path=None)
    told = events.Context(
        key="", number=0, table=table, heads=heads, revisions=(), to_heads=("r2",), purged=("r1",)
    )
    found = Inspection(graph=a_graph(*made, env=str(tmp_path / "env.py")), contexts=[told])
    return make_plan(
        found, target="dev", identity=IDENTITY, direction=Direction.STAMP, destination="r2", project=tmp_path,
        inputs=Inputs(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("heads", "after"), [((), ("r2",)), (("r1",), ("r2",)), (("gone",), ("r1",)), (("r1", "r2"), ("r1",))]
)
def test_a_stamp_leaves_what_alembic_says_and_where_rows_make_no_sense_what_is_left_without_them(
    tmp_path, heads, after
):
    plan = stamped(tmp_path, *heads)
    assert (plan.from_heads, plan.to_heads) == (tuple(sorted(heads)), after)
    assert plan.revisions == (), "nothing is run"
