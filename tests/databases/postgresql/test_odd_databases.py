"""Odd but legal databases: each is copied by pg_dump and pg_restore, and what rightly differs is named with its reason."""

import os
from datetime import UTC, datetime

import psycopg
import pytest
from postgresql_support import execute, one, plain

from ci_migrate.backups.comparison import compare_restored
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import BackupError
from ci_migrate.model import Backup, Fingerprint, VersionTable


@pytest.fixture
def through(tmp_path):
    """`through(database)`: dump and restore into a scratch copy; what came of comparing, and what `look` finds in it."""

    def dump_and_restore(database, look=lambda copy: None, scratch=None):
        payload = tmp_path / f"payload {os.urandom(4).hex()}"
        payload.mkdir()
        dumped = database.dump(payload, [VersionTable()])
        backup = manifest(dumped)
        with (scratch or database).scratch(os.urandom(4).hex(), tmp_path) as copy:
            copy.load(payload)
            return compare_restored(copy, backup, version_tables=[VersionTable()]), look(copy)

    return dump_and_restore


def manifest(dumped):
    return Backup(
        backup_id="b", backup_path="b", backup_time=datetime.now(UTC), heads=dumped.heads, row_counts=dumped.row_counts,
        fingerprint=Fingerprint.of(dumped.schema), exceptions=dict(dumped.exceptions),
    )  # fmt: skip


@pytest.fixture
def owner(postgresql_server, postgresql_url):
    """The URL of a role that owns the database and may make others, and is no superuser."""
    name = f"owner_{os.urandom(4).hex()}"
    admin = postgresql_server.admin_url
    execute(admin, f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD 'x'")
    execute(admin, f"ALTER DATABASE {postgresql_url.database} OWNER TO {name}")
    yield postgresql_url.set(username=name, password="x")
    with psycopg.connect(plain(admin), autocommit=True) as connection:
        for (base,) in connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [postgresql_url.database]
        ).fetchall():
            execute(
                postgresql_server.url(base), f"REASSIGN OWNED BY {name} TO postgres", f"DROP OWNED BY {name}"
            )
    execute(admin, f"DROP ROLE {name}")


# --------------------------------------------------------------------------- what a restore makes otherwise


def test_F50_an_invalid_index_is_not_in_a_dump(postgresql_url, through):
    execute(
        postgresql_url, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (1)",
        "CREATE TABLE p (a int) PARTITION BY RANGE (a)", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)",
        "CREATE INDEX waits_for_its_parts ON ONLY p (a)",
    )  # fmt: skip
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(postgresql_url, "CREATE UNIQUE INDEX CONCURRENTLY ix ON t (a)")
    execute(postgresql_url, "COMMENT ON INDEX ix IS 'to be built again'")
    comparison, _ = through(PostgreSQL(postgresql_url))
    assert comparison.wrong == ()
    why = "it is INVALID, and pg_dump leaves such an index out"
    assert set(comparison.exceptions) == {
        f"comment on index public.ix is missing: {why}",
        f"index public.ix is missing: {why}",
    }


def test_F50_a_database_without_public_and_plpgsql(postgresql_url, through):
    execute(
        postgresql_url,
        "CREATE SCHEMA app",
        "CREATE TABLE app.t (a int)",
        "DROP SCHEMA public",
        "DROP EXTENSION plpgsql",
    )
    comparison, _ = through(PostgreSQL(postgresql_url))
    assert (comparison.wrong, comparison.exceptions) == ((), ())


def test_F50_public_of_another_owner_with_other_rights(postgresql_url, through):
    execute(
        postgresql_url, "DROP SCHEMA public", "CREATE SCHEMA public", "COMMENT ON SCHEMA public IS 'anew'",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
    )  # fmt: skip
    comparison, _ = through(PostgreSQL(postgresql_url))
    assert (comparison.wrong, comparison.exceptions) == ((), ())


def test_F50_an_older_version_of_an_extension(postgresql_url, through):
    execute(postgresql_url, "CREATE EXTENSION hstore VERSION '1.6'", "CREATE TABLE t (a hstore)")
    now = one(postgresql_url, "SELECT default_version FROM pg_available_extensions WHERE name = 'hstore'")
    comparison, _ = through(PostgreSQL(postgresql_url))
    assert comparison.wrong == ()
    (told,) = comparison.exceptions
    assert told == f"extension hstore reads differently: it was version 1.6, this server makes {now}"


