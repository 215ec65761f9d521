"""The worker under the oldest Python, Alembic and SQLAlchemy that it says it runs with, in environments made by pip."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from env_zoo import initialised, new_zoo

pytestmark = pytest.mark.long

OLD = {
    "alembic 1.11, sqlalchemy 1.4.0": ("alembic==1.11.*", "sqlalchemy==1.4.0"),
    "alembic 1.11, sqlalchemy 1.4": ("alembic==1.11.*", "sqlalchemy<2"),
    "alembic 1.13, sqlalchemy 2.0": ("alembic==1.13.*", "sqlalchemy==2.0.*"),
    "alembic 1.20, sqlalchemy 2.0": ("alembic==1.20.*", "sqlalchemy==2.0.*"),
}


def interpreters():
    """The oldest Python that can be found here, and our own."""
    old = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))
    return (
        {"3.9": str(old[-1])}
        if old
        else {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    )


@pytest.fixture(scope="module", params=OLD)
def python(request, tmp_path_factory):
    """An interpreter of its own, which has Alembic, SQLAlchemy and drivers, but not ci-migrate."""
    if request.param.startswith("alembic 1.20") and "3.9" in interpreters():
        interpreter = sys.executable  # it needs Python 3.10
    else:
        interpreter = next(iter(interpreters().values()))
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([interpreter, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([*pip, *OLD[request.param], "psycopg2-binary", "aiosqlite<0.20", "greenlet"], capture_output=True, text=True, check=False, env=clean)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "python"


SYNC_OF_THAT_AGE = """
from alembic import context
from sqlalchemy import create_engine, pool

with create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.mark.parametrize("driver", ["sqlite", "postgresql+psycopg2"])
def test_a_run(request, tmp_path, python, driver):
    if driver == "sqlite":
        url = sa.URL.create(driver, database=str(tmp_path / "app.db"))
    else:
        url = sa.make_url(request.getfixturevalue("postgresql_url")).set(drivername=driver)
    zoo = new_zoo(tmp_path, url, SYNC_OF_THAT_AGE)
    zoo.settings(f'python = "{python}"\n')
    zoo.environ["CI_MIGRATE_PYTHON"] = str(python)
    done = zoo.gate("run")
    assert zoo.versions() == ["r2"]
    evidence = done.stage("dry-run")["evidence"]
    assert evidence["wayBack"]["sameSchema"] is True
    asked = subprocess.run([python, "-c", "import alembic, sqlalchemy; print(alembic.__version__, sqlalchemy.__version__)"], capture_output=True, text=True, check=True)  # fmt: skip
    assert asked.stdout.split() == [evidence["alembicVersion"], evidence["sqlalchemyVersion"]]


def test_a_failing_revision(request, tmp_path, python):
    zoo = new_zoo(tmp_path, sa.URL.create("sqlite", database=str(tmp_path / "app.db")), SYNC_OF_THAT_AGE)
    zoo.settings(f'python = "{python}"\n')
    zoo.revision(
        "r3", "r2", 'op.execute("create table ok (id integer)")\nop.execute("insert into nowhere values (1)")'
    )
    done = zoo.gate("run", code=1)
    assert done.stage("dry-run")["file"] == "migrations/versions/r3.py"


def test_the_async_template(request, tmp_path, python):
    if "1.4.0" in request.node.name:
        pytest.skip("SQLAlchemy 1.4.0 has no dialect for aiosqlite yet")
    url = sa.URL.create("sqlite+aiosqlite", database=str(tmp_path / "app.db"))
    zoo = initialised(tmp_path, url, "async")
    env = tmp_path / "migrations" / "env.py"
    # before SQLAlchemy 2.0 the template had another name for the same function
    env.write_text("import sqlalchemy.ext.asyncio as a\nimport sqlalchemy\nif not hasattr(a, 'async_engine_from_config'):\n    a.async_engine_from_config = lambda c, prefix, **k: a.AsyncEngine(sqlalchemy.engine_from_config(c, prefix, future=True, **k))\n" + env.read_text())  # fmt: skip
    zoo.settings(f'python = "{python}"\n')
    zoo.gate("run")
    assert zoo.versions() == ["r2"]
