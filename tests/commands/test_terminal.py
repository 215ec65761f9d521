"""How the command line looks: as wide as the terminal, with colours where they are wanted, each thing said once."""

import re

import pytest

SLOW_WORDS = "raise ValueError('the quota of the customer is used up, ask for another one before you go on')"


@pytest.fixture
def lossy(alembic_project):
    """At r2 with rows; r3 takes a column away that has values."""
    assert alembic_project.gate("run").exit_code == 0
    alembic_project.sql("insert into users values (1, 'ana', 'ana@example.com')")
    alembic_project.revision("r3", "r2", 'op.drop_column("users", "email")', "pass", message="no more mail")
    return alembic_project


@pytest.mark.parametrize("width", [60, 100, 200])
def test_F83_as_wide_as_the_terminal(lossy, width):
    done = lossy.call("run", env={"COLUMNS": str(width)})
    assert done.code == 1
    prose = [line for line in done.out.splitlines() if "ci-migrate" not in line and "/" not in line]
    assert max(map(len, prose)) <= width
    if width == 200:
        assert max(map(len, prose)) > 100
    words = " ".join(done.out.split())
    for whole in ("restored", "column-dropped"):
        assert whole in words, "no word is broken"
    assert done.out.splitlines()[-1].endswith("The database is untouched, still at r2.")


def test_F83_a_finding_is_told_once_with_its_fix_apart(lossy):
    done = lossy.call("run")
    assert done.words.count("goes away with 1 value in it") == 1
    assert re.search(r"in it\.\n +Fix: Stop using it", done.out)


def test_F83_an_error_is_told_once(alembic_project):
    alembic_project.revision("r3", "r2", SLOW_WORDS)
    done = alembic_project.call("run")
    assert done.code == 1
    assert done.words.count("quota of the customer") == 1
    shown = alembic_project.call("run", "-v")
    assert "  | " in shown.out, "with -v the whole text"
    assert "Traceback" not in shown.text.replace("  | Traceback", "")


def test_F83_what_is_skipped_after_a_failure_goes_without_saying(lossy):
    assert "  skipped" not in lossy.call("run").out


def test_loss_is_never_only_waved_through(lossy):
    done = lossy.call("run")
    commands = [line.strip() for line in done.out.splitlines() if line.startswith("  ci-migrate ")]
    assert commands == [
        "ci-migrate dry-run --target dev",
        "ci-migrate run --target dev --allow CM202@r3=REASON",
    ]


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": ""}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
    ],
)
def test_F83_colours_where_they_are_wanted(alembic_project, variables, coloured):
    done = alembic_project.run("plan", env=variables)
    assert done.code == 0
    assert ("\x1b[" in done.out) is coloured
