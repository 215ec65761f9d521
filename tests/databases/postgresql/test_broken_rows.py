"""Rows that break what their own tables promise: the database is healthy in use, so its backup restores, or says no."""

import os

import psycopg
import pytest
from alembic_project import new_project
from postgresql_support import execute, one

from ci_migrate.backups.comparison import compare_restored
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import BackupError

from .test_odd_databases import manifest, through  # noqa: F401 - a fixture

REPLICA, ORIGIN = "SET session_replication_role = replica", "RESET session_replication_role"

ORPHANS = (
    "CREATE TABLE parent (id int PRIMARY KEY)",
    'CREATE TABLE child (id int PRIMARY KEY, parent int CONSTRAINT "to \' it" REFERENCES parent, good int REFERENCES parent)',
    "COMMENT ON CONSTRAINT \"to ' it\" ON child IS 'the parent''s'",
    "COMMENT ON CONSTRAINT child_good_fkey ON child IS 'fine'",
    "INSERT INTO parent VALUES (1)",
    REPLICA,
    "INSERT INTO child VALUES (1, 77, 1)",
    ORIGIN,
)


def definition(url, table, constraint):
    return one(
        url,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s",
        table,
        constraint,
    )


def test_a_foreign_key_that_rows_break_is_not_valid_in_the_copy(postgresql_url, through):  # noqa: F811
    execute(postgresql_url, *ORPHANS)

    def look(copy):
        comment = "SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = %s"
        return (
            definition(copy.url, "child", "to ' it"),
            definition(copy.url, "child", "child_good_fkey"),
            one(copy.url, comment, "to ' it"),
            one(copy.url, comment, "child_good_fkey"),
        )

    comparison, (broken, good, *comments) = through(PostgreSQL(postgresql_url), look)
    assert comparison.wrong == ()
    (told,) = comparison.exceptions
    assert told.startswith('constraint public.child."to \' it" reads differently: rows break it')
    assert broken == "FOREIGN KEY (parent) REFERENCES parent(id) NOT VALID"
    assert good == "FOREIGN KEY (good) REFERENCES parent(id)"
    assert comments == ["the parent's", "fine"]


def test_a_run_goes_through_and_tells_of_it(postgresql_url, tmp_path):
    execute(postgresql_url, *ORPHANS)
    project = new_project(tmp_path / "project", revisions=False)
    project.environ["DATABASE_URL"] = postgresql_url.set(drivername="postgresql+psycopg").render_as_string(
        False
    )
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    project.revision("0001", None, 'op.add_column("child", sa.Column("note", sa.Text))',
                             'op.drop_column("child", "note")')  # fmt: skip
    report = project.gate("run")
    assert report.exit_code == 0, [result.message for result in report.results]
    assert report.evidence is not None
    (told,) = report.evidence.comparison.exceptions
    assert "rows break it" in told
    assert report.evidence.way_back.proven
    assert definition(postgresql_url, "child", "to ' it").endswith("REFERENCES parent(id)")


def test_a_foreign_key_of_a_partitioned_table_that_rows_break_is_refused_in_words(postgresql_url, through):  # noqa: F811
    execute(
        postgresql_url, "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (id int, parent int REFERENCES parent) PARTITION BY RANGE (id)",
        "CREATE TABLE child1 PARTITION OF child FOR VALUES FROM (0) TO (9)",
        REPLICA, "INSERT INTO child VALUES (1, 77)", ORIGIN,
    )  # fmt: skip
    if one(postgresql_url, "SELECT current_setting('server_version_num')::int") >= 180000:
        assert through(PostgreSQL(postgresql_url))[0].wrong == ()
        return
    with pytest.raises(BackupError, match="child_parent_fkey") as caught:
        through(PostgreSQL(postgresql_url))
    assert "partitioned" in caught.value.what


