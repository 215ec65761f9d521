"""The guard: DDL by others is refused, applications and runs of ours go on as before."""

from contextlib import closing

import psycopg
import pytest

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.postgresql.guard import guarded_for, lift_guard, put_guard


def connect(url, name="psql"):
    return psycopg.connect(
        url.set(drivername="postgresql").render_as_string(hide_password=False),
        application_name=name,
        autocommit=True,
    )


@pytest.fixture
def guarded(postgresql_url):
    with closing(connect(postgresql_url)) as own:
        own.execute("CREATE TABLE orders (id int PRIMARY KEY, total int)")
        own.execute("CREATE MATERIALIZED VIEW totals AS SELECT sum(total) FROM orders")
    database = PostgreSQL(postgresql_url, application_name="ci-migrate/r1")
    before = database.schema()
    put_guard(database._access, str(postgresql_url.database), ["partition_maker"])
    assert database.schema() == before, "the guard is no part of the schema"
    return database


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (id int)",
        "ALTER TABLE orders ADD COLUMN note text",
        "DROP TABLE orders CASCADE",
        "CREATE INDEX CONCURRENTLY slow ON orders (total)",
        "DROP INDEX CONCURRENTLY orders_total",
        "DO $$ BEGIN EXECUTE 'ALTER TABLE orders RENAME TO old' ; END $$",
        "CREATE SCHEMA more",
        "GRANT SELECT ON orders TO PUBLIC",
        "SELECT 1 AS one INTO more",
    ],
)
def test_ddl_by_others_is_refused_and_nothing_is_left_of_it(guarded, statement):
    before = guarded.schema()
    with closing(connect(guarded.url)) as other:
        if "orders_total" in statement:
            with guarded.lock("r1", 5), closing(connect(guarded.url, "ci-migrate/r1")) as ours:
                ours.execute("CREATE INDEX orders_total ON orders (total)")
            before = guarded.schema()
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="guards this database") as caught:
            other.execute(statement)
    assert "ci-migrate run" in caught.value.diag.message_hint
    assert guarded.schema() == before


def test_what_applications_do_all_day_goes_on(guarded):
    with closing(connect(guarded.url)) as other:
        for statement in (
            "CREATE TEMP TABLE work (id int PRIMARY KEY)",
            "CREATE INDEX ON work (id)",
            "ALTER TABLE work ADD COLUMN more int",
            "DROP TABLE work",
            "REFRESH MATERIALIZED VIEW totals",
            "INSERT INTO orders VALUES (1, 2)",
            "TRUNCATE orders",
            "ANALYZE orders",
        ):
            other.execute(statement)


def test_a_run_that_holds_the_lock_is_let_through_and_one_that_only_takes_its_name_is_not(guarded):
    with closing(connect(guarded.url, "ci-migrate/r1")) as ours:
        with guarded.lock("r1", 5):
            ours.execute("CREATE TABLE more (id int)")
            ours.execute("CREATE INDEX CONCURRENTLY more_id ON more (id)")
            with (
                closing(connect(guarded.url, "ci-migrate/r2")) as other,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                other.execute("DROP TABLE more")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ours.execute("DROP TABLE more")


def test_a_role_that_is_excepted_makes_its_partitions(guarded):
    with closing(connect(guarded.url)) as admin:
        admin.execute("SET application_name = ''")
        admin.execute("DROP ROLE IF EXISTS partition_maker")
        admin.execute("CREATE ROLE partition_maker LOGIN PASSWORD 'x' SUPERUSER")
        try:
            with closing(connect(guarded.url.set(username="partition_maker", password="x"))) as maker:
                maker.execute("CREATE TABLE orders_2026 (id int)")
                maker.execute("DROP TABLE orders_2026")
        finally:
            admin.execute("DROP OWNED BY partition_maker")
            admin.execute("DROP ROLE partition_maker")


def test_it_is_lifted_and_a_copy_has_none(guarded, tmp_path):
    with closing(connect(guarded.url)) as look:
        assert guarded_for(look) == ("partition_maker",)
    guarded.dump(tmp_path, [])
    with guarded.scratch("r1", tmp_path) as copy:
        copy.load(tmp_path)
        assert copy.schema() == guarded.schema()
        with closing(connect(copy.url)) as look:
            assert guarded_for(look) is None
            look.execute("CREATE TABLE more (id int)")
    put_guard(guarded._access, str(guarded.url.database))  # anew, for other roles
    with closing(connect(guarded.url)) as look:
        assert guarded_for(look) == ()
    lift_guard(guarded._access)
    with closing(connect(guarded.url)) as look:
        assert guarded_for(look) is None
        look.execute("CREATE TABLE more (id int)")


def test_a_database_that_a_restore_put_in_its_place_is_guarded_again(guarded, tmp_path):
    guarded.dump(tmp_path, [])
    kept = guarded.replace(tmp_path, lambda restored: None, "r1")
    try:
        assert guarded.guarded()
        with closing(connect(guarded.url)) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute("CREATE TABLE more (id int)")
        with closing(connect(guarded.url, "ci-migrate/r2")) as ours, guarded.lock("r2", 5):
            ours.execute("CREATE TABLE more (id int)")
    finally:
        for name in guarded.replaced():
            guarded.drop_replaced(name)
    assert "kept" in kept
