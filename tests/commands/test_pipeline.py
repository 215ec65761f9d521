"""What each command of the pipeline leaves behind on every way out: reports, JSON alone, warnings, the last line."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from alembic_project import ended

from ci_migrate.commands.pipeline import in_repository


def files(project) -> set[str]:
    return {path.name for path in project.reports.iterdir()}


ALL = {
    "ci-migrate.env",
    "codequality.json",
    "report.html",
    "report.json",
    "junit.xml",
    "report.sarif",
    "suggestions.json",
    "summary.md",
}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["check"], 0, "2 revisions to run"),
        (["check", "nowhere"], 1, "nowhere"),
        (["run", "--target", "nowhere"], 2, "There is no target named nowhere"),
        (["run", "--allow", "nonsense"], 2, "allow must be a list"),
        (["check", "--since", "main"], 2, "needs a git repository"),
        (["plan", "--report", "pdf=x"], 2, "there is no format pdf"),
    ],
)
def test_a_report_is_written_on_every_way_out(alembic_project, arguments, code, words):
    done = alembic_project.call(*arguments)
    ended(done, code, words)
    assert files(alembic_project) == ALL
    suites = ET.parse(alembic_project.reports / "junit.xml").getroot()
    bad = int(suites.get("failures", 0)) + int(suites.get("errors", 0))
    assert bool(bad) == bool(code), "a CI that looks at JUnit alone sees it red"
    assert json.loads((alembic_project.reports / "report.json").read_text())["exitCode"] == code
    assert (
        done.out.rstrip()
        .splitlines()[-1]
        .endswith(("untouched.", "untouched, still at base.") if code else ("untouched.", "still at base."))
    )


def test_a_broken_project_has_a_report_too(alembic_project):
    (alembic_project.folder / "alembic.ini").unlink()
    ended(alembic_project.call("run"), 2, "No Alembic project here")
    assert files(alembic_project) == ALL


def test_no_folder_no_reports(alembic_project, tmp_path):
    """Not even the folder that was mistyped is made."""
    ended(alembic_project.call("-C", str(tmp_path / "nowhere"), "run"), 2, "There is no folder")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["report.json", "junit.xml", "summary.md", "report.html"])
def test_one_report_that_can_not_be_written_spoils_no_other(alembic_project, name):
    (alembic_project.reports / name).mkdir(parents=True)
    done = alembic_project.call("check")
    ended(done, 0, "WARNING", f"{name} could not be written: Is a directory.")
    assert files(alembic_project) == ALL
    if name != "report.json":
        assert any(name in warning for warning in done.report["warnings"]) or name in done.words


def test_reports_of_the_run_before_do_not_stay(alembic_project):
    """A red run whose folder holds the green report of the run before would be taken for it."""
    ended(alembic_project.call("check"), 0)
    green = (alembic_project.reports / "report.html").read_text()
    ended(alembic_project.call("check", "nowhere"), 1)
    assert (alembic_project.reports / "report.html").read_text() != green
    assert json.loads((alembic_project.reports / "report.json").read_text())["exitCode"] == 1


def test_odd_places_for_reports(alembic_project):
    done = alembic_project.call(
        "plan", "--report-dir", "a b/ü", "--junit-xml", "deep/er/j.xml", "--report", "markdown=m=1.md",
        "--report", "markdown=second.md",
    )  # fmt: skip
    ended(done, 0)
    folder = alembic_project.folder
    assert (folder / "a b" / "ü" / "report.json").is_file()
    assert ET.parse(folder / "deep" / "er" / "j.xml") is not None
    assert (folder / "m=1.md").read_text() == (folder / "second.md").read_text()


@pytest.mark.parametrize("verb", ["plan", "check"])
def test_the_second_time_says_the_same(alembic_project, verb):
    words = (verb, "--report-dir", ".ci-migrate/reports")
    first, second = alembic_project.call(*words), alembic_project.call(*words)
    assert (first.code, second.code) == (0, 0)
    assert first.stage("check")["plan"] == second.stage("check")["plan"]


@pytest.mark.parametrize(("git", "folder"), [("", "shop/db"), ("shop", "db"), ("shop/db", ""), (None, "")])
def test_the_folder_from_the_root_of_the_repository(tmp_path, git, folder):
    place = tmp_path / "shop" / "db"
    place.mkdir(parents=True)
    if git is not None:
        (tmp_path / git / ".git").mkdir()
    assert in_repository(place) == folder


def test_a_worktree_and_a_submodule_are_repositories(tmp_path):
    (tmp_path / "db").mkdir()
    (tmp_path / ".git").write_text("gitdir: /elsewhere\n")
    assert in_repository(tmp_path / "db") == "db"


TELLS = """
import sys
from ci_migrate.migrations.lender import Lender

start = Lender.start.__func__

def told(*arguments):
    print("started, with what takes long imported:", "sqlalchemy" in sys.modules)
    return start(*arguments)

Lender.start = classmethod(told)
from ci_migrate import cli
sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.mark.parametrize("verb", ["run", "plan", "dry-run"])
def test_the_interpreter_starts_once_and_before_our_own_imports(alembic_project, verb):
    done = subprocess.run(
        [sys.executable, "-c", TELLS, verb, "--junit-xml", "x.xml"],
        cwd=alembic_project.folder,
        env=alembic_project.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if "started" in line] == [
        "started, with what takes long imported: False"
    ]
