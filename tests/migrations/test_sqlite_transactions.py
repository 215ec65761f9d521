"""SQLite: each revision in a real transaction, and rebuilds that keep the rows of other tables."""

import sqlite3
import textwrap

import pytest
from env_zoo import PLAIN, SYNC, new_zoo, url_of

LISTENER = """
from sqlalchemy import event
from sqlalchemy.engine import Engine

@event.listens_for(Engine, "connect")
def switch_foreign_keys_on(dbapi_connection, connection_record):
    cursor = dbapi_connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
"""
"""What SQLAlchemy's documentation tells applications to do."""

REBUILD = """
with op.batch_alter_table("parents", recreate="always") as batch:
    batch.add_column(sa.Column("extra", sa.Text))
"""
OFF = 'op.execute("PRAGMA foreign_keys=OFF")\n'
ON = '\nop.execute("PRAGMA foreign_keys=ON")'

STOCK_BATCH = PLAIN.replace("migrate(connection)", "migrate(connection, render_as_batch=True)")
RECIPE = """
engine = create_engine(url)

@event.listens_for(engine, "connect")
def do_connect(dbapi_connection, connection_record):
    dbapi_connection.isolation_level = None

@event.listens_for(engine, "begin")
def do_begin(conn):
    conn.exec_driver_sql("BEGIN")

with engine.connect() as connection:
    migrate(connection, render_as_batch=True)
"""
ASYNC = """
import asyncio
from sqlalchemy.ext.asyncio import create_async_engine

async def main():
    engine = create_async_engine(sqlalchemy.make_url(url).set(drivername="sqlite+aiosqlite"))
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()

import sqlalchemy
asyncio.run(main())
"""


@pytest.fixture
def family(request, tmp_path):
    """At r1: two parents with five children, ON DELETE CASCADE."""
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "sqlite"), SYNC + LISTENER + STOCK_BATCH, history=False)
    zoo.revision(
        "r1",
        None,
        "create table parents (id integer primary key, name text);"
        "create table children (id integer primary key, parent_id integer not null "
        "references parents (id) on delete cascade, name text)",
        "drop table children; drop table parents",
    )
    zoo.gate("run")
    connection = sqlite3.connect(zoo.database)
    with connection:
        connection.executemany("insert into parents values (?, ?)", [(1, "a"), (2, "b")])
        connection.executemany(
            "insert into children values (?, ?, ?)", [(n, 1 + n % 2, f"c{n}") for n in range(5)]
        )
    connection.close()
    return zoo


@pytest.mark.parametrize("env", [STOCK_BATCH, ASYNC], ids=["sync", "async"])
def test_a_rebuild_with_foreign_keys_off_keeps_every_child(family, env):
    (family.folder / "migrations" / "env.py").write_text(SYNC + LISTENER + env)
    children = family.rows("children")
    family.revision("r2", "r1", OFF + textwrap.dedent(REBUILD) + ON, 'op.drop_column("parents", "extra")')
    done = family.gate("run")
    assert family.rows("children") == children
    assert "extra" in family.columns("parents")
    assert done.stage("dry-run")["evidence"]["wayBack"]["sameSchema"] is True


@pytest.mark.parametrize(
    ("env", "body"),
    [
        (STOCK_BATCH, textwrap.dedent(REBUILD)),
        (STOCK_BATCH, 'op.execute("update parents set name = name")\n' + OFF + textwrap.dedent(REBUILD)),
        (RECIPE, OFF + textwrap.dedent(REBUILD)),
    ],
    ids=["never switched off", "switched off too late", "switched off inside of the recipe's BEGIN"],
)
def test_a_rebuild_that_loses_children_is_refused(family, env, body):
    (family.folder / "migrations" / "env.py").write_text(SYNC + LISTENER + env)
    before = family.snapshot()
    family.revision("r2", "r1", body, "pass")
    done = family.gate("run", code=1)
    assert "CM601" in done.codes()
    assert "children" in done.stage("dry-run")["message"]
    assert family.snapshot() == before
    assert ("CM103" in done.codes()) == ("OFF" in body)


def test_rows_that_lose_their_parent_are_found_before_the_commit(family):
    family.revision("r2", "r1", OFF + 'op.execute("delete from parents where id = 1")', "pass")
    before = family.snapshot()
    done = family.gate("run", code=1)
    assert "refer to rows that are gone" in done.stage("dry-run")["message"]
    assert "children" in done.stage("dry-run")["message"]
    assert family.snapshot() == before


def test_rows_that_had_no_parent_before_are_not_the_revisions_fault(family):
    connection = sqlite3.connect(family.database)
    with connection:
        connection.execute("insert into children values (99, 99, 'orphan')")
    connection.close()
    family.revision("r2", "r1", OFF + textwrap.dedent(REBUILD) + ON, 'op.drop_column("parents", "extra")')
    family.gate("run")
    assert len(family.rows("children")) == 6


@pytest.mark.parametrize("env", [STOCK_BATCH, ASYNC, RECIPE], ids=["stock", "async", "recipe"])
def test_a_revision_that_fails_leaves_nothing_behind(family, env):
    """DDL and rows before the failure are rolled back on the target, whatever env.py does about transactions."""
    (family.folder / "migrations" / "env.py").write_text(SYNC + LISTENER + env)
    family.revision(
        "r2",
        "r1",
        """
        import os
        op.execute("create table half (id integer)")
        op.execute("insert into parents values (3, 'c')")
        op.add_column("children", sa.Column("age", sa.Integer))
        if os.environ["CI_MIGRATE_STAGE"] == "migrate":
            raise ValueError("only on the target")
        """,
        'op.drop_column("children", "age")\nop.execute("delete from parents where id = 3")\nop.execute("drop table half")',
    )
    before = sqlite_dump(family)
    family.gate("run", code=6)
    assert sqlite_dump(family) == before


def test_a_savepoint_does_not_commit_half_a_revision(family):
    family.revision(
        "r2",
        "r1",
        """
        import os
        with op.get_bind().begin_nested():
            op.execute("create table half (id integer)")
        if os.environ["CI_MIGRATE_STAGE"] == "migrate":
            raise ValueError("only on the target")
        """,
        "drop table half",
    )
    before = sqlite_dump(family)
    family.gate("run", code=6)
    assert sqlite_dump(family) == before


def test_a_raw_commit_is_a_commit_point(family):
    family.revision(
        "r2",
        "r1",
        'op.execute("create table one (id integer)")\nop.execute("COMMIT")\nop.execute("create table two (id integer)")',
        "drop table one; drop table two",
    )
    done = family.gate("run")
    commit_points = done.stage("dry-run")["evidence"]["rungs"]
    assert [(r["complete"], max(r["delta"])) for r in commit_points] == [
        (False, "table one"),
        (True, "table two"),
    ]


def test_a_script_by_a_raw_cursor_is_a_commit_point(family):
    """executescript commits what is open, behind SQLAlchemy's back."""
    family.revision(
        "r2",
        "r1",
        """
        op.execute("create table one (id integer)")
        op.get_bind().connection.dbapi_connection.executescript("create table two (id integer);")
        op.execute("create table three (id integer)")
        """,
        "drop table one; drop table two; drop table three",
    )
    done = family.gate("run")
    commit_points = done.stage("dry-run")["evidence"]["rungs"]
    assert [r["complete"] for r in commit_points] == [False, True]
    assert {"one", "two", "three"} <= family.tables


def sqlite_dump(zoo):
    connection = sqlite3.connect(zoo.database)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()
