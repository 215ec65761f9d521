"""What was planned and rehearsed is what runs, or nothing does."""

import pytest

from ci_migrate.gate import run as run_gate
from ci_migrate.model import Inputs, Outcome, TargetState
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS


def gate(project, between="", edit=lambda: None, command="run", **flags):
    """The report of a run during which something is edited after a stage."""

    def done(result):
        if result.stage == between:
            edit()

    settings = load(project.folder, project.environment(), flags)
    return run_gate(settings, GateRequest(VERBS[command], done=done))


@pytest.fixture
def filled(alembic_project):
    """At r1 with a row; r2 doubles what a JSON file and a helper say."""
    project = alembic_project
    project.revision("r1", None, "create table users (id integer primary key, points integer)")
    assert gate(project, to="r1").exit_code == 0
    project.sql("insert into users values (1, 10)")
    project.write("factor.json", "2")
    project.write("lib/helper.py", "EXTRA = 0\n")
    project.revision(
        "r2",
        "r1",
        """
        import json, os, sys
        sys.path.insert(0, os.path.abspath("lib"))
        import helper
        factor = json.load(open("factor.json")) + helper.EXTRA
        op.execute(f"UPDATE users SET points = points * {factor}")
        op.execute("UPDATE users SET points = points + 1")
        """,
    )
    return project


def points(project):
    return project.sql("select points from users")[0][0]


EDITS = {
    "migrations/versions/r2.py": ("points + 1", "points + 2"),
    "migrations/env.py": ("import os", "import os  # edited"),
    "factor.json": ("2", "3"),
    "lib/helper.py": ("0", "1"),
    "alembic.ini": ("level = WARNING", "level = ERROR"),
}


@pytest.mark.parametrize("file", EDITS)
@pytest.mark.parametrize("between", ["check", "dry-run"])
def test_F112_what_is_edited_during_a_run_stops_before_its_first_statement(filled, file, between):
    lazily = file in ("factor.json", "lib/helper.py")
    if lazily and between == "check":
        pytest.skip("nobody has read it yet: the dry run is of what is there")

    def edit():
        path = filled.folder / file
        text = path.read_text()
        assert EDITS[file][0] in text
        path.write_text(text.replace(*EDITS[file]))

    report = gate(filled, between, edit)
    stopped = report.first_bad
    assert stopped.stage == ("dry-run" if between == "check" else "migrate")
    assert stopped.outcome is Outcome.FAILED
    assert f"Stopped: the file {file} was changed since the plan was made" in stopped.message
    assert report.state is TargetState.UNTOUCHED
    assert (points(filled), filled.heads) == (10, ["r1"])
    after = gate(filled)  # as it is now, rehearsed
    assert after.exit_code == 0, after.first_bad
    expected = {"migrations/versions/r2.py": 22, "factor.json": 31, "lib/helper.py": 31}
    assert points(filled) == expected.get(file, 21)


def test_what_a_rehearsal_reads_besides_is_in_its_evidence_and_nothing_else_on_the_target(filled):
    report = gate(filled, command="dry-run")
    assert report.exit_code == 0
    assert report.evidence.inputs.files.keys() == {"factor.json", "lib/helper.py"}
    known = report.plan.inputs
    assert {"alembic.ini", "migrations/env.py", "migrations/versions/r2.py"} <= known.files.keys()
    assert known.distributions["alembic"] == report.evidence.alembic_version
    assert known.settings == {"alembic-config": "alembic.ini", "alembic-name": "alembic"}
    assert report.plan.digest == gate(filled, command="dry-run").plan.digest

    def add():
        filled.write("lib/new.py", "VALUE = 5\n")
        helper = filled.folder / "lib" / "helper.py"
        assert helper.exists()

    filled.write(
        "lib/helper.py",
        "import os\nEXTRA = 0\nif os.environ['CI_MIGRATE_STAGE'] == 'migrate':\n    import new\n    EXTRA = new.VALUE\n",
    )
    report = gate(filled, "dry-run", add)
    assert (
        "Stopped: the file lib/new.py is new: neither the plan nor its dry run read it"
        in report.first_bad.message
    )
    assert points(filled) == 10


def test_without_a_rehearsal_known_files_are_held_and_new_ones_come_in(filled):
    report = gate(filled, command="migrate")
    assert report.exit_code == 0, report.first_bad
    assert points(filled) == 21


def test_x_and_configure_are_in_the_plan(filled):
    plain = gate(filled, command="check").plan
    filled.settings('x = ["tenant=b"]\n')
    other = gate(filled, command="check").plan
    assert plain.inputs.changes_to(other.inputs) == ["setting x came in"]
    assert plain.digest != other.digest


def test_sets_of_inputs():
    one = Inputs(files={"a": "1", "b": "2"}, distributions={"shop": "1.0"})
    two = Inputs(files={"b": "3", "c": "4"}, distributions={"shop": "1.1"}, settings={"x": "y"})
    assert one.changes_to(one) == []
    assert one.changes_to(two) == [
        "file a is gone",
        "file b was changed",
        "file c came in",
        "distribution shop was changed from 1.0 to 1.1",
        "setting x came in",
    ]
    assert one.plus(two).files == {"a": "1", "b": "3", "c": "4"}
    assert one.plus(two).beyond(one).files == {"b": "3", "c": "4"}
    assert (Inputs().digest, bool(Inputs())) == ("", False)
    assert len(one.digest) == 64


def test_F21_a_text_that_stands_in_the_script_is_bound_word_for_word(alembic_project):
    """The environment chooses another one than was rehearsed; a uuid rightly differs."""
    project = alembic_project
    project.revision("r1", None, "create table users (id text, points integer default 10)")
    project.revision(
        "r2",
        "r1",
        """
        import os, uuid
        op.execute(f"INSERT INTO users (id) VALUES ('{uuid.uuid4()}')")
        if os.environ["CI_MIGRATE_STAGE"] == os.environ.get("ODD_STAGE"):
            op.execute("UPDATE users SET points = points * 3")
        else:
            op.execute("UPDATE users SET points = points * 2")
        """,
    )
    assert gate(project, to="r1").exit_code == 0
    project.environ["ODD_STAGE"] = "migrate"
    report = gate(project)
    assert report.first_bad.stage == "migrate"
    assert "points * 3" in report.first_bad.message
    assert "(rehearsed: UPDATE users SET points = points * 2)" in report.first_bad.message
    assert project.sql("select * from users") == []
    project.environ["ODD_STAGE"] = ""
    one = gate(project, command="dry-run")
    project.environ["ODD_STAGE"] = "dry-run"
    other = gate(project, command="dry-run")
    assert one.plan.digest == other.plan.digest
    assert one.evidence.stream_digest != other.evidence.stream_digest
    project.environ["ODD_STAGE"] = ""
    assert gate(project, command="dry-run").evidence.stream_digest == one.evidence.stream_digest
    assert [bool(s.exact) for s in one.evidence.statements if s.revision == "r2"][:2] == [False, True]
    assert gate(project).exit_code == 0


def test_F21_a_second_statement_behind_a_select_is_announced(alembic_project):
    """Where the driver sends it: SQLite's own refuses two statements, `executescript` goes past SQLAlchemy."""
    project = alembic_project
    project.revision("r1", None, 'op.execute("SELECT 1 FROM sqlite_master; CREATE TABLE users (id INTEGER)")')
    report = gate(project, to="r1")
    sent = [s.sql for s in report.evidence.statements if s.revision == "r1"]
    assert sent == ["SELECT 1 FROM sqlite_master; CREATE TABLE users (id INTEGER)"]
