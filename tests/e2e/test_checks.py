"""examples/checks: a revision that loses money, seen by nothing but the project's own functions."""

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from alembic_project import AlembicProject

CHECKS = Path(__file__).resolve().parents[2] / "examples" / "checks"


def test_only_the_project_knows_what_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "accounts"
    shutil.copytree(CHECKS, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db*", "backups"))
    project = AlembicProject(folder)
    upgrade = [sys.executable, "-m", "alembic", "upgrade", "0001"]
    subprocess.run(upgrade, cwd=folder, env=project.environment(), check=True, capture_output=True)
    done = project.call("dry-run")
    assert done.code == 1
    page = (CHECKS / "README.md").read_text()
    (printed,) = re.findall(r"  \.\.\.\n(.*?)```", page, re.DOTALL)
    assert printed in done.out
    assert done.codes() == {"X-no-cent-is-lost"}
    (mended,) = re.findall(r"`(CAST[^`]*)`", page)
    revision = folder / "migrations" / "versions" / "0002_cents.py"
    revision.write_text(revision.read_text().replace("CAST(balance AS INTEGER) * 100", mended))
    report = project.gate("run")
    assert (report.exit_code, report.findings) == (0, ())
    with closing(sqlite3.connect(folder / "accounts.db")) as accounts:
        assert accounts.execute("select sum(cents) from accounts").fetchall() == [(3049,)]
