"""The line in env.py: plain Alembic is refused against a protected database, a run of ci-migrate is not."""

import subprocess
import sys

import pytest
from alembic_project import new_project
from sqlalchemy import create_engine, inspect, make_url

ENV = """
from alembic import context
from ci_migrate.guard import refuse_plain_alembic
from sqlalchemy import create_engine, pool

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    refuse_plain_alembic(connection)
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
PROGRAM = """
import sys
from alembic import command
from alembic.config import Config
getattr(command, sys.argv[1])(Config("alembic.ini"), *sys.argv[2:])
"""


# MariaDB has the same mark and the same driver as MySQL
@pytest.fixture(params=["sqlite", "postgresql", pytest.param("mariadb", marks=pytest.mark.long), "mysql97"])
def project(request, tmp_path):
    url = None
    if request.param == "mysql97":
        server = request.getfixturevalue("mysql_server")
        url = server.url("guarded_plain")
        engine = create_engine(server.admin_url)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS guarded_plain")
            connection.exec_driver_sql("CREATE DATABASE guarded_plain")
        engine.dispose()
    elif request.param != "sqlite":
        name = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}[request.param]
        url = request.getfixturevalue(name)
    project = new_project(tmp_path)
    project.write("migrations/env.py", ENV)
    project.url = make_url("sqlite:///app.db") if url is None else url
    text = project.url.render_as_string(hide_password=False)
    project.settings('[targets.dev]\nurl = "env:SHOP"\n')
    project.environ["SHOP"] = text
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("sqlite:///app.db", text.replace("%", "%%")))
    return project


def alembic(project, *arguments, program=("-m", "alembic")):
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_plain_alembic_works_until_the_database_is_protected(project):
    assert alembic(project, "upgrade", "head")[0] == 0
    assert alembic(project, "downgrade", "base")[0] == 0
    assert project.call("run").code == 0
    assert project.call("protect").code == 0
    engine = create_engine(
        project.url.set(database=str(project.folder / "app.db"))
        if "sqlite" in project.url.drivername
        else project.url
    )
    before = inspect(engine).get_table_names()
    for words in (["upgrade", "head"], ["downgrade", "base"], ["stamp", "base"]):
        code, told = alembic(project, *words)
        assert code, told
        assert f"({words[0]}) is refused, nothing was changed. Use: ci-migrate run" in told
        assert "Traceback" not in told
        if project.url.password:
            assert str(project.url.password) not in told
    code, told = alembic(project, "downgrade", "base", program=("-c", PROGRAM))
    assert code
    assert "is refused" in told
    assert inspect(engine).get_table_names() == before
    engine.dispose()
    for words in (["current"], ["check"], ["history", "-i"]):
        code, told = alembic(project, *words)
        assert "is refused" not in told
    # the gate itself goes on: it stops for the approval, not for the line
    project.revision("r3", "r2", "pass")
    assert project.call("run").code == 4
    token = project.call("token", "generate", "--reason", "release").out.split()[0]
    done = project.call("run", env={"CI_MIGRATE_TOKEN": token})
    assert done.code == 0, done.text
