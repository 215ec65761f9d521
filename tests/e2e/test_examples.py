"""The examples whose page is their test: each command of its README is typed, and prints what is shown."""

from pathlib import Path

import pytest
import yaml
from ci_runners import GitHubRunner, run_gitlab_job
from typed_page import EXAMPLES, Page, plain


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
    """Here, or in a file of its own: test_bookshop.py, test_documentation.py of backfills, test_checks.py, test_deploy_examples.py, test_fleet_example.py, test_plugin.py,
    test_physical.py."""
    assert {readme.parent.name for readme in EXAMPLES.glob("*/README.md")} == {
        *("backfill", "bookshop", "checks", "deploy", "fleet", "physical-backups", "plugin"),
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
