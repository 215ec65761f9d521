"""`pytest --ci-migrate` on a real project, by pytest's own test harness."""

import os
from pathlib import Path

import pytest
from junitparser import JUnitXml

pytest_plugins = ["pytester"]

INI = "[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = sqlite:///%(here)s/app.db\n"
ENV = """
from alembic import context
from sqlalchemy import create_engine
with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.execute("{sql}")
def downgrade():
    op.execute("DROP TABLE users")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith("CI_MIGRATE_")]:  # CI's own, which set nothing here
        monkeypatch.delenv(name)
    versions = pytester.path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (pytester.path / "alembic.ini").write_text(INI)
    (pytester.path / "migrations" / "env.py").write_text(ENV)
    (versions / "0001_users.py").write_text(
        REVISION.format(sql="CREATE TABLE users (id INTEGER PRIMARY KEY)")
    )
    pytester.makepyfile(test_other="def test_other(): pass")
    return pytester.path


def test_nothing_is_collected_unless_asked_for(pytester: pytest.Pytester, project: Path) -> None:
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
    assert not (project / "backups").exists()


def test_the_stages_are_items_and_the_target_stays_untouched(
    pytester: pytest.Pytester, project: Path
) -> None:
    result = pytester.runpytest_subprocess("--ci-migrate", "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["*alembic.ini::check PASSED*", "*alembic.ini::backup PASSED*", "*alembic.ini::dry-run PASSED*"]
    )
    assert not (project / "app.db").exists()


def test_a_failure_is_where_and_what_and_no_traceback(pytester: pytest.Pytester, project: Path) -> None:
    (project / "migrations" / "versions" / "0001_users.py").write_text(
        REVISION.format(sql="CREATE TABEL users")
    )
    result = pytester.runpytest_subprocess("--ci-migrate", "--junitxml=out.xml")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["migrations/versions/0001_users.py:6", "Revision 0001 fails on a copy of the data: *syntax error"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    (suite,) = JUnitXml.fromfile(str(project / "out.xml"))
    assert (suite.tests, suite.failures) == (4, 1)


def test_k_and_collect_only(pytester: pytest.Pytester, project: Path) -> None:
    result = pytester.runpytest_subprocess("--ci-migrate", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["alembic.ini::check", "alembic.ini::backup", "alembic.ini::dry-run"])
    assert not (project / "backups").exists()
    pytester.runpytest_subprocess("--ci-migrate", "-k", "check").assert_outcomes(passed=1, deselected=3)
