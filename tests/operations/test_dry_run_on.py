"""`dry-run --on`: the target is not reached, and nothing of the stand-in stays."""

import pytest
from sqlalchemy import create_engine, inspect, make_url, text

LOSES = "DELETE FROM users"


@pytest.fixture
def shop(alembic_project):
    alembic_project.revision("r1", None, "CREATE TABLE users (id INTEGER PRIMARY KEY)", "DROP TABLE users")
    alembic_project.revision("r2", "r1", "CREATE TABLE notes (id INTEGER PRIMARY KEY)", "DROP TABLE notes")
    return alembic_project


def test_an_empty_database(shop) -> None:
    shop.settings('[targets.live]\nurl = "sqlite:////nowhere/live.db"\n')
    shop.revision("r3", "r2", LOSES, "UPDATE users SET id = id")
    done = shop.call("dry-run", "--on", "empty")
    assert done.code == 0, done.text
    assert "3 revisions to run: base -> r3" in done.out
    assert done.report["place"] == "an empty sqlite database"
    assert "Not compared: what the revisions lose, lock or rewrite: no row was there." in done.words  # F74
    assert not (shop.folder / ".ci-migrate" / "backups").exists()
    shop.revision("r4", "r3", "INSERT INTO nowhere VALUES (1)")
    assert shop.call("dry-run", "--on", "empty").code == 1


def test_the_newest_backup(shop) -> None:
    shop.settings('[targets.live]\nurl = "env:LIVE"\n')
    shop.environ["LIVE"] = f"sqlite:///{shop.database}"
    none = shop.call("dry-run", "--on", "backup:latest")
    assert none.code == 2
    assert "ci-migrate backup create --target live" in none.out
    assert shop.call("run").code == 0
    shop.sql("INSERT INTO users (id) VALUES (1), (2)")
    assert shop.call("backup", "create").code == 0
    shop.sql("DELETE FROM users")
    shop.revision("r3", "r2", LOSES, "UPDATE users SET id = id")
    before = shop.database.read_bytes()
    kept = sorted((shop.folder / ".ci-migrate" / "backups").glob("backup_base*"))
    lost = shop.call("dry-run", "--on", "backup:latest")
    assert lost.code == 1
    assert lost.codes() >= {"CM601"}
    assert "no row was there" not in lost.words
    first = shop.call("dry-run", "--on", f"backup:{kept[0].name}")
    assert first.code == 0
    assert "3 revisions to run" in first.out
    assert shop.database.read_bytes() == before
    assert shop.call("dry-run", "--on", "everything").code == 2
    assert shop.call("dry-run", "--on", "backup:nothing").code == 2


def test_a_server_holds_the_stand_in(shop, postgresql_url) -> None:
    server = postgresql_url.set(drivername="postgresql+psycopg")
    shop.settings(
        '[targets.live]\nurl = "postgresql+psycopg://nobody@127.0.0.1:1/live"\nscratch = "env:COPIES"\n'
    )
    shop.environ["COPIES"] = server.render_as_string(hide_password=False)
    done = shop.call("dry-run", "--on", "empty")
    assert done.code == 0, done.text
    assert done.report["place"] == "an empty postgresql database"
    engine = create_engine(server)
    with engine.connect() as connection:
        left = connection.execute(
            text("SELECT datname FROM pg_database WHERE datname LIKE 'ci_migrate_scratch%'")
        )
        assert not [
            name
            for (name,) in left
            if connection.execute(
                text("SELECT 1 FROM pg_stat_activity WHERE datname = :n"), {"n": name}
            ).scalar()
            is None
        ]
    engine.dispose()


def test_the_newest_whole_backup_stands_in(shop) -> None:
    """Rows of some tables are no database, and what was never finished is none either."""
    assert shop.call("run").code == 0
    (whole,) = (shop.folder / ".ci-migrate" / "backups").glob("backup_*")
    part = shop.call("backup", "create", "--table", "users").out.split()[0]
    half = shop.call("backup", "create").out.split()[0]
    (shop.folder / ".ci-migrate" / "backups" / half / "manifest.json").unlink()
    done = shop.call("dry-run", "--on", "backup:latest")
    assert done.code == 0, done.text
    assert done.report["place"] == f"a copy of {whole.name}"
    refused = shop.call("dry-run", "--on", f"backup:{part}")
    assert refused.code == 2, refused.text
    assert f"{part} holds the rows of users alone: it can't stand in for the target." in refused.words
    refused = shop.call("dry-run", "--on", f"backup:{half}")
    assert refused.code == 1, refused.text
    assert f"{half} was never finished" in refused.words


