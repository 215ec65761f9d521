"""What ALTER DATABASE and ALTER ROLE set for sessions neither breaks nor bends what we read, copy and restore."""

import os
from functools import partial

import postgresql_support
from postgresql_support import session

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.model import VersionTable

TABLES = """
CREATE TEXT SEARCH CONFIGURATION plain (COPY = pg_catalog.simple);
CREATE TABLE notes (id int PRIMARY KEY, ratio float8, at timestamptz, body text, raw bytea, mood interval);
INSERT INTO notes SELECT n, n / 3.0, timestamptz '2026-01-01 00:00+00' + n * interval '1 h', 'a\\b' || n,
  '\\x00ff', interval '1 month 2 days' FROM generate_series(1, 50) n;
CREATE INDEX found ON notes USING gin (to_tsvector('public.plain', body));
CREATE TABLE alembic_version (version_num text);
INSERT INTO alembic_version VALUES ('0001');
"""


execute = partial(postgresql_support.execute, options="-c default_transaction_read_only=off")

SETTINGS = {
    "default_text_search_config": "'public.plain'",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on",
    "statement_timeout": "'20ms'",
    "idle_in_transaction_session_timeout": "'20ms'",
    "search_path": "'nowhere', \"$user\", public",
    "row_security": "off",
    "standard_conforming_strings": "off",
    "client_encoding": "'LATIN1'",
    "datestyle": "'German'",
    "intervalstyle": "'sql_standard'",
    "extra_float_digits": "'-5'",
    "bytea_output": "'escape'",
    "timezone": "'Asia/Tokyo'",
    "quote_all_identifiers": "on",
    "lc_monetary": "'C'",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "client_min_messages": "'debug1'",
    "app.tenant": "'a, ''b'''",
}


def test_F52_settings_of_the_database_break_nothing(postgresql_url, payload, tmp_path):
    execute(postgresql_url, TABLES)
    database = PostgreSQL(postgresql_url)
    tables, versions = ["public.notes", "public.alembic_version"], [VersionTable()]
    before = (database.schema(), database.contents(tables), database.heads(versions))
    for setting, value in SETTINGS.items():
        execute(postgresql_url, f"ALTER DATABASE {postgresql_url.database} SET {setting} = {value}")
    assert (database.schema(), database.contents(tables), database.heads(versions)) == before
    dumped = database.dump(payload, versions)
    assert (dumped.schema, dumped.heads) == (before[0], before[2])
    with database.scratch(f"f52{os.urandom(3).hex()}", tmp_path) as copy:
        copy.load(payload)
        assert copy.schema() == before[0]
        assert copy.contents(tables) == before[1]
        # what the application sees when it connects to the copy
        with session(postgresql_url) as there, session(copy.url) as here:
            for connection in (there, here):
                connection.execute("SET statement_timeout = 0")
            names = "SELECT name, setting, reset_val FROM pg_settings WHERE source = 'database'"
            assert set(here.execute(names)) == set(there.execute(names))
            tenant = "SELECT current_setting('app.tenant')"
            assert here.execute(tenant).fetchone() == there.execute(tenant).fetchone()


def test_F52_a_setting_of_the_role_breaks_nothing(postgresql_url, postgresql_server, payload, tmp_path):
    """Also in the maintenance database, and while a restore takes the place of the target."""
    execute(postgresql_url, TABLES)
    role = f"set_{os.urandom(4).hex()}"
    admin = postgresql_server.admin_url
    execute(admin, f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'x'")
    try:
        for setting, value in SETTINGS.items():
            if setting != "search_path":
                execute(
                    admin,
                    f"ALTER ROLE {role} SET {setting} = {value if setting != 'default_text_search_config' else '''simple'''}",
                )
        database = PostgreSQL(postgresql_url.set(username=role, password="x"))
        tables = ["public.notes", "public.alembic_version"]
        before = (PostgreSQL(postgresql_url).schema(), PostgreSQL(postgresql_url).contents(tables))
        assert (database.schema(), database.contents(tables)) == before
        dumped = database.dump(payload, [VersionTable()])
        assert dumped.heads == (("0001",),)
        execute(postgresql_url, "DELETE FROM notes")
        with database.lock("r", 1):
            database.replace(payload, lambda copy: None, "x")
        assert (database.schema(), database.contents(tables)) == before
    finally:
        execute(admin, f'DROP DATABASE IF EXISTS "{postgresql_url.database}_before_x"')
        execute(admin, f"REASSIGN OWNED BY {role} TO postgres", f"DROP ROLE {role}")