CHECKS = (
    "CREATE FUNCTION fine(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'",
    "CREATE TABLE checked (id int PRIMARY KEY, n int CONSTRAINT is_fine CHECK (fine(n)), CONSTRAINT holds CHECK (id > 0))",
    "COMMENT ON CONSTRAINT is_fine ON checked IS 'it''s \\ fine'",
    "INSERT INTO checked VALUES (1, -1), (2, NULL)",
    "CREATE TABLE mother (n int CHECK (fine(n)))",
    "CREATE TABLE daughter (m int) INHERITS (mother)",
    "INSERT INTO daughter VALUES (-1, 1)",
    "CREATE TABLE ranges (n int, CONSTRAINT fine_too CHECK (fine(n))) PARTITION BY RANGE (n)",
    "CREATE TABLE range1 PARTITION OF ranges FOR VALUES FROM (-9) TO (9)",
    "INSERT INTO ranges VALUES (-1)",
)


@pytest.mark.parametrize("body", ["SELECT $1 > 0", "SELECT 1 / ($1 - $1) > 0"], ids=["false", "raises"])
def test_a_check_that_rows_break_since_its_function_changed(postgresql_url, through, body):  # noqa: F811
    change = f"CREATE OR REPLACE FUNCTION fine(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS '{body}'"
    execute(postgresql_url, *CHECKS, change)
    comment = "SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'is_fine'"
    comparison, (broken, holds, told_of) = through(
        PostgreSQL(postgresql_url),
        lambda copy: (
            definition(copy.url, "checked", "is_fine"),
            definition(copy.url, "checked", "holds"),
            one(copy.url, comment),
        ),
    )
    assert comparison.wrong == ()
    assert {told.partition(" reads differently: rows break it")[0] for told in comparison.exceptions} == {
        "constraint public.checked.is_fine",
        "constraint public.mother.mother_n_check",
        "constraint public.daughter.mother_n_check",
        "constraint public.ranges.fine_too",
        "constraint public.range1.fine_too",
    }
    assert (broken, holds, told_of) == ("CHECK (fine(n)) NOT VALID", "CHECK ((id > 0))", "it's \\ fine")


def test_rows_in_the_wrong_partition_are_refused_at_the_backup(postgresql_url, payload):
    execute(
        postgresql_url,
        "CREATE FUNCTION bucket(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1'",
        "CREATE TABLE spread (n int) PARTITION BY LIST (bucket(n))",
        "CREATE TABLE spread1 PARTITION OF spread FOR VALUES IN (1)",
        "CREATE TABLE spread2 PARTITION OF spread FOR VALUES IN (2)",
        "INSERT INTO spread VALUES (1), (2)",
        "CREATE OR REPLACE FUNCTION bucket(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 3 - $1'",
    )
    with pytest.raises(BackupError) as caught:
        PostgreSQL(postgresql_url).dump(payload, [])
    assert "public.spread1 holds rows that do not belong in that partition" in caught.value.what
    # what it says to do mends it
    with psycopg.connect(
        postgresql_url.set(drivername="postgresql").render_as_string(False), autocommit=True
    ) as c:
        c.execute(caught.value.hint)
    again = payload.with_name("again")
    again.mkdir()
    with pytest.raises(BackupError, match="spread2 holds rows"):
        PostgreSQL(postgresql_url).dump(again, [])


def test_a_subscription_is_told_and_never_made_in_a_copy(postgresql_url, payload, tmp_path):
    execute(postgresql_url, "CREATE TABLE t (id int PRIMARY KEY)",
            "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere.invalid' PUBLICATION p WITH (connect = false)")  # fmt: skip
    try:
        database = PostgreSQL(postgresql_url)
        dumped = database.dump(payload, [])
        with database.scratch(os.urandom(4).hex(), tmp_path) as copy:
            copy.load(payload)
            assert compare_restored(copy, manifest(dumped)).wrong == ()
            query = "SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE datname = %s"
            assert one(copy.url, query, copy.url.database) == 0
        assert "1 subscriptions" in dumped.secrets
    finally:
        execute(postgresql_url, "ALTER SUBSCRIPTION s SET (slot_name = NONE)", "DROP SUBSCRIPTION s")
