"""One session that reads, used again only as what a new one would be."""

import psycopg
import pytest
from waiting import until

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import DatabaseError
from ci_migrate.model import VersionTable


@pytest.fixture
def database(postgresql_url):
    database = PostgreSQL(postgresql_url)
    with database.keep_session():
        yield database


@pytest.fixture
def admin(postgresql_url):
    url = postgresql_url.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def asked(database, sql="SELECT pg_backend_pid()", access=None):
    with (access or database._access).session(read_only=True) as connection:
        return connection.execute(sql).fetchone()[0]


def test_calls_that_read_share_a_session_and_the_block_ends_it(database, admin, postgresql_url):
    other = PostgreSQL(postgresql_url)
    with other.keep_session():
        first = asked(other)
        assert asked(other) == first
        other.schema(), other.counts(), other.sequences()
        assert asked(other) == first
    assert asked(other) != first
    live = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    until(lambda: admin.execute(live, [first]).fetchone() == (0,))


def test_who_asks_which_database_it_is_opens_a_session(database, admin):
    first = asked(database)
    count = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
    before = admin.execute(count, [database._access.database]).fetchone()[0]
    database.identity()
    assert asked(database, access=database._access.anew) != first
    # told when they end
    until(lambda: admin.execute(count, [database._access.database]).fetchone()[0] >= before + 2)
    assert asked(database) == first


def test_what_was_set_in_it_is_taken_back(database):
    first = asked(database)
    with database._access.session(read_only=True) as connection:
        connection.execute(
            "SET search_path = nowhere; SET statement_timeout = 7; SET TimeZone = 'Asia/Tokyo'"
        )
    assert asked(database, "SHOW search_path") == '"$user", public'
    assert asked(database, "SHOW statement_timeout") == "0"
    assert asked(database, "SHOW TimeZone") != "Asia/Tokyo"
    assert asked(database, "SHOW default_transaction_read_only") == "on"
    assert asked(database, "SHOW lock_timeout") == "5s"
    assert asked(database) == first


@pytest.mark.parametrize("whose", ["DATABASE {database}", "ROLE {user} IN DATABASE {database}"])
def test_where_a_new_one_would_begin_otherwise_there_is_a_new_one(database, admin, whose):
    first = asked(database)
    names = {"database": database._access.database, "user": database._access.user}
    admin.execute(f"ALTER {whose.format(**names)} SET search_path = elsewhere".encode())
    assert asked(database, "SHOW search_path") == "elsewhere"
    assert asked(database) != first


def test_one_that_the_server_ended_is_replaced(database, admin):
    first = asked(database)
    admin.execute("SELECT pg_terminate_backend(%s)", [first])
    assert asked(database) != first
    assert database.schema() is not None


def test_after_an_error_there_is_a_new_one(database):
    first = asked(database)
    with pytest.raises(DatabaseError, match="division by zero"):
        asked(database, "SELECT 1/0")
    assert asked(database) != first


def test_two_at_once_are_two_and_one_stays(database):
    with database._access.session(read_only=True) as one, database._access.session(read_only=True) as two:
        pids = {one.info.backend_pid, two.info.backend_pid}
    assert len(pids) == 2
    assert asked(database) in pids


def test_one_that_is_in_a_transaction_does_not_stay(database):
    first = asked(database)
    with database._access.session(read_only=True) as connection:
        connection.execute("BEGIN")
    assert asked(database) != first


def test_before_a_child_connects_it_is_closed(database):
    first = asked(database)
    database.wall()
    assert asked(database) != first


def test_of_several_hosts_none_is_kept(postgresql_url):
    several = PostgreSQL(
        postgresql_url.set(host=None, port=None, query={"host": [f"127.0.0.1:{postgresql_url.port}"] * 2})
    )
    with several.keep_session():
        assert asked(several) != asked(several)


def test_a_plan_from_before_a_column_was_changed_is_not_used(database, postgresql_url):
    with psycopg.connect(postgresql_url.render_as_string(hide_password=False), autocommit=True) as other:
        other.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        other.execute("INSERT INTO alembic_version VALUES ('r1')")
        for _ in range(8):  # after five psycopg would prepare it
            assert database.heads([VersionTable()]) == (("r1",),)
        other.execute("ALTER TABLE alembic_version ALTER version_num TYPE varchar(255)")
        assert database.heads([VersionTable()]) == (("r1",),)


def test_another_database_and_a_session_that_writes_are_not_it(database):
    first = asked(database)
    assert asked(database, access=database._access.elsewhere("postgres")) != first
    with database._access.session() as connection:
        assert connection.info.backend_pid != first
    assert asked(database) == first
