"""`ci-migrate squash` on each engine: a database made by the baseline is the one that the history made."""

import subprocess
import sys

import pytest
from alembic_project import new_project
from sqlalchemy import make_url
from squash_project import EACH_STEP, write_history

from ci_migrate.databases.base import SessionOptions
from ci_migrate.model import Direction, Identity, Inputs, Plan, PlannedContext, VersionTable
from ci_migrate.operations.squash_proof import differences, look_at
from ci_migrate.plugins import manager as plugins

ENGINES = {
    "sqlite": ("", "sqlite"),
    "postgresql": ("postgresql_url", "postgresql+psycopg"),
    "mariadb": ("mysql_url", "mysql+pymysql"),
    "mysql": ("mysql97_url", "mysql+pymysql"),
}

PLAN = Plan(
    target="dev",
    identity=Identity(dialect="", place="", facts={}),
    direction=Direction.UPGRADE,
    destination="head",
    contexts=(PlannedContext(version_table=VersionTable(), from_heads=(), to_heads=(), revisions=()),),
    revisions=(),
    env_sha256="",
    script_heads=(),
    inputs=Inputs(),
)


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def url_for(request, project, engine) -> str:
    fixture, driver = ENGINES[engine]
    if not fixture:
        return f"sqlite:///{project.database}"
    found = request.getfixturevalue(fixture).set(drivername=driver)
    return found.render_as_string(hide_password=False)


@pytest.fixture
def shop(engine, request, tmp_path):
    """A project with the history, in git; its target is an empty database of the engine."""
    project = new_project(tmp_path / "project", revisions=False)
    write_history(project, engine)
    project.environ["DATABASE_URL"] = url_for(request, project, engine)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "a")):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *arguments], cwd=project.folder, check=True, capture_output=True)
    return project