@pytest.mark.parametrize(
    "what", ["", "empty ", "Empty", "backup", "backup:", "backup:../x", ":latest", "latest"]
)
def test_what_stands_in_for_nothing(shop, what) -> None:
    done = shop.call("dry-run", f"--on={what}")
    assert done.code == 2, done.text
    assert "USAGE (exit 2). The database is untouched." in done.out


def test_no_approval_is_asked_for_where_the_target_is_not_reached(shop) -> None:
    shop.settings(
        '[targets.live]\nurl = "sqlite:////nowhere/live.db"\ntags = ["production"]\n'
        'stages.dry-run.tags = ["production"]\n'
    )
    done = shop.call("dry-run", "--on", "empty")
    assert done.code == 0, done.text
    assert done.outcomes == {"check": "passed", "backup": "passed", "dry-run": "passed"}


@pytest.mark.parametrize("engine", ["mysql_url", "mysql97_url"])
def test_the_account_of_a_copy_of_mysql_makes_no_copies(shop, request, engine) -> None:
    url = request.getfixturevalue(engine).set(drivername="mysql+pymysql")
    shop.settings('[targets.live]\nurl = "env:DATABASE_URL"\n')
    shop.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    done = shop.call("dry-run", "--on", "empty")
    assert done.code == 0, done.text
    assert "2 revisions to run: base -> r2" in done.out


OWN_URL = """\
from alembic import context
from sqlalchemy import create_engine, pool

with create_engine({url!r}, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgresql_url", "mysql_url", "mysql97_url"])
def test_env_py_with_the_targets_url_in_it_is_led_to_the_stand_in(shop, request, engine) -> None:
    """As where it comes from the application's own settings: no variable tells another one."""
    url = make_url(f"sqlite:///{shop.database}")
    if engine != "sqlite":
        driver = {"postgresql_url": "postgresql+psycopg"}.get(engine, "mysql+pymysql")
        url = request.getfixturevalue(engine).set(drivername=driver)
    live = create_engine(url)
    with live.begin() as connection:
        connection.execute(text("CREATE TABLE here (id INTEGER)"))
        connection.execute(text("INSERT INTO here VALUES (1)"))
    address = url.render_as_string(hide_password=False)
    shop.write("migrations/env.py", OWN_URL.format(url=address))
    shop.settings('[targets.live]\nscratch = "server"\n')
    done = shop.call("dry-run", "--on", "empty")
    assert done.code == 0, done.text
    assert "2 revisions to run: base -> r2" in done.out
    squashed = shop.call("squash", "--to", "r2")
    assert squashed.code == 0, squashed.text
    assert "Proved on" in squashed.out
    shop.revision("r3", "r2", "INSERT INTO here VALUES (2)")  # a table of the target's alone
    assert shop.call("dry-run", "--on", "empty").code == 1
    with live.begin() as connection:
        assert inspect(connection).get_table_names() == ["here"]
        assert connection.execute(text("SELECT id FROM here")).all() == [(1,)]
        connection.execute(text("DROP TABLE here"))
    live.dispose()


def test_programs_are_told_of_the_stand_in(shop) -> None:
    """A variable beside the settings that holds the target's URL, too."""
    address = f"sqlite:///{shop.database}"
    shop.settings(f'[targets.live]\nurl = "{address}"\n')
    shop.environ["DATABASE_URL"] = address
    shop.revision("r3", "r2", "import os; print(os.environ['DATABASE_URL'], file=open('seen', 'a'))")
    done = shop.call("dry-run", "--on", "empty")
    assert done.code == 0, done.text
    seen = (shop.folder / "seen").read_text()
    assert "sqlite:///" in seen
    assert str(shop.database) not in seen
