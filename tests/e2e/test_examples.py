"""The examples whose page is their test: each command of its README is typed, and prints what is shown."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from alembic_project import AlembicProject
from ci_runners import GitHubRunner, run_gitlab_job

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BIN = Path(sys.executable).parent
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
VARIES = (
    (r"\d+\.\d+ s\b", "N s"),
    (r"_\d{8}_\d{6}", "_TIME"),
    (r"[\d.,]+ (?:bytes|kB)", "SIZE"),
    (r"SHA256:[\w+/]+", "KEY"),
    (r"\s+", " "),
)


@dataclass
class Typed:
    """A command of a page, and the output that is shown below it; `...` stands for what is left out."""

    line: str
    shown: str = ""

    @property
    def code(self) -> int:
        """The exit code that the output names."""
        found = re.search(r"\(exit (\d+)\)", self.shown)
        return int(found[1]) if found else 0


@dataclass
class Page:
    """A folder of examples/ in a place of its own, and its README."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, place: Path) -> "Page":
        left = shutil.ignore_patterns("__pycache__", "*.db*", "backups", "ci-migrate-reports")
        return cls(shutil.copytree(EXAMPLES / name, place / name, ignore=left))

    @property
    def text(self) -> str:
        return (self.folder / "README.md").read_text()

    def commands(self) -> list[Typed]:
        found: list[Typed] = []
        for block in CONSOLE.findall(self.text):
            for line in block.splitlines(keepends=True):
                if line.startswith("$ "):
                    found.append(Typed(line[2:].partition("   # ")[0].strip()))
                else:
                    found[-1].shown += line
        return found

    def follow(self) -> None:
        """Type all of it, in order."""
        for typed in self.commands():
            code, printed = self.type(typed.line)
            assert code == typed.code, f"$ {typed.line}\n{printed}"
            parts = [plain(part) for part in re.split(r"^ *\.\.\.$", typed.shown, flags=re.MULTILINE)]
            assert re.search(".*".join(re.escape(part) for part in parts), plain(printed)), (
                f"$ {typed.line}\n{typed.shown}\nbut it prints\n{printed}"
            )

    def type(self, line: str) -> tuple[int, str]:
        if set_ := re.fullmatch(r"export (\w+)=(\S+)", line):
            self.environ[set_[1]] = set_[2]
            return 0, ""
        project = AlembicProject(self.folder, self.environ)
        environ = project.environment({"PATH": f"{BIN}:{os.environ['PATH']}"})
        if not line.startswith("ci-migrate "):
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=self.folder,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )
            return done.returncode, done.stdout + done.stderr
        line, _, file = line.partition(" > ")
        words = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {line}"],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")[1:-1]
        ended = project.run(*words)
        if file:
            (self.folder / file).write_text(ended.out)
            return ended.code, ended.err
        return ended.code, ended.text


def plain(text: str) -> str:
    """Without what differs from run to run, white space included."""
    for pattern, instead in VARIES:
        text = re.sub(pattern, instead, text)
    return text.strip()


@pytest.mark.parametrize(
    "name",
    [
        "multi-db",
        "production-approval",
        pytest.param("fastapi-async", marks=pytest.mark.long),
        pytest.param("flask-migrate", marks=pytest.mark.long),
        pytest.param("multi-head", marks=pytest.mark.long),
    ],
)
def test_every_command_of_the_page(tmp_path: Path, name: str) -> None:
    Page.of(name, tmp_path).follow()


def test_mariadb(tmp_path: Path, mysql_url) -> None:
    page = Page.of("mariadb", tmp_path)
    page.environ["DATABASE_URL"] = mysql_url.render_as_string(hide_password=False)
    page.follow()


@pytest.mark.long
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_the_async_engine_on_postgresql(tmp_path: Path, postgresql_url, driver: str) -> None:
    """The same story, and the service answers from the migrated database."""
    page = Page.of("fastapi-async", tmp_path)
    url = postgresql_url.set(drivername=f"postgresql+{driver}")
    page.environ["NOTES_DATABASE_URL"] = url.render_as_string(hide_password=False)
    for line in ("alembic upgrade 0001", "python seed.py"):
        assert page.type(line)[0] == 0
    code, printed = page.type("ci-migrate run --target staging --to 0002")
    assert code == 0, printed
    code, printed = page.type("ci-migrate run --target staging")
    assert code == 1, printed
    assert "Revision 0003 fails on a copy of the data" in plain(printed)
    asked = "import asyncio, app.main; print(asyncio.run(app.main.notes())[0])"
    assert page.type(f"python -c '{asked}'") == (0, "{'id': 1, 'text': 'milk', 'pinned': False}\n")


def test_every_example_is_tested() -> None:
    """Here, or in a file of its own: test_bookshop.py, test_checks.py, test_plugin.py."""
    assert {readme.parent.name for readme in EXAMPLES.glob("*/README.md")} == {
        *("bookshop", "checks", "plugin"),
        *("fastapi-async", "flask-migrate", "mariadb", "multi-db", "multi-head", "production-approval"),
    }


@pytest.mark.long
@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_the_jobs_stop_and_go_on(tmp_path: Path, platform: str) -> None:
    page = Page.of("production-approval", tmp_path)
    for typed in page.commands()[:3]:  # a key, the URL, `protect`
        assert page.type(typed.line)[0] == 0
    approve = "ci-migrate approve --key ana.key --reason seen > token"

    def job(name: str, token: str):
        if platform == "github":
            steps = yaml.safe_load((page.folder / ".github/workflows/migrate.yml").read_text())["jobs"][
                "migrate"
            ]["steps"]
            given = {"secrets.DATABASE_URL": page.environ["DATABASE_URL"], "inputs.token": token}
            runner = GitHubRunner(page.folder, tmp_path / name)
            return runner.steps([s for s in steps if "pip install" not in s.get("run", "")], given)
        found = yaml.safe_load((page.folder / ".gitlab-ci.yml").read_text())["migrate"]
        return run_gitlab_job(
            {**found, "before_script": []}, page.folder, {**page.environ, "CI_MIGRATE_TOKEN": token}
        )

    stopped = job("asks", "")
    assert stopped.code == 4, stopped.log
    assert page.type(approve)[0] == 0
    done = job("goes on", (page.folder / "token").read_text().strip())
    assert done.code == 0, done.log