def alembic(project, *arguments, url=None) -> str:
    """Plain Alembic."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=project.folder,
        env=project.environment({"DATABASE_URL": url} if url else None),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def database(project):
    manager = plugins.create_manager((), project.folder, 10)
    return plugins.make_database(manager, make_url(project.environ["DATABASE_URL"]), SessionOptions())


def url_of(copy, driver="") -> str:
    url = copy.url.set(drivername=driver) if driver else copy.url
    return url.render_as_string(hide_password=False)


def test_new_and_existing_databases_come_to_the_same(shop, tmp_path, engine) -> None:
    """By plain Alembic: one that the old scripts led to r6 goes on, a new one begins with the baseline."""
    target = database(shop)
    versions = shop.folder / "migrations" / "versions"
    with target.scratch("chain", tmp_path) as chain, target.scratch("existing", tmp_path) as existing:
        alembic(shop, "upgrade", "head", url=url_of(chain))
        alembic(shop, "upgrade", "r6", url=url_of(existing))
        done = shop.run("squash", "--to", "r6", "--write")
        assert done.code == 0, done.text
        assert "2 later revisions ran on top of both, and led to the same" in done.out
        assert sorted(path.name for path in versions.glob("*.py")) == ["r6.py", "r7.py", "r8.py"]
        alembic(shop, "upgrade", "head", url=url_of(existing))
        with target.scratch("new", tmp_path) as new:
            alembic(shop, "upgrade", "head", url=url_of(new))
            seen = look_at(chain, PLAN)
            exact = target.capabilities.stable_definitions
            assert differences(seen, look_at(existing, PLAN), exact=True) == {}
            assert differences(seen, look_at(new, PLAN), exact=exact) == {}
    users = next(at for name, at in seen.positions.items() if name.endswith("users"))
    assert users == "id, name, email, state, boss, later, note, last"
    # the target was never reached
    assert not [name for name in target.schema() if name.startswith("table ")]
    text = (versions / "r6.py").read_text()
    if engine == "postgresql":  # it writes its own text anew, and nobody compared what it left out
        assert "not compared: casts and parentheses of" in done.out, done.out
    assert ("alone, and this is another database" in text) and f"{engine}'" in text.partition("upgrade()")[2]
    assert "'r1', 'r2', 'r3', 'r4', 'r5', 'r6'," in text


@pytest.mark.parametrize("engine", ["postgresql"])
@pytest.mark.parametrize("driver", ["psycopg2", "pg8000"])
def test_each_driver_takes_the_statements_as_they_are(shop, tmp_path, driver) -> None:
    """Percent signs and colons are marks of some drivers."""
    target = database(shop)
    with target.scratch("chain", tmp_path) as chain, target.scratch("new", tmp_path) as new:
        alembic(shop, "upgrade", "r6", url=url_of(chain))
        assert shop.call("squash", "--to", "r6", "--write").code == 0
        alembic(shop, "upgrade", "r6", url=url_of(new, f"postgresql+{driver}"))
        assert differences(look_at(chain, PLAN), look_at(new, PLAN), exact=False) == {}


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_the_text_is_the_same_offline(shop, tmp_path, engine) -> None:
    """`alembic upgrade --sql` prints statements that a client can run."""
    env = (shop.folder / "migrations" / "env.py").read_text()
    offline = 'context.configure(url=os.environ["DATABASE_URL"])\n    context.run_migrations()'
    env = env.replace(
        "\n\nrun_migrations_online()\n",
        f"\n\nif context.is_offline_mode():\n    {offline}\nelse:\n    run_migrations_online()\n",
    )
    shop.write("migrations/env.py", env)
    assert shop.call("squash", "--to", "r6", "--write").code == 0
    script = alembic(shop, "upgrade", "r6", "--sql")
    assert "100% of ''it'': :name, %(x)s;" in script
    assert "'a%'" in script


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_settings_of_the_session_stay(shop, tmp_path, engine) -> None:
    """What the baseline sets for itself is as it was when the next revision runs."""
    asks = {
        "postgresql": "SELECT current_setting('search_path') || current_setting('check_function_bodies')",
        "mariadb": "SELECT CONCAT(@@sql_mode, @@time_zone, @@foreign_key_checks, @@unique_checks)",
    }[engine]
    write = f"print('SET', op.get_bind().exec_driver_sql({asks!r}).scalar())"
    shop.write(
        "migrations/versions/r7.py",
        f"from alembic import op\nrevision = 'r7'\ndown_revision = 'r6'\n\ndef upgrade():\n    {write}\n",
    )
    (shop.folder / "migrations" / "versions" / "r8.py").unlink()
    target = database(shop)
    with target.scratch("chain", tmp_path) as chain, target.scratch("new", tmp_path) as new:
        before = alembic(shop, "upgrade", "head", url=url_of(chain))
        assert before.startswith("SET ")
        assert shop.call("squash", "--to", "r6", "--write").code == 0
        assert alembic(shop, "upgrade", "head", url=url_of(new)) == before


@pytest.mark.parametrize(
    ("engine", "statements", "words"),
    [
        ("postgresql", ["CREATE TABLE t (i int)", "INSERT INTO t SELECT (random() * 1e9)::int"], "table public.t holds"),
        ("postgresql", ["CREATE ROLE squash_owner", "DROP ROLE squash_owner"], "r1"),
        ("postgresql", ["CREATE TABLE t (i int)", "SELECT lo_create(4711)"], "large objects"),
        ("mariadb", ["CREATE TABLE t (i CHAR(36))", "INSERT INTO t VALUES (UUID())"], "table t holds other values in i"),
        ("mysql", ["CREATE TABLE t (i DATETIME DEFAULT NOW())", "INSERT INTO t VALUES ()"], "table t holds other values"),
        ("sqlite", ["CREATE TABLE t (i)", "INSERT INTO t VALUES (CURRENT_TIMESTAMP)"], "table t holds other values in i"),
        ("sqlite", ["CREATE TABLE t (i)", "INSERT INTO t VALUES (date('now'))"], 'Table "t" holds the day on which'),
    ],
)  # fmt: skip
def test_what_can_not_be_proved_is_named(engine, statements, words, request, tmp_path) -> None:
    project = new_project(tmp_path / "project", revisions=False)
    project.environ["DATABASE_URL"] = url_for(request, project, engine)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    project.revision("r1", None, EACH_STEP.format(statements=statements))
    project.revision("r2", "r1", "create table more (id integer primary key)")
    done = project.call("squash", "--to", "r2", "--write")
    assert done.code == 1, done.text
    assert words in done.words
    assert len(list((project.folder / "migrations" / "versions").glob("*.py"))) == 2
