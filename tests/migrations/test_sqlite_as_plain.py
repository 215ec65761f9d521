"""SQLite: what plain Alembic does where a revision relies on having no transaction, the gate does too."""

import subprocess
import sys
import textwrap

import pytest
from alembic_project import ENV, new_project

KEYS_ON = """
from sqlalchemy import event
from sqlalchemy.engine import Engine

@event.listens_for(Engine, "connect")
def switch_foreign_keys_on(connection, record):
    connection.execute("PRAGMA foreign_keys=ON")


def run_migrations_online"""

ENGINE = "import sqlalchemy as s\nengine = s.create_engine(op.get_bind().engine.url)\n"

BODIES = {
    "another connection writes to the new table": """
        op.execute("create table a (id integer)")
        with engine.begin() as connection:
            connection.execute(s.text("insert into a values (1)"))
        op.execute("insert into a values (2)")
        """,
    "a raw connection writes to the new table": """
        import sqlite3
        op.execute("create table b (id integer)")
        raw = sqlite3.connect(op.get_bind().engine.url.database)
        raw.execute("insert into b values (1)")
        raw.commit()
        raw.close()
        """,
    "DDL of another connection is there without its commit": """
        with engine.connect() as connection:
            connection.execute(s.text("create table c (id integer)"))
        op.execute("insert into c values (1)")
        """,
    "another connection writes first": """
        with engine.begin() as connection:
            connection.execute(s.text("insert into users (name) values ('d')"))
        op.execute("create table d (id integer)")
        """,
    "a helper looks with an engine of its own": """
        def ensure():
            if not any(c["name"] == "e" for c in s.inspect(engine).get_columns("users")):
                op.add_column("users", sa.Column("e", sa.Text))
        ensure()
        ensure()
        """,
    "another connection stays open after it has read": """
        connection = engine.connect()
        connection.execute(s.text("select 1")).scalar()
        op.execute("create table f (id integer)")
        connection.execute(s.text("insert into f values (1)"))
        connection.commit()
        connection.close()
        op.execute("insert into f values (2)")
        """,
    "foreign keys are switched off late, which only works outside of a transaction": """
        op.execute("create table g (id integer primary key)")
        op.execute("create table h (id integer references g (id) on delete cascade)")
        op.execute("insert into g values (1)")
        op.execute("insert into h values (1)")
        op.execute("COMMIT")
        op.execute("create table i (id integer)")
        op.execute("PRAGMA foreign_keys=OFF")
        op.execute("drop table g")
        op.execute("create table g (id integer primary key)")
        op.execute("insert into g values (1)")
        """,
    "VACUUM after DDL": 'op.execute("create table j (id integer)")\nop.execute("VACUUM")',
    "a transaction of its own after DDL": """
        op.execute("create table k (id integer)")
        op.execute("BEGIN")
        op.execute("insert into k values (1)")
        op.execute("COMMIT")
        """,
    "DETACH after DDL": """
        op.execute("create table l (id integer)")
        op.execute("ATTACH ':memory:' AS beside")
        op.execute("create table beside.t as select 1 as one")
        op.execute("insert into l select one from beside.t")
        op.execute("COMMIT")
        op.execute("DETACH beside")
        """,
    "a thread with an engine of its own": """
        from threading import Thread
        op.execute("create table m (id integer)")
        def fill():
            with engine.begin() as connection:
                connection.execute(s.text("insert into m values (1)"))
        thread = Thread(target=fill)
        thread.start()
        thread.join()
        """,
    "WAL after rows, which does nothing": """
        op.execute("insert into users (name) values ('n')")
        op.execute("PRAGMA journal_mode=WAL")
        """,
}


def history(folder, bodies):
    project = new_project(folder, env=ENV.replace("\ndef run_migrations_online", KEYS_ON, 1))
    for number, body in enumerate(bodies, start=3):
        project.revision(f"r{number}", f"r{number - 1}", ENGINE + textwrap.dedent(body))
    return project


def plain(project):
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def state(project):
    return project.dump(), project.heads, project.sql("pragma journal_mode")


@pytest.mark.parametrize(
    ("bodies", "mode"),
    [
        (list(BODIES.values()), "delete"),
        (['op.execute("PRAGMA journal_mode=WAL")\nop.execute("create table w (id integer)")'], "wal"),
        (['op.execute("create table w (id integer)")\nop.execute("PRAGMA journal_mode=WAL")'], "wal"),
    ],
    ids=["all", "WAL first", "WAL late"],
)
def test_F57_as_plain_alembic(tmp_path, bodies, mode):
    (tmp_path / "plain").mkdir()
    (tmp_path / "gate").mkdir()
    expected = history(tmp_path / "plain", bodies)
    plain(expected)
    project = history(tmp_path / "gate", bodies)
    done = project.call("run")
    assert done.code == 0, done.text
    assert state(project) == state(expected)
    assert project.sql("pragma journal_mode") == [(mode,)]


def test_F57_what_gives_way_is_told(tmp_path):
    project = new_project(tmp_path)
    project.revision(
        "r3", "r2", ENGINE + textwrap.dedent(BODIES["another connection writes to the new table"]), "pass"
    )
    done = project.call("run")
    points = done.stage("dry-run")["evidence"]["rungs"]
    assert [(r["revision"], r["complete"]) for r in points if r["revision"] == "r3"] == [
        ("r3", False),
        ("r3", False),
        ("r3", True),
    ]
    assert "CM303" in done.codes()