# --------------------------------------------------------------------------- a role that is no superuser

BY_SUPERUSER = """
CREATE EXTENSION pg_trgm; CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pageinspect;
COMMENT ON EXTENSION pageinspect IS 'for the curious';
CREATE SCHEMA theirs; GRANT ALL ON SCHEMA theirs TO PUBLIC; COMMENT ON SCHEMA theirs IS 'a superuser''s';
CREATE TABLE theirs.t (a int PRIMARY KEY, b text); INSERT INTO theirs.t VALUES (1, 'x'), (2, 'y');
GRANT SELECT, INSERT ON theirs.t TO PUBLIC; REVOKE DELETE ON theirs.t FROM CURRENT_USER;
CREATE VIEW theirs.statements AS SELECT query FROM pg_stat_statements;
COMMENT ON VIEW theirs.statements IS 'slow ones'; COMMENT ON COLUMN theirs.statements.query IS 'text';
GRANT SELECT ON theirs.statements TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
CREATE FUNCTION theirs.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watches ON ddl_command_end EXECUTE FUNCTION theirs.on_ddl();
COMMENT ON EVENT TRIGGER watches IS 'all of it';
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE PUBLICATION of_a_schema FOR TABLES IN SCHEMA theirs;
CREATE FUNCTION theirs.add(int, int) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'int4pl';
CREATE FUNCTION theirs.quiet() RETURNS int LANGUAGE sql SET log_min_messages = 'panic' AS 'SELECT 1';
CREATE AGGREGATE theirs.total(int) (SFUNC = theirs.add, STYPE = int);
CREATE CAST (text AS money) WITH INOUT AS ASSIGNMENT;
CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
GRANT USAGE ON FOREIGN SERVER elsewhere TO PUBLIC;
CREATE FOREIGN TABLE theirs.far (a int CHECK (a > 0)) SERVER elsewhere; COMMENT ON COLUMN theirs.far.a IS 'far away';
GRANT SELECT ON theirs.far TO PUBLIC;
CREATE VIEW theirs.over_it AS SELECT * FROM theirs.far;
CREATE OPERATOR CLASS theirs.odd_ints FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =,
  OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
CREATE INDEX odd ON theirs.t (a theirs.odd_ints);
CREATE TEXT SEARCH TEMPLATE theirs.t (LEXIZE = dsimple_lexize);
SELECT lo_from_bytea(0, '\\x1234');
"""


LARGE_OBJECTS = """
SELECT string_agg(format('GRANT SELECT ON LARGE OBJECT %s TO PUBLIC', oid), ';') FROM pg_largeobject_metadata"""


def test_F51_the_owner_of_the_database_beside_objects_of_a_superuser(
    postgresql_url, owner, through, payload, postgresql_server
):
    execute(postgresql_url, BY_SUPERUSER)
    execute(postgresql_url, one(postgresql_url, LARGE_OBJECTS))
    execute(
        owner, "CREATE TABLE mine (a int)", "INSERT INTO mine VALUES (1)", "GRANT SELECT ON mine TO PUBLIC"
    )
    database = PostgreSQL(owner)
    comparison, rows = through(database, lambda copy: one(copy.url, "SELECT count(*) FROM theirs.t"))
    assert comparison.wrong == ()
    assert rows == 2
    told = "\n".join(comparison.exceptions)
    for name in (
        "event trigger watches", "extension pg_stat_statements", "extension pageinspect", "publication everything",
        "foreign-data wrapper nowhere", "foreign server elsewhere", "table theirs.far", "view theirs.over_it",
        "function theirs.quiet()", "owner table theirs.t", "view theirs.statements", "index theirs.odd",
    ):  # fmt: skip
        assert f"{name} is missing" in told or f"{name} reads differently" in told, name
    for name in ("mine", "extension pg_trgm", "column theirs.t"):
        assert name not in told
    # a superuser restores the same dump whole
    comparison, _ = through(database, scratch=PostgreSQL(postgresql_url))
    assert (comparison.wrong, comparison.exceptions) == ((), ())


