"""A project at revision `r1` with rows in it, whose second revision is rehearsed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic_project import AlembicProject, new_project
from sqlalchemy import URL, NullPool, create_engine

from ci_migrate.model import Report

USERS = "create table users (id integer primary key, name text, email text)"


@pytest.fixture
def filled(alembic_project: AlembicProject) -> AlembicProject:
    """users: three rows, one without a name. It was migrated by plain Alembic: there is no ledger."""
    (alembic_project.folder / "migrations" / "versions" / "r2.py").unlink()
    alembic_project.revision("r1", None, USERS, "drop table users")
    alembic_project.sql(USERS)
    alembic_project.sql("insert into users values (1, 'ana', 'a@x'), (2, 'bo', 'b@x'), (3, null, 'c@x')")
    alembic_project.put_version_rows("r1")
    return alembic_project


@pytest.fixture
def on_postgresql(tmp_path: Path, postgresql_url: URL) -> AlembicProject:
    """The same on PostgreSQL, with two rows."""
    project = new_project(tmp_path / "project")
    url = postgresql_url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    project.environ["DATABASE_URL"] = url
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in (
            "create table users (id integer primary key, name text)",
            "insert into users values (1, 'ana maria'), (2, 'bo')",
            "create table alembic_version (version_num varchar(32) primary key)",
            "insert into alembic_version values ('r1')",
        ):
            connection.exec_driver_sql(statement)
    return project


@pytest.fixture
def rehearse(filled: AlembicProject) -> Callable[..., Report]:
    """Write revision `r2` on `r1` and rehearse it; the target is as it was."""

    def rehearsed(upgrade: str, downgrade: str = "pass", **flags: object) -> Report:
        before = filled.dump()
        filled.revision("r2", "r1", upgrade, downgrade)
        report = filled.gate("dry-run", **flags)
        assert filled.dump() == before
        return report

    return rehearsed
