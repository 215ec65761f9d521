"""A page that is its own test: each command that it shows is typed, and prints what is shown below it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from alembic_project import AlembicProject

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BIN = Path(sys.executable).parent
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
VARIES = (
    (r"\d+\.\d+ s\b", "N s"),
    (r"\d{14}_[0-9a-f]{6}", "RUN"),
    (r"_\d{8}_\d{6}", "_TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME"),
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
        left = shutil.ignore_patterns("__pycache__", "*.db*", ".ci-migrate")
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