def test_F51_rows_that_depend_on_what_only_a_superuser_may_make(postgresql_url, owner, through):
    execute(postgresql_url, "CREATE FUNCTION f(int) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'int4abs'",
            "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (f(a)) STORED)", "GRANT ALL ON t TO PUBLIC")  # fmt: skip
    with pytest.raises(
        BackupError, match=r"may not make function public.f\(integer\), and tables depend on that"
    ) as raised:
        through(PostgreSQL(owner))
    assert 'scratch = "URL"' in raised.value.hint
    comparison, _ = through(PostgreSQL(owner), scratch=PostgreSQL(postgresql_url))
    assert (comparison.wrong, comparison.exceptions) == ((), ())


def test_F51_the_owner_of_the_database_restores_it(postgresql_url, owner, tmp_path):
    """Without what only a superuser may make, and each of that is told; other ordinary roles' objects need a GRANT."""
    execute(postgresql_url, BY_SUPERUSER)
    execute(postgresql_url, one(postgresql_url, LARGE_OBJECTS))
    execute(owner, "CREATE TABLE mine (a int PRIMARY KEY)", "INSERT INTO mine VALUES (1)")
    database, told = PostgreSQL(owner), []
    backup = manifest(database.dump(tmp_path, []))
    execute(owner, "DELETE FROM mine")
    database.replace(tmp_path, lambda copy: told.append(compare_restored(copy, backup)), "20260101_000000")
    assert told[0].wrong == ()
    assert any(
        line.startswith("event trigger watches is missing: role owner_") and line.endswith(" may not make it")
        for line in told[0].exceptions
    )
    assert one(owner, "SELECT count(*) FROM mine") == 1
    assert one(owner, "SELECT count(*) FROM theirs.t") == 2


# --------------------------------------------------------------------------- what a restore must run


def test_F56_functions_that_look_for_names_without_a_schema(postgresql_url, through):
    """pg_dump restores with an empty search_path; the database has one by which these functions find what they name."""
    execute(
        postgresql_url,
        f"ALTER DATABASE {postgresql_url.database} SET search_path = 'odd \"schema\"', public",
        'CREATE SCHEMA "odd ""schema"""',
    )
    execute(
        postgresql_url,
        "CREATE EXTENSION unaccent SCHEMA public", "CREATE TABLE factors (f int)", "INSERT INTO factors VALUES (3)",
        "CREATE FUNCTION bare(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT unaccent('unaccent', $1) $$",
        "CREATE FUNCTION many(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
        " $$ BEGIN RETURN (SELECT $1 * f FROM factors); END $$",
        "CREATE TABLE t (a int CHECK (many(a) < 1000), b text, c text GENERATED ALWAYS AS (bare(b)) STORED)",
        "INSERT INTO t SELECT n, 'é' || n FROM generate_series(1, 100) n",
        "CREATE VIEW v AS SELECT many(a) AS times FROM t", "CREATE TABLE m (times int)",
        "CREATE DOMAIN short AS text CHECK (bare(VALUE) < 'zzz')", "CREATE TABLE d (s short)", "INSERT INTO d VALUES ('é')",
    )  # fmt: skip
    if (
        one(postgresql_url, "SHOW server_version_num") < "170000"
    ):  # since then both look nowhere, whoever makes them
        execute(
            postgresql_url,
            "CREATE INDEX ON t (bare(b))",
            "DROP TABLE m",
            "CREATE MATERIALIZED VIEW m AS SELECT * FROM v",
        )
    else:
        execute(postgresql_url, "INSERT INTO m SELECT * FROM v")
    database = PostgreSQL(postgresql_url)
    tables = list(database.counts())
    comparison, found = through(
        database, lambda copy: (copy.contents(tables), one(copy.url, "SELECT sum(times) FROM m"))
    )
    assert (comparison.wrong, comparison.exceptions) == ((), ())
    assert found == (database.contents(tables), 3 * 5050)


