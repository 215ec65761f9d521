"""`protect --guard`: plain Alembic can't change the database any more, a run with an approval can."""

import subprocess
import sys

import pytest
from alembic_project import new_project
from sqlalchemy import create_engine


@pytest.fixture
def project(tmp_path, postgresql_url):
    project = new_project(tmp_path)
    url = postgresql_url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    project.settings('[targets.dev]\nurl = "env:SHOP"\n')
    project.environ["SHOP"] = url
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("sqlite:///app.db", url.replace("%", "%%")))
    return project


def tables(project):
    engine = create_engine(project.environ["SHOP"])
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT relname FROM pg_class WHERE relname IN ('users', 'more')")
        names = sorted(found.scalars())
    engine.dispose()
    return names


def plain_downgrade(project):
    return subprocess.run(
        [sys.executable, "-m", "alembic", "downgrade", "base"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_guard_goes_up_with_the_protection_and_comes_down_by_an_approval(project):
    assert project.call("run").code == 0
    refused = project.call("protect", "--guard")
    assert (refused.code, "is not protected" in refused.text) == (1, True), refused.text
    assert project.call("protect").code == 0
    assert "refuses DDL outside of a run" in project.call("protect", "--guard").text

    done = plain_downgrade(project)
    assert done.returncode
    assert "ci-migrate guards this database" in done.stderr
    assert tables(project) == ["users"]

    project.revision("r3", "r2", "create table more (id int)", "drop table more")
    assert project.call("run").code == 4
    token = project.call("token", "generate", "--reason", "release").out.split()[0]
    done = project.call("run", env={"CI_MIGRATE_TOKEN": token})
    assert done.code == 0, done.text
    assert tables(project) == ["more", "users"]

    refused = project.call("protect", "--no-guard")
    assert refused.code == 4, refused.text
    assert plain_downgrade(project).returncode
    token = project.call(
        "token", "generate", "--protection", "lift-guard", "--reason", "by hand"
    ).out.split()[0]
    lifted = project.call("protect", "--no-guard", env={"CI_MIGRATE_TOKEN": token})
    assert lifted.code == 0, lifted.text
    assert plain_downgrade(project).returncode == 0
    trail = project.call("audit", "show").text
    assert "guard put up" in trail
    assert "guard lifted" in trail


def test_an_engine_without_one_names_the_line_for_env_py(tmp_path):
    project = new_project(tmp_path)
    assert project.call("run").code == 0
    assert project.call("protect").code == 0
    refused = project.call("protect", "--guard")
    assert refused.code == 1, refused.text
    assert "env.py" in refused.text
    assert project.call("protect", "--guard-except", "app").code == 2
