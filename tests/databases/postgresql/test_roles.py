"""Copies and restores where the role that logs in is not the one that migrates, or may not read or own all of it."""

import os

import psycopg
import pytest
from postgresql_support import execute, one, plain

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import BackupError
from ci_migrate.model import VersionTable


@pytest.fixture
def team(postgresql_server, postgresql_url):
    """`team(how)`: the URL of a role that logs in and becomes another one, which owns the database and all in it."""
    admin, made = postgresql_server.admin_url, []

    def make(inherit, where, right="CREATEDB"):
        suffix = os.urandom(3).hex()
        login, owns = f"login_{suffix}", f"owns_{suffix}"
        made.extend((login, owns))
        execute(
            admin, f"CREATE ROLE {owns} {right if where == '' else ''}",
            f"CREATE ROLE {login} LOGIN {inherit} {right} PASSWORD 'x' IN ROLE {owns}",
            f"ALTER DATABASE {postgresql_url.database} OWNER TO {owns}",
            f"ALTER ROLE {login} {where.format(postgresql_url.database)} SET role TO {owns}",
        )  # fmt: skip
        return postgresql_url.set(username=login, password="x")

    yield make
    with psycopg.connect(plain(admin), autocommit=True) as connection:
        for (name,) in connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [postgresql_url.database]
        ).fetchall():
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    execute(admin, *(f"DROP ROLE {role}" for role in made))


TABLES = (
    "CREATE SCHEMA app", "CREATE TABLE app.t (a int PRIMARY KEY)", "INSERT INTO app.t VALUES (1), (2)",
    "CREATE TABLE public.alembic_version (version_num text)", "ALTER TABLE app.t ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY none_of_it ON app.t USING (false)",
)  # fmt: skip


@pytest.mark.parametrize("inherit", ["INHERIT", "NOINHERIT"])
@pytest.mark.parametrize("where", ["IN DATABASE {}", ""])
def test_F56_a_role_that_becomes_another_one_when_it_logs_in(team, payload, tmp_path, inherit, where):
    url = team(inherit, where)
    execute(url, *TABLES)
    database = PostgreSQL(url)
    dumped = database.dump(payload, [VersionTable()])
    assert dumped.contents["app.t"].rows == 2
    with database.scratch(os.urandom(4).hex(), tmp_path) as copy:
        copy.load(payload)
        assert copy.schema() == dumped.schema
        assert copy.contents(["app.t"])["app.t"].rows == 2
        assert one(copy.url, "SELECT current_user") == one(url, "SELECT current_user")
        execute(copy.url, "CREATE TABLE public.made_by_a_revision (a int)")
        assert copy.schema()["owner table public.made_by_a_revision"] == one(url, "SELECT current_user")
    assert one(url, "SELECT count(*) FROM pg_database WHERE datname LIKE 'ci_migrate_scratch%%'") == 0


@pytest.mark.parametrize("where", ["IN DATABASE {}", ""])
def test_F56_a_restore_by_a_role_that_becomes_another_one(team, payload, where):
    url = team("INHERIT", where)
    execute(url, *TABLES)
    database = PostgreSQL(url)
    dumped = database.dump(payload, [VersionTable()])
    execute(url, "DELETE FROM app.t")
    with database.lock("r", 1):
        database.replace(payload, lambda copy: None, "20260101_000000")
    assert database.schema() == dumped.schema
    assert one(url, "SELECT count(*) FROM app.t") == 2


def test_F51_copies_on_the_server_of_a_superuser_are_used_as_the_role_that_migrates(
    team, postgresql_server, payload, tmp_path, start_postgresql
):
    """What a revision makes belongs to the same role as on the target, with the same default privileges."""
    url = team("INHERIT", "IN DATABASE {}")
    execute(url, *TABLES, "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    database = PostgreSQL(url)
    dumped = database.dump(payload, [VersionTable()])
    with start_postgresql() as other:
        for server in (postgresql_server, other):
            place = PostgreSQL(server.admin_url)
            place.make_copies_of(database)
            with place.scratch(os.urandom(4).hex(), tmp_path) as copy:
                copy.load(payload)
                assert copy.schema() == dumped.schema
                assert copy.contents(["app.t"])["app.t"].rows == 2
                execute(copy.url, "CREATE TABLE public.made_by_a_revision (a int)")
                execute(url, "CREATE TABLE public.made_by_a_revision (a int)")
                assert copy.schema() == database.schema()
                execute(url, "DROP TABLE public.made_by_a_revision")


@pytest.mark.parametrize(
    ("statement", "why", "grant"),
    [
        (
            "ALTER TABLE app.t FORCE ROW LEVEL SECURITY",
            "row level security hides rows of it",
            "ALTER ROLE {} BYPASSRLS;",
        ),
        ("REVOKE ALL ON app.t FROM CURRENT_USER", "may not read it", "GRANT pg_read_all_data TO {};"),
    ],
)
def test_F56_rows_that_the_role_does_not_see_are_told_with_the_right_that_is_missing(
    team, postgresql_server, payload, tmp_path, statement, why, grant
):
    url = team("INHERIT", "IN DATABASE {}")
    execute(url, *TABLES, statement)
    with pytest.raises(BackupError, match=f"can't back up app.t: .*{why}") as raised:
        PostgreSQL(url).dump(payload, [VersionTable()])
    owns = one(url, "SELECT current_user")
    assert raised.value.hint.startswith(grant.format(owns))
    execute(postgresql_server.admin_url, grant.format(owns))
    database = PostgreSQL(url)
    dumped = database.dump(payload, [VersionTable()])
    assert dumped.contents["app.t"].rows == 2
    with database.scratch(os.urandom(4).hex(), tmp_path) as copy:
        copy.load(payload)
        assert copy.contents(["app.t"]) == {"app.t": dumped.contents["app.t"]}