def test_F56_a_materialized_view_whose_query_fails_today(postgresql_url, through):
    """Over a foreign table, of which a copy has no user mapping; over a division that no longer works; over such a view."""
    execute(
        postgresql_url, "CREATE EXTENSION postgres_fdw", "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)",
        "CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw OPTIONS"
        f" (host '127.0.0.1', port '{postgresql_url.port}', dbname '{postgresql_url.database}')",
        f"CREATE USER MAPPING FOR postgres SERVER itself OPTIONS (user 'postgres', password $${postgresql_url.password}$$)",
        "CREATE FOREIGN TABLE far (a int) SERVER itself OPTIONS (table_name 't')",
        "CREATE MATERIALIZED VIEW a_third AS SELECT 1 AS one",
        "CREATE MATERIALIZED VIEW from_far AS SELECT * FROM far", "CREATE UNIQUE INDEX ON from_far (a)",
        "CREATE MATERIALIZED VIEW divided AS SELECT 1 / a AS b FROM t",
        "CREATE MATERIALIZED VIEW upon_it AS SELECT * FROM divided",
        "CREATE MATERIALIZED VIEW never_filled AS SELECT * FROM t WITH NO DATA",
        "UPDATE t SET a = 0",
    )  # fmt: skip
    comparison, found = through(
        PostgreSQL(postgresql_url),
        lambda copy: one(copy.url, "SELECT array_agg(relname::text ORDER BY 1) FROM pg_class WHERE relispopulated AND relkind = 'm'"),
    )  # fmt: skip
    assert found == ["a_third"]
    assert comparison.wrong == ()
    assert [
        line.partition(" reads differently: its query fails there: ")[0] for line in comparison.exceptions
    ] == [
        "materialized view public.divided",
        "materialized view public.from_far",
        "materialized view public.upon_it",
    ]
    assert "division by zero" in comparison.exceptions[0]


def test_F56_a_tablespace_that_the_server_of_the_copy_lacks(
    postgresql_server, postgresql_url, through, start_postgresql, tmp_path
):
    place = postgresql_server.sockets / f"space{os.urandom(2).hex()}"
    execute(postgresql_url, f"COPY (SELECT 1) TO PROGRAM 'mkdir -m 700 {place}'")
    name = f"space_{os.urandom(4).hex()}"
    execute(postgresql_url, f"CREATE TABLESPACE {name} LOCATION '{place}'")
    try:
        execute(postgresql_url, f"CREATE TABLE t (a int PRIMARY KEY USING INDEX TABLESPACE {name}) TABLESPACE {name}",
                "INSERT INTO t VALUES (1)")  # fmt: skip
        space = (
            "SELECT spcname FROM pg_class c JOIN pg_tablespace s ON s.oid = reltablespace WHERE relname = 't'"
        )
        comparison, found = through(PostgreSQL(postgresql_url), lambda copy: one(copy.url, space))
        assert (comparison.wrong, comparison.exceptions, found) == ((), (), name)
        with start_postgresql() as other:
            comparison, found = through(
                PostgreSQL(postgresql_url),
                lambda copy: one(copy.url, space),
                scratch=PostgreSQL(other.admin_url),
            )
        assert (comparison.wrong, comparison.exceptions, found) == ((), (), None)
    finally:
        execute(postgresql_url, "DROP TABLE t", f"DROP TABLESPACE {name}")


def test_F51_a_server_of_copies_without_the_roles_of_the_target(
    postgresql_url, owner, through, start_postgresql
):
    execute(
        postgresql_url, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)", "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY theirs ON t TO {owner.username} USING (a > 0)", "CREATE POLICY everybody ON t USING (true)",
        f"GRANT SELECT ON t TO {owner.username}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner.username} GRANT SELECT ON TABLES TO PUBLIC",
    )  # fmt: skip
    execute(owner, "CREATE TABLE mine (a int)")
    with start_postgresql() as other:
        comparison, _ = through(PostgreSQL(postgresql_url), scratch=PostgreSQL(other.admin_url))
    assert comparison.wrong == ()
    told = [line.partition(":")[0] for line in comparison.exceptions]
    assert "policy public.t.theirs is missing" in told
    assert f"grant table public.t to {owner.username} is missing" in told
    assert "owner table public.mine reads differently" in told
    assert not any("everybody" in line for line in told)
