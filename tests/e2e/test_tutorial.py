"""docs/tutorial.md: each file on it is written and each command is typed, in order, and prints what is shown."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from typed_page import Page

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(console|python|yaml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
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
