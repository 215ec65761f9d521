"""What a request says, of a target and of the scratch copy in its place."""

import msgspec
import pytest
from permits import permit
from sqlalchemy import URL, make_url

from ci_migrate.databases.base import Wall
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import RefusedError
from ci_migrate.migrations.environment import with_driver_of
from ci_migrate.migrations.requests import (
    InspectRequest,
    Mode,
    RunRequest,
    make_tables,
    make_tables_back,
    migrate_request,
    project_setup,
    target_setup,
    wall_entry,
)
from ci_migrate.model import Direction, Identity, Plan, PlannedContext, Purpose, VersionTable
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


def a_run_request(settings) -> RunRequest:
    return RunRequest(setup=setup_of(settings), contexts=())


@pytest.mark.parametrize("purpose", [Purpose.UPGRADE, Purpose.DOWNGRADE, Purpose.STAMP, Purpose.REPAIR])
def test_a_child_that_writes_to_the_target_takes_a_permit_for_just_that(settings, purpose):
    request = a_run_request(settings)
    assert migrate_request(permit(purpose, "the plan"), "the plan", request).mode is Mode.MIGRATE
    for other in (
        permit(purpose, "another plan"),
        permit(Purpose.RESTORE, "the plan"),
        permit(Purpose.REMOVAL, "the plan"),
    ):
        with pytest.raises(RefusedError, match="Permitted is"):
            migrate_request(other, "the plan", request)
    assert request.mode is Mode.READ, "who has no permit reads"


def a_wall(name: str) -> Wall:
    """As PostgreSQL's says of itself."""
    login = {"host": "h", "database": name, "user": "w", "password": "s3cret"}
    return Wall(dialect="postgresql", match=login, connect=login, identity={"database": name})


def test_no_password_is_shown_where_a_request_is(settings):
    entry = wall_entry("", a_wall("d"))
    request = msgspec.structs.replace(
        a_run_request(settings), setup=msgspec.structs.replace(setup_of(settings), databases=(entry,))
    )
    assert "s3cret" not in repr(request)
    assert "s3cret" not in repr(entry)


def test_the_child_is_told_no_login_of_the_target_and_that_of_a_copy():
    """It connects with the one that env.py has."""
    here, there = wall_entry("", a_wall("d")), wall_entry("", a_wall("d"), a_wall("copy"))
    for entry in (here, there):
        assert not {"user", "password"} & entry.match.keys()
    assert here.connect == here.match
    assert (there.connect["database"], there.connect["password"]) == ("copy", "s3cret")
