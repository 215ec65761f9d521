"""What a request says, of a target and of the scratch copy in its place."""

import msgspec
import pytest
from sqlalchemy import URL, make_url

from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.migrations.environment import with_driver_of
from ci_migrate.migrations.requests import (
    InspectRequest,
    Mode,
    make_tables,
    make_tables_back,
    project_setup,
    target_setup,
)
from ci_migrate.model import Direction, Identity, Plan, PlannedContext, VersionTable
from ci_migrate.settings.settings import load


@pytest.fixture
def settings(alembic_project):
    alembic_project.settings('statement-timeout = 7\n[targets.test]\nurl = "env:SHOP_URL"\n')
    environ = {"SHOP_URL": f"sqlite+aiosqlite:///{alembic_project.folder}/app.db", "PATH": "/bin"}
    return load(alembic_project.folder, environ, {"target": "test"})


def database(settings, name):
    return SQLite(URL.create("sqlite", database=str(settings.project_dir / name)))


def setup_of(settings, **more):
    target = database(settings, "app.db")
    project = project_setup(settings, Direction.UPGRADE, "head")
    place = more.get("scratch") or target
    return target_setup(project, settings, run_id="r", stage="dry-run", database=target, place=place, **more)


def test_of_a_child_that_reaches_no_database(settings):
    setup = project_setup(settings, Direction.DOWNGRADE, "-1")
    assert (setup.url, setup.databases) == (None, ())
    assert setup.environ == {
        "SHOP_URL": settings.environ["SHOP_URL"]
    }  # a revision may read it when it is imported
    assert setup.alembic.ini == str(settings.project_dir / "alembic.ini")


def test_of_the_target(settings):
    setup = setup_of(settings, marks="shop_ci_migrate")
    (entry,) = setup.databases
    assert entry.match == entry.connect
    assert setup.environ == {"CI_MIGRATE_STAGE": "dry-run", "SHOP_URL": settings.environ["SHOP_URL"]}
    assert setup.session.application_name == "ci-migrate/r"
    assert setup.session.options["statement_timeout"] == "7000"
    assert (setup.marker.database, setup.marker.run) == ("shop_ci_migrate", "r")


def test_of_a_scratch_copy(settings):
    setup = setup_of(settings, scratch=database(settings, "copy.db"))
    (entry,) = setup.databases
    assert entry.match["file"].endswith("app.db")
    assert entry.connect["file"].endswith("copy.db")
    assert make_url(setup.url).database.endswith("copy.db")
    # env.py reads the variable itself, and needs its async driver
    assert setup.environ["SHOP_URL"] == f"sqlite+aiosqlite:///{settings.project_dir}/copy.db"
    assert setup.marker is None


def test_as_json_and_back(settings):
    request = InspectRequest(setup=setup_of(settings), mode=Mode.READ)
    sent = msgspec.json.encode(request)
    assert msgspec.json.decode(sent, type=InspectRequest) == request
    assert msgspec.json.decode(sent)["action"] == "inspect"


def test_the_way_back_of_a_plan():
    context = PlannedContext(
        version_table=VersionTable(name="versions", schema="a", database="main", search_path="b"),
        from_heads=("r1",),
        to_heads=("r3",),
        revisions=("r2", "r3"),
    )
    plan = Plan(
        target="test",
        identity=Identity(dialect="sqlite", place="", facts={}),
        direction=Direction.UPGRADE,
        destination="head",
        contexts=(context,),
        revisions=(),
        env_sha256="",
        script_heads=("r3",),
    )
    (there,), (back,) = make_tables(plan), make_tables_back(plan)
    assert there.key == back.key == "main|a|b|versions"
    assert (there.from_heads, there.revisions) == (("r1",), ("r2", "r3"))
    assert (back.from_heads, back.revisions) == (("r3",), ("r3", "r2"))


@pytest.mark.parametrize(
    ("given", "drivername"),
    [("postgresql+asyncpg://x/y", "postgresql+asyncpg"), ("sqlite:///y", "postgresql"), ("", "postgresql")],
)
def test_the_driver_of_a_variable_is_kept_where_it_is_one_for_this_database(given, drivername):
    assert make_url(with_driver_of(make_url("postgresql://h/d"), given)).drivername == drivername
