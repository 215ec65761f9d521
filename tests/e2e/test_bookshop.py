"""The bookshop, through the gate: the demo in four acts, and the same history on the servers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic_project import AlembicProject
from junitparser import JUnitXml
from sqlalchemy import URL

BOOKSHOP = Path(__file__).resolve().parents[2] / "examples" / "bookshop"


def test_the_demo_comes_to_its_end(tmp_path: Path) -> None:
    """It insists on the exit code of each command itself: 0, 1, 7, 4."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("CI_MIGRATE_", "BOOKSHOP_"))}
    done = subprocess.run(
        [sys.executable, "-m", "ci_migrate", "demo", str(tmp_path / "shop")],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "revision 0005 was committed" in done.stdout
    report = JUnitXml.fromfile(str(tmp_path / "shop" / ".ci-migrate" / "reports" / "junit.xml"))
    assert (report.failures, report.errors) == (0, 0)


SERVERS = {
    "postgresql": ("postgresql_url", "postgresql+psycopg"),
    "mariadb": ("mysql_url", "mysql+pymysql"),
}


@pytest.mark.parametrize("engine", SERVERS)
def test_on_a_server(tmp_path: Path, request: pytest.FixtureRequest, engine: str) -> None:
    fixture, driver = SERVERS[engine]
    folder = tmp_path / "shop"
    shutil.copytree(BOOKSHOP, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db*", "backups"))
    empty: URL = request.getfixturevalue(fixture)
    url = empty.set(drivername=driver).render_as_string(hide_password=False)
    (folder / "pyproject.toml").write_text(
        '[tool.ci-migrate.targets.dev]\nurl = "env:BOOKSHOP_DATABASE_URL"\n'
    )
    shop = AlembicProject(folder, {"BOOKSHOP_DATABASE_URL": url})
    for command in (["-m", "alembic", "upgrade", "0002"], ["seed.py"]):
        subprocess.run(
            [sys.executable, *command], cwd=folder, env=shop.environment(), check=True, capture_output=True
        )
    assert shop.run("run", "-c", "alembic-fails.ini").code == 1
    assert shop.run("run", "-c", "alembic-loses.ini").code == 1
    done = shop.run("run")
    assert done.code == 0, done.text
    assert done.stage("dry-run")["evidence"]["wayBack"]["lossless"] is True
    assert done.codes() == {"CM202"}  # acknowledged in 0006
    assert shop.run("run").code == 0  # nothing pending
