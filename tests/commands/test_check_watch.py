"""`ci-migrate check --watch`, and what VS Code reads of it."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from alembic_project import COMMAND, ended

ROOT = Path(__file__).parents[2]
DROPS = (
    'from alembic import op\nrevision = "r3"\ndown_revision = "r2"\n\n\n'
    'def upgrade():\n    op.drop_table("users")\n\n\ndef downgrade():\n    pass\n'
)


def git(project, *arguments) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        cwd=project.folder, check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def committed(alembic_project):
    git(alembic_project, "init", "-q", "-b", "main")
    git(alembic_project, "add", "-A")
    git(alembic_project, "commit", "-qm", "first")
    return alembic_project


def matcher() -> dict:
    """The problem matcher that the page shows."""
    (block,) = re.findall(
        r"```json\n(.*?)```", (ROOT / "docs" / "agents" / "editor.md").read_text(), re.DOTALL
    )
    found: dict = json.loads(block)["tasks"][0]["problemMatcher"]
    return found


class Watching:
    """A command that is at work, and the problems that VS Code would show after each check."""

    def __init__(self, project, *arguments):
        self.child = subprocess.Popen(
            [*COMMAND, "check", "--watch", *arguments], cwd=project.folder, env=project.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def next(self) -> tuple[str, list[dict[str, str]]]:
        """The line that a check began with, and its problems."""
        found = matcher()
        begins, ends = (re.compile(found["background"][name]) for name in ("beginsPattern", "endsPattern"))
        pattern = found["pattern"]
        first = self.child.stdout.readline()
        assert begins.match(first), (first, self.child.poll())
        problems = []
        for line in self.child.stdout:
            if ends.match(line):
                return first, problems
            match = re.match(pattern["regexp"], line.rstrip("\n"))
            if match:
                names = ("file", "line", "severity", "code", "message")
                problems.append({name: match[pattern[name]] for name in names})
            else:
                assert line.startswith("    ") or not re.match(r"\S+:\d+:", line), line
        raise AssertionError("it ended within a check")

    def end(self, number: int = signal.SIGINT) -> int:
        self.child.send_signal(number)
        out, err = self.child.communicate(timeout=30)
        assert "Traceback" not in out + err
        return self.child.returncode


def test_each_change_is_checked_until_ctrl_c(committed):
    watching = Watching(committed)
    try:
        assert watching.next() == ("ci-migrate: checking what is new\n", [])
        script = committed.write("migrations/versions/r3.py", DROPS)
        first, problems = watching.next()
        assert first == "ci-migrate: checking migrations/versions/r3.py\n"
        by = {problem["code"]: problem for problem in problems}
        assert (by["CM201"]["file"], by["CM201"]["line"]) == ("migrations/versions/r3.py", "7")
        assert by["CM201"]["severity"] == "warning"
        assert "Table users goes away" in by["CM201"]["message"]
        assert 'op.drop_table("users")' in script.read_text().splitlines()[int(by["CM201"]["line"]) - 1]
        # half of a function is typed
        script.write_text(DROPS + "def more(\n")
        (problem,) = watching.next()[1]
        assert (problem["file"], problem["severity"], problem["code"]) == (
            "migrations/versions/r3.py",
            "error",
            "refused",
        )
        assert "SyntaxError" in problem["message"]
        # settings that can't be read, and can be again
        committed.settings("bogus = 1\n")
        (problem,) = watching.next()[1]
        assert (problem["file"], problem["code"]) == ("ci-migrate.toml", "settings")
        committed.settings('[targets.dev]\nurl = "sqlite:///app.db"\n[targets.dev.checks]\nCM201 = "error"\n')
        watching.next()
        script.write_text(DROPS)
        (problem, *_) = watching.next()[1]
        assert (problem["code"], problem["severity"]) == ("CM201", "error")
        # what was committed may not be edited
        script.unlink()
        assert watching.next()[1] == []
    finally:
        code = watching.end()
    assert code == 130
    assert committed.heads == []
    assert not (committed.folder / ".ci-migrate" / "reports").exists()


def test_since_a_branch_and_from_another_folder(committed):
    git(committed, "checkout", "-qb", "work")
    committed.write("migrations/versions/r3.py", DROPS)
    git(committed, "add", "-A")
    git(committed, "commit", "-qm", "more")
    watching = Watching(committed, "--since", "main", "-C", "migrations")
    try:
        problems = watching.next()[1]
    finally:
        assert watching.end(signal.SIGTERM) == 143
    assert "../migrations/versions/r3.py" in {problem["file"] for problem in problems}


@pytest.mark.parametrize(
    "arguments", [["--to", "r2"], ["--json"], ["--junit-xml", "x.xml"], ["--report", "json=x"]]
)
def test_what_does_not_go_with_it(committed, arguments):
    ended(committed.call("check", "--watch", *arguments), 2, "leave --to and the options of reports out")


def test_without_git_it_says_so_and_goes_on(alembic_project):
    watching = Watching(alembic_project)
    try:
        (line, problems) = watching.next()
        time.sleep(0.3)
        assert watching.child.poll() is None
    finally:
        watching.end()
    assert line.startswith("ci-migrate: checking")
    assert problems == [], "it has no place"
