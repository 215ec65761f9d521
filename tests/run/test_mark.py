"""A protected database says so itself, and which ledger protects it: no other address leads past that. Each engine."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from alembic_project import AlembicProject
from permits import protect
from sqlalchemy import NullPool, create_engine, make_url

from ci_migrate.ledger import protection
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.ledger.place import ledger_url

SETTINGS = '[targets.live]\nurl = "env:DATABASE_URL"\nscratch = "server"\n'


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def project(request, alembic_project) -> AlembicProject:
    """A project that was migrated to r1; DATABASE_URL leads to its target."""
    if request.param == "sqlite":
        url = f"sqlite:///{alembic_project.folder / 'app.db'}"
    else:
        fixture = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}[request.param]
        driver = "postgresql+psycopg" if request.param == "postgresql" else "mysql+pymysql"
        given = make_url(request.getfixturevalue(fixture)).set(drivername=driver)
        url = given.render_as_string(hide_password=False)
    alembic_project.environ["DATABASE_URL"] = url
    alembic_project.settings(SETTINGS)
    assert alembic_project.gate("migrate", "r1").exit_code == 0
    return alembic_project


def url_of(project):
    return make_url(project.environ["DATABASE_URL"])


def execute(url, *statements):
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for statement in statements:
            found = connection.exec_driver_sql(statement)
        return found.fetchall() if found.returns_rows else []


def alias_of(project):
    """Another address of the same database, beside which no ledger is found."""
    url = url_of(project)
    if url.get_backend_name() == "sqlite":
        os.link(url.database, project.folder / "alias.db")
        return url.set(database=str(project.folder / "alias.db"))
    # the ledger's place is guessed from the name in the URL: where it is gone, none is found
    ledger = ledger_url(url, None)
    if url.get_backend_name() == "postgresql":
        execute(url, f'ALTER DATABASE "{ledger.database}" RENAME TO "{ledger.database}_moved"')
    else:
        tables = execute(ledger, "SHOW TABLES")
        execute(url, f"CREATE DATABASE {ledger.database}_moved")
        execute(ledger, *(f"RENAME TABLE {t} TO {ledger.database}_moved.{t}" for (t,) in tables))
        execute(url, f"DROP DATABASE {ledger.database}")
    return url


def test_F7_no_other_address_leads_past_the_ledger(project):
    protected = project.run("protect")
    assert protected.code == 0, protected.text
    assert project.run("check").code == 0, "the mark is no part of the schema"
    assert project.run("status").code == 0
    asked = project.run("run")
    assert asked.code == 4, asked.text
    project.environ["DATABASE_URL"] = alias_of(project).render_as_string(hide_password=False)
    for verb in ("run", "migrate", "protect", "unprotect", "unprotect --copy"):
        refused = project.run(*verb.split())
        assert refused.code == 1, refused.text
        assert "is protected, and its ledger is" in refused.words, verb
    status = project.run("status")
    assert status.code == 1
    assert "is protected, and its ledger is" in status.words


def test_F7_what_0_1_0_protected_is_marked_by_the_next_run(project):
    with project.ledger() as ledger:
        protect(ledger, protection.Rules(), by="0.1.0")
    first = project.run("run")
    assert first.code == 4
    assert "has a mark now" in first.words
    second = project.run("run")
    assert second.code == 4
    assert "has a mark now" not in second.words


def test_F7_an_older_ledger_does_not_take_the_protection_away(project):
    """Nor does the end of an `unprotect` that died on its way."""
    assert project.run("protect").code == 0
    with project.ledger() as ledger, ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE ci_migrate_protection SET protected = (1 = 0)")
    refused = project.run("run")
    assert refused.code == 1
    assert "put back to an older state" in refused.words
    assert project.run("protect").code == 0
    assert project.run("run").code == 4


def test_a_restore_keeps_the_mark(project):
    assert project.run("backup", "create").code == 0
    backup = next(w for w in project.run("backup", "list").text.split() if w.startswith("backup_"))
    assert project.run("protect").code == 0
    made = project.run("token", "generate", "--reason", "test", "--quiet", "--restore", backup)
    assert made.code == 0, made.text
    token = {"CI_MIGRATE_TOKEN": made.out.strip()}
    restored = project.run("backup", "restore", backup, "--yes", env=token)
    assert restored.code == 0, restored.text
    asked = project.run("run")
    assert asked.code == 4
    assert "has a mark now" not in asked.words, "it came with the restore"


def test_a_copy_is_told_from_the_original(alembic_project):
    """The file was copied, and not its ledger."""
    project = alembic_project
    project.settings('[targets.live]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate", "r1").exit_code == 0
    assert project.run("protect").code == 0
    shutil.copy(project.database, project.folder / "staging.db")
    project.settings('[targets.staging]\nurl = "sqlite:///staging.db"\n')
    project.environ["DATABASE_URL"] = f"sqlite:///{project.folder / 'staging.db'}"
    refused = project.run("run")
    assert refused.code == 1
    assert f"is a copy of {project.database}, which is protected" in refused.words
    assert project.run("status").code == 1
    taken = project.run("unprotect", "--copy")
    assert taken.code == 0, taken.text
    assert project.run("run").code == 0
    assert "mark of the original taken away" in project.run("audit", "show").text
    with closing(sqlite3.connect(project.database)) as original:
        assert original.execute("SELECT mark FROM ci_migrate_mark").fetchone()


def test_a_role_that_may_not_mark_the_database_is_told_what_to_run(alembic_project, postgresql_url):
    url = make_url(postgresql_url).set(drivername="postgresql+psycopg")
    role = f"migrator_{url.database}"
    execute(
        url,
        f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'm'",
        f"GRANT CREATE ON DATABASE {url.database} TO {role}",
        f"GRANT ALL ON SCHEMA public TO {role}",
        f"COMMENT ON DATABASE {url.database} IS 'The shop.'",
    )
    own = url.set(username=role, password="m")
    alembic_project.environ["DATABASE_URL"] = own.render_as_string(hide_password=False)
    alembic_project.settings(SETTINGS)
    try:
        assert alembic_project.gate("migrate").exit_code == 0
        refused = alembic_project.run("protect")
        assert refused.code != 0
        statement = refused.text.partition("then again: ")[2]
        assert statement.startswith(f'COMMENT ON DATABASE "{url.database}" IS')
        with open_ledger(ledger_url(own, None), create=False) as ledger:
            assert not protection.read(ledger).protected
        execute(url, statement.strip().replace("%", "%%"))
        assert alembic_project.run("protect").code == 0
        comment = execute(
            url,
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()",
        )[0][0]
        assert comment.startswith("The shop.\nci-migrate: {")
    finally:
        execute(url, f"DROP DATABASE {url.database}_ci_migrate", f"DROP OWNED BY {role}", f"DROP ROLE {role}")