def test_F57_a_lock_of_the_revisions_own_is_named(tmp_path):
    """Plain Alembic meets it too: rows hold the lock until the revision is committed."""
    project = new_project(tmp_path)
    project.settings("lock-timeout = 0.2\n")
    project.revision(
        "r3",
        "r2",
        ENGINE
        + textwrap.dedent("""
        op.execute("insert into users (name) values ('a')")
        with engine.begin() as connection:
            connection.execute(s.text("insert into users (name) values ('b')"))
        """),
    )
    done = project.call("run")
    assert done.code == 1
    dry_run = done.stage("dry-run")
    assert "op.get_bind()" in dry_run["message"] + str(dry_run.get("hint"))
    assert dry_run["file"].endswith("r3.py")
    assert dry_run["line"]


OFF_FIRST = """
    op.execute("PRAGMA foreign_keys=OFF")
    op.execute("create unique index ix_name on users (name)")
    """
FOREIGN_WRITE = """
import sqlite3
if os.environ.get("FOREIGN") and os.environ.get("CI_MIGRATE_STAGE") == "migrate":
    connection = sqlite3.connect(config.get_main_option("sqlalchemy.url").removeprefix("sqlite:///"))
    with connection:
        connection.execute("insert into users (name) values ('a')")
    connection.close()


def run_migrations_online"""


def test_F100_a_pragma_is_no_commit_point(tmp_path):
    """A duplicate that comes after the dry run: nothing is left of the revision, and the next run goes on."""
    project = new_project(tmp_path, env=ENV.replace("\ndef run_migrations_online", FOREIGN_WRITE, 1))
    project.call("run")
    project.sql("delete from users")
    project.sql("insert into users (name) values ('a')")
    project.revision("r3", "r2", OFF_FIRST, "drop index ix_name")
    done = project.call("run", env={"FOREIGN": "1"})
    assert done.code == 6, done.text
    rungs = done.stage("dry-run")["evidence"]["rungs"]
    assert [(r["revision"], r["complete"]) for r in rungs] == [("r3", True)]
    assert "CM103" not in done.codes()
    assert "CM303" not in done.codes()
    project.sql("delete from users")
    mended = OFF_FIRST.replace("unique ", "")
    project.revision("r3", "r2", mended, "drop index ix_name")
    done = project.call("run")
    assert done.code == 0, done.text
    assert project.heads == ["r3"]


def test_F100_what_changes_nothing_is_no_commit_point(tmp_path):
    project = new_project(tmp_path)
    project.revision(
        "r3",
        "r2",
        """
        op.execute("update users set name = 'x' where id = -1")
        op.execute("COMMIT")
        op.execute("VACUUM")
        op.execute("PRAGMA foreign_keys=OFF")
        op.get_bind().connection.dbapi_connection.execute("insert into users (name) values ('raw')")
        op.execute("COMMIT")
        op.execute("PRAGMA user_version=7")
        op.execute("create table t (id integer)")
        """,
    )
    done = project.call("run")
    assert done.code == 0, done.text
    rungs = [r for r in done.stage("dry-run")["evidence"]["rungs"] if r["revision"] == "r3"]
    assert [(r["complete"], r["statements"] - rungs[0]["statements"]) for r in rungs] == [
        (False, 0),  # the raw cursor's
        (False, 1),  # user_version
        (True, 3),
    ]
    assert project.sql("pragma user_version") == [(7,)]


@pytest.mark.parametrize("last", ["", '\nop.execute("PRAGMA foreign_keys=ON")'], ids=["off", "off and on"])
def test_F95_a_pragma_that_stands_first_is_not_told_to(tmp_path, last):
    project = new_project(tmp_path, env=ENV.replace("\ndef run_migrations_online", KEYS_ON, 1))
    project.revision(
        "r3",
        "r2",
        'op.execute("PRAGMA foreign_keys=OFF")\n'
        'with op.batch_alter_table("users", recreate="always") as batch:\n'
        '    batch.add_column(sa.Column("extra", sa.Text))' + last,
        'op.drop_column("users", "extra")',
    )
    done = project.call("run")
    assert done.code == 0, done.text
    assert not done.codes() & {"CM103", "CM303"}


AUTOCOMMIT = 'poolclass=pool.NullPool, isolation_level="AUTOCOMMIT"'


def test_F95_autocommit_of_env_is_told_once(tmp_path):
    project = new_project(tmp_path, env=ENV.replace("poolclass=pool.NullPool", AUTOCOMMIT))
    for number in (3, 4):
        project.revision(
            f"r{number}",
            f"r{number - 1}",
            f"create table a{number} (id integer); pragma foreign_keys=off; create table b{number} (id integer)",
            f"drop table a{number}; drop table b{number}",
        )
    done = project.call("run")
    assert done.code == 0, done.text
    findings = [f for s in done.report["results"] for f in s["findings"] if f["code"] == "CM303"]
    assert len(findings) == 1
    assert "AUTOCOMMIT" in findings[0]["message"]
    assert "r3, r4" in findings[0]["message"]
    assert "autocommit_block" not in done.text


REPLACED = """
import sys
import pysqlite3
sys.modules["sqlite3"] = sys.modules.pop("pysqlite3")
"""


def test_F55_another_library_in_the_place_of_sqlite3(tmp_path):
    """As applications do whose Python has a SQLite that is too old for them."""
    pytest.importorskip("pysqlite3")
    project = new_project(tmp_path, env=REPLACED + ENV)
    project.revision(
        "r3", "r2", 'assert "pysqlite3" in type(op.get_bind().connection.dbapi_connection).__module__'
    )
    before = project.call("check")
    assert before.code == 0, before.text
    assert not project.database.exists()
    done = project.call("run")
    assert done.code == 0, done.text
    assert project.heads == ["r3"]
    assert {s["outcome"] for s in done.report["results"]} <= {"passed", "skipped"}
