"""examples/plugin: found by its entry point wherever it is installed, and its own tests pass there."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "examples" / "plugin"
CHECKS = PLUGIN.with_name("checks")  # a project


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment that has the plugin: what pip leaves of a distribution, beside what is installed here."""
    site = tmp_path / "site"
    shutil.copytree(PLUGIN / "migration_window", site / "migration_window")
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    meta = site / "migration_window-1.0.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in names.items()) for group, names in groups]
    (meta / "entry_points.txt").write_text("".join(lines))
    clean = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith(("CI_", "PYTEST_"))}
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    return {**clean, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def called(environ: dict[str, str], folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_and_its_own_tests_pass(environ: dict[str, str], tmp_path: Path) -> None:
    found = json.loads(called(environ, CHECKS, "ci_migrate", "plugins", "--json"))
    (plugin,) = [p for p in found["plugins"] if p["origin"] == "installed"]
    assert plugin == {"name": "migration-window", "origin": "installed", "place": "migration-window 1.0.0"}
    added = {(a["kind"], a["name"]) for a in found["additions"] if a["plugin"] == "migration-window"}
    assert added == {("check", "WIN001"), ("reporter", "statements")}
    tests = tmp_path / "tests"
    shutil.copytree(PLUGIN / "tests", tests, ignore=shutil.ignore_patterns("__pycache__"))
    printed = called(environ, tests, "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tests))
    assert "3 passed" in printed
