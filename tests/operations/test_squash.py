"""`ci-migrate squash` on each engine: a database made by the baseline is the one that the history made."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from alembic_project import new_project
from sqlalchemy import make_url
from squash_project import history, write_history

from ci_migrate.databases.base import SessionOptions
from ci_migrate.plugins import manager as plugins
from ci_migrate.operations.squash_proof import differences, look_at
from ci_migrate.model import Plan, Identity, Direction, PlannedContext, VersionTable, Inputs

ENGINES = {"sqlite": None, "postgresql": "postgresql_url", "mariadb": "mysql_url", "mysql": "mysql97_url"}


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def shop(engine, request, tmp_path):
    """A project with the history, in git; its target is an empty database of the engine."""
    project = new_project(tmp_path / "project", revisions=False)
    write_history(project, engine)
    url = f"sqlite:///{project.database}"
    if ENGINES[engine]:
        found = request.getfixturevalue(ENGINES[engine])
        driver = "postgresql+psycopg" if engine == "postgresql" else "mysql+pymysql"
        url = found.set(drivername=driver).render_as_string(hide_password=False)
    project.environ["DATABASE_URL"] = url
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    return project


def git(project, *arguments) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=project.folder, check=True, capture_output=True, text=True
    ).stdout


def alembic(project, *arguments, url=None, check=True):
    """Plain Alembic."""
    env = project.environment({"DATABASE_URL": url} if url else None)
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments], cwd=project.folder, env=env, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def database(project):
    manager = plugins.create_manager((), project.folder, 10)
    return plugins.make_database(manager, make_url(project.environ["DATABASE_URL"]), SessionOptions())


def url_of(copy) -> str:
    return copy.url.render_as_string(hide_password=False)


PLAN = Plan(
    target="dev", identity=Identity(dialect="", place="", facts={}), direction=Direction.UPGRADE, destination="head",
    contexts=(PlannedContext(version_table=VersionTable(), from_heads=(), to_heads=(), revisions=()),), revisions=(),
    env_sha256="", script_heads=(), inputs=Inputs(),
)  # fmt: skip


def test_new_and_existing_databases_come_to_the_same(shop, tmp_path, engine) -> None:
    """By plain Alembic: one that the old scripts led to r6 goes on, a new one begins with the baseline."""
    target = database(shop)
    versions = shop.folder / "migrations" / "versions"
    with target.scratch("chain", tmp_path) as chain, target.scratch("existing", tmp_path) as existing:
        alembic(shop, "upgrade", "head", url=url_of(chain))
        alembic(shop, "upgrade", "r6", url=url_of(existing))
        done = shop.run("squash", "--to", "r6", "--write")
        assert done.code == 0, done.text
        assert sorted(path.name for path in versions.glob("*.py")) == ["r6.py", "r7.py", "r8.py"]
        alembic(shop, "upgrade", "head", url=url_of(existing))
        with target.scratch("new", tmp_path) as new:
            alembic(shop, "upgrade", "head", url=url_of(new))
            seen = look_at(chain, PLAN)
            exact = target.capabilities.stable_definitions
            assert differences(seen, look_at(existing, PLAN), exact=True) == {}
            assert differences(seen, look_at(new, PLAN), exact=exact) == {}
            assert len(seen.contents) >= 3
            assert any("users: id, name, email, state, boss, later, note, last" in f"{k}: {v}".replace('public.', '') for k, v in seen.positions.items())
    # the target was never reached
    assert not [name for name in target.schema() if name.startswith("table ")]
