"""What other tools say of the same project, each with its defaults and each finding of any severity counted."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import PIPE, STDOUT, TimeoutExpired, run

from alembic_project import AlembicProject
from sqlalchemy import URL

CONFTEST = """\
import os
import pytest
import sqlalchemy


@pytest.fixture
def alembic_config():
    return {"file": "alembic.ini"}


@pytest.fixture
def alembic_engine():
    return sqlalchemy.create_engine(os.environ["DATABASE_URL"])
"""
TESTS = "from pytest_alembic.tests import test_single_head_revision, test_up_down_consistency, test_upgrade\n"
STYLE = ("prefer-", "require-")
"""squawk's rules on types, names and timeouts: they say something of nearly every revision."""


@dataclass(frozen=True)
class Subject:
    """What is looked at: the project, an empty database for tools that run it, the folder of the tools' programs."""

    project: AlembicProject
    engine: str
    empty: URL
    programs: str

    @property
    def pending(self) -> list[str]:
        versions = self.project.folder / "migrations" / "versions"
        return [str(path) for path in sorted(versions.glob("*.py")) if path.stem != "r0"]

    def output(self, *argv: str, url: URL | None = None) -> tuple[int, str]:
        """Exit code and all that was printed."""
        environ = self.project.environment()
        if url is not None:
            environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
        program = shutil.which(argv[0], path=self.programs) or argv[0]
        try:
            done = run(
                [program, *argv[1:]], cwd=self.project.folder, env=environ, stdout=PIPE, stderr=STDOUT, text=True,
                check=False, timeout=120,
            )  # fmt: skip
        except TimeoutExpired:
            return 1, "no answer in 120 s"
        return done.returncode, done.stdout


def _codes(pattern: str, code: int, output: str) -> str:
    found = sorted(set(re.findall(pattern, output, re.MULTILINE)))
    return ", ".join(found) if found else "fails" if code else ""


def squawk(subject: Subject) -> str:
    """On the SQL that Alembic prints. PostgreSQL alone."""
    if subject.engine != "postgresql":
        return "-"
    code, sql = subject.output(sys.executable, "-m", "alembic", "upgrade", "r0:head", "--sql")
    if code:
        return "-"
    file = subject.project.folder / "upgrade.sql"
    file.write_text("\n".join(line for line in sql.splitlines() if not line.startswith("INFO")))
    rules = _codes(
        r"^[^:\n]+:\d+:\d+: \w+: ([\w-]+)", *subject.output("squawk", "--reporter", "gcc", file.name)
    )
    return ", ".join(rule for rule in rules.split(", ") if not rule.startswith(STYLE))


def alembic_guard(subject: Subject) -> str:
    return _codes(r"\b(AG\d+)\b", *subject.output("alembic-guard", "--strict", *subject.pending))


def lockcheck(subject: Subject) -> str:
    return _codes(r"\b(LC\d+)\b", *subject.output("lockcheck", *subject.pending))


def zdm(subject: Subject) -> str:
    """Without what it says of downgrades, which nobody runs in a deploy."""
    found = set()
    for path in subject.pending:
        code, output = subject.output("zdm", "--output-format", "compact", path)
        lines = Path(path).read_text().splitlines()
        down = next(
            (n for n, line in enumerate(lines, 1) if line.startswith("def downgrade")), len(lines) + 1
        )
        hits = re.findall(r":(\d+): \w: \[(R\d+)", output)
        found |= {rule for line, rule in hits if int(line) < down} | (
            {"fails"} if code and not hits else set()
        )
    return ", ".join(sorted(found))


def alembic_lint(subject: Subject) -> str:
    """alembic-migration-linter."""
    dialect = {"mariadb": "mysql"}.get(subject.engine, subject.engine)
    argv = ("alembic-lint", "--no-cache", "-c", "alembic.ini", "-d", dialect, "--since-revision", "r0")
    return _codes(r"^\t([A-Z_]+)", *subject.output(*argv, "--warnings-as-errors"))


def pytest_alembic(subject: Subject) -> str:
    """Its tests of the history, on an empty database."""
    (subject.project.folder / "conftest.py").write_text(CONFTEST)
    (subject.project.folder / "test_history.py").write_text(TESTS)
    python = shutil.which("python", path=subject.programs) or sys.executable
    code, output = subject.output(python, "-m", "pytest", "-q", "test_history.py", url=subject.empty)
    return _codes(r"^(?:FAILED|ERROR) \S*?::test_(\w+)", code, output)


TOOLS: dict[str, tuple[str, Callable[[Subject], str]]] = {
    "squawk": ("squawk", squawk),
    "alembic-guard": ("alembic-guard", alembic_guard),
    "lockcheck": ("lockcheck", lockcheck),
    "zdm": ("zdm", zdm),
    "alembic-migration-linter": ("alembic-lint", alembic_lint),
    "pytest-alembic": ("py.test", pytest_alembic),
}
"""By the name on the package index: its program, and what asks it."""


def installed(programs: str) -> list[str]:
    """The tools that are there."""
    return [name for name, (program, _) in TOOLS.items() if shutil.which(program, path=programs)]


def ask(subject: Subject) -> dict[str, str]:
    """What each tool that is there says; "" for nothing, "-" where it can't look at such a case."""
    names = installed(subject.programs)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = pool.map(partial(_said, subject), names)
        return dict(zip(names, said, strict=True))


def _said(subject: Subject, name: str) -> str:
    return TOOLS[name][1](subject)
