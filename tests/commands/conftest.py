"""What the tests of the commands share: a project that was migrated, and a look into its ledger."""

from collections.abc import Callable, Iterator

import pytest
from alembic_project import AlembicProject, new_project
from sqlalchemy import make_url

from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.ledger.place import ledger_url


@pytest.fixture
def migrated(alembic_project: AlembicProject) -> AlembicProject:
    """At r2, with one row; the backup that the run took is of the empty database."""
    assert alembic_project.gate("run").exit_code == 0
    alembic_project.sql("insert into users values (1, 'ana', 'ana@example.com')")
    return alembic_project


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> AlembicProject:
    """At r2, with one row: for all tests of a module, which only look at it or make what hinders no other one."""
    project = new_project(tmp_path_factory.mktemp("shop") / "project")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("run").exit_code == 0
    project.sql("insert into users values (1, 'ana', 'ana@example.com')")
    return project


@pytest.fixture
def ledger_of() -> Iterator[Callable[[AlembicProject], Ledger | None]]:
    """Opens the ledger of a project's database; None where there is none."""
    opened: list[Ledger] = []

    def look(project: AlembicProject) -> Ledger | None:
        url = ledger_url(make_url(f"sqlite:///{project.database}"), None)
        ledger = open_ledger(url, create=False)
        if ledger is not None:
            opened.append(ledger)
        return ledger

    yield look
    for ledger in opened:
        ledger.close()
