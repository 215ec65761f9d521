"""The pytest plugin beside pytest-alembic, on real histories in SQLite.

python benchmarks/pytest_plugin.py [--only optuna,glance] [--rounds 3]

Each history (tests/corpora/README.md) is tried in a new folder on a new database by `pytest --ci-migrate`, which runs
in this environment and starts the application's interpreter, and by `pytest --test-alembic` (pytest-alembic), which is
installed beside the application and imports its env.py. Both in turns; printed are how many items ended how, and
medians of the seconds of the whole command.
"""

import argparse
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from corpora_support import Case, Project, install, prepare, sqlite_url  # noqa: E402

HISTORIES = ("optuna", "ihatemoney", "mlflow", "glance", "prefect")
# pytest-alembic 0.13.1 reaches into what pytest 10 has no more
PEER = ("pytest<9", "pytest-alembic==0.13.1", "iniconfig", "pluggy", "packaging", "pygments")
PLAIN = ("-p", "no:cacheprovider", "-q", "--rootdir=.", "-c", "none.ini")
CONFTEST = """
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

URL = sqlalchemy.make_url(%r)


@pytest.fixture
def alembic_config():
    return {"file": "alembic.ini"}


@pytest.fixture
def alembic_engine():
    return (create_async_engine if URL.get_dialect().is_async else sqlalchemy.create_engine)(URL)
"""


def settled(project: Project) -> dict[str, str]:
    """What both are run with; ci-migrate finds the application's interpreter by VIRTUAL_ENV."""
    facts = project.facts
    clean = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return {**clean, **facts["env"], "VIRTUAL_ENV": str(Path(facts["bin"]).parent)}


def peer_folder(project: Project, cache: Path) -> Path:
    """pytest and pytest-alembic for the application's interpreter, in a folder of their own."""
    python = Path(project.facts["bin"]) / "python"
    version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    place = cache / f"pytest-alembic-{version}"
    if not place.exists():
        # an environment that uv made has no pip
        own = importlib.util.find_spec("pip") is not None
        pip = sys.executable if own else str(Path(sys.executable).resolve())
        command = [pip, "-m", "pip", "install", "--quiet", "--target", str(place), "--no-deps", *PEER]
        subprocess.run(command, check=True)
    return place


def ours(project: Project) -> tuple[float, str]:
    # as in the peer's folder: pytest and the plugin, none of those that our own tests use
    environ = {**settled(project), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    argv = [sys.executable, "-m", "pytest", "-p", "ci_migrate.pytest_plugin", "--ci-migrate", *PLAIN]
    return timed(argv, project.folder, environ)


def theirs(project: Project, peer: Path) -> tuple[float, str]:
    python = str(Path(project.facts["bin"]) / "python")
    (project.folder / "tests").mkdir()
    (project.folder / "tests" / "conftest.py").write_text(CONFTEST % project.facts["url"])
    argv = [python, "-m", "pytest", "--test-alembic", *PLAIN]
    return timed(argv, project.folder, {**settled(project), "PYTHONPATH": str(peer)})


def timed(argv: list[str], folder: Path, environ: dict[str, str]) -> tuple[float, str]:
    (folder / "none.ini").write_text("[pytest]\n")
    started = time.monotonic()
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    return time.monotonic() - started, done.stdout + done.stderr


def ended(output: str) -> str:
    """`37 passed, 1 skipped`, without the seconds; the first error where pytest did not get that far."""
    found = re.findall(r"^=*\s*((?:\d+ \w+(?:, )?)+) in [\d.]+s", output, re.MULTILINE)
    errors = [line for line in output.splitlines() if line.startswith(("E ", "ERROR", "ImportError"))]
    return found[-1] if found else (errors or output.strip().splitlines() or ["nothing"])[-1][:80]


def compare(name: str, rounds: int, cache: Path) -> str:
    """One line of the table."""
    install(name)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    outcome: dict[str, str] = {}
    for _ in range(rounds):
        for who in ("ours", "theirs"):
            with tempfile.TemporaryDirectory() as folder:
                case = Case(name, "sqlite")
                project = prepare(case, Path(folder) / "project", sqlite_url(Path(folder)))
                if who == "theirs":
                    project.must("baseline")  # ours makes databases of its own: see the page
                took, output = (
                    ours(project) if who == "ours" else theirs(project, peer_folder(project, cache))
                )
            seconds[who].append(took)
            outcome[who] = ended(output)
    mine, peer = (statistics.median(seconds[who]) for who in ("ours", "theirs"))
    return (
        f"| {name} | {outcome['ours']} | {mine:.1f} | {outcome['theirs']} | {peer:.1f} | {mine / peer:.2f} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(HISTORIES), help="histories, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(
        "| history | ci-migrate | s | pytest-alembic | s | ratio |\n| --- | --- | ---: | --- | ---: | ---: |"
    )
    with tempfile.TemporaryDirectory() as cache:
        for name in arguments.only.split(","):
            print(compare(name, arguments.rounds, Path(cache)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
