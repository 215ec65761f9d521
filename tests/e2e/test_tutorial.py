"""docs/tutorial.md, and the first fleet of docs/fleet.md: each file on it is written and each command is typed, in order,
and prints what is shown.
"""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from alembic_project import AlembicProject
from typed_page import BIN, Page

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIAL = DOCS / "tutorial.md"
BLOCK = re.compile(r"^```(console|python|yaml|toml|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WHO = {
    f"GIT_{role}_{what}": "ana@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


@dataclass
class Tutorial(Page):
    """The page, one block after the other, in a folder of its own."""

    block: str = ""
    environ: dict[str, str] = field(default_factory=lambda: dict(WHO))

    @property
    def text(self) -> str:
        return self.block

    def write(self, text: str) -> None:
        """A file; of a revision all below its head, as the page says."""
        name, _, rest = text.removeprefix("# ").partition("\n")
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if "/versions/" in name:
            head = re.split(r"^(?:ci_migrate = |def upgrade)", file.read_text(), flags=re.MULTILINE)[0]
            rest = head + rest
        file.write_text(rest)

    def work_through(self, page: str) -> None:
        for kind, text in BLOCK.findall(page):
            if kind == "console":
                self.block = f"```console\n{text}```"
                self.follow()
            else:
                self.write(text)


def test_every_step_of_the_tutorial(tmp_path: Path) -> None:
    page = TUTORIAL.read_text()
    tutorial = Tutorial(tmp_path)
    tutorial.work_through(page)
    # what the pull request's job runs was typed just before, but for the name of the remote's branch
    job = yaml.safe_load((tmp_path / ".github" / "workflows" / "pull-request.yml").read_text())["jobs"][
        "migrations"
    ]
    gates = [step["run"] for step in job["steps"] if step.get("run", "").startswith("ci-migrate ")]
    assert len(gates) == 2
    assert all(f"$ {gate.replace('origin/main', 'main')}\n" in page for gate in gates)


class Terminal(Tutorial):
    """The page, typed in a shell: both streams come in the order in which they are written."""

    def type(self, line: str) -> tuple[int, str]:
        environ = AlembicProject(self.folder).environment(
            {
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "CI_MIGRATE_FLEET_PROCESSES": "1",  # two at a time end in any order
            }
        )
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


def test_the_first_fleet_of_its_page(tmp_path: Path) -> None:
    page = (DOCS / "fleet.md").read_text().partition("## A first fleet\n")[2].partition("\n## ")[0]
    assert page.count("$ ") == 6
    Terminal(tmp_path).work_through(page)
