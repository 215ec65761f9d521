"""A project at revision `r1` with rows in it, and what the dry run says of a second revision."""

from collections.abc import Callable

import pytest
from alembic_project import AlembicProject

from ci_migrate.model import Outcome, Report

TABLES = """
create table users (id integer primary key, name text, email text);
create table posts (
    id integer primary key, user_id integer not null references users (id) on delete cascade, title text);
create table empty (id integer primary key, word text)
"""


@pytest.fixture
def filled(alembic_project: AlembicProject) -> AlembicProject:
    """users: three rows, one without a name; posts: two rows that go when their user goes; empty: none."""
    versions = alembic_project.folder / "migrations" / "versions"
    (versions / "r2.py").unlink()
    alembic_project.revision("r1", None, TABLES, "drop table posts; drop table users; drop table empty")
    for statement in TABLES.split(";"):
        alembic_project.sql(statement)
    alembic_project.sql("insert into users values (1, 'ana', 'a@x'), (2, 'bo', 'b@x'), (3, null, 'c@x')")
    alembic_project.sql("insert into posts values (1, 1, 'one'), (2, 2, 'two')")
    alembic_project.sql("create table alembic_version (version_num varchar(32) primary key)")
    alembic_project.sql("insert into alembic_version values ('r1')")
    return alembic_project


@pytest.fixture
def rehearse(filled: AlembicProject) -> Callable[..., Report]:
    """Write revision `r2` on `r1`, rehearse it, and look that the target is as it was."""

    def rehearsed(upgrade: str, downgrade: str = "pass", *, extra: str = "", **flags: object) -> Report:
        before = filled.dump()
        filled.revision("r2", "r1", upgrade, downgrade, extra=extra)
        report = filled.gate("dry-run", **flags)
        assert filled.dump() == before
        refused = any(f.refuses for f in report.findings)
        assert (report.exit_code == 1) is refused, report
        assert refused or all(r.outcome in (Outcome.PASSED, Outcome.SKIPPED) for r in report.results), report
        return report

    return rehearsed
