"""How long a statement waits for its locks, by what it is."""

import pytest

from ci_migrate.migrations import events
from ci_migrate.migrations.worker import lock_waits
from ci_migrate.migrations.worker.lock_waits import CONCURRENT, DETACH, QUEUED, kind_of

KINDS = [
    ("CREATE INDEX CONCURRENTLY i ON t (a)", CONCURRENT),
    ("/* app */ create unique index\n concurrently if not exists i on t (a)", CONCURRENT),
    ("CREATE INDEX CONCURRENTLY ON t (a)", CONCURRENT),
    ("DROP INDEX CONCURRENTLY IF EXISTS i", CONCURRENT),
    ("REINDEX TABLE CONCURRENTLY t", CONCURRENT),
    ("REINDEX (CONCURRENTLY, VERBOSE) INDEX i", CONCURRENT),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", CONCURRENT),
    ('ALTER TABLE ONLY "odd, one".t VALIDATE CONSTRAINT "c""d";', CONCURRENT),
    ("VACUUM (ANALYZE) t", CONCURRENT),
    ("ANALYZE t", CONCURRENT),
    ("ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY", DETACH),
    ("ALTER TABLE p DETACH PARTITION p1", QUEUED),
    ("CREATE INDEX i ON t (a)", QUEUED),
    ("CREATE INDEX concurrently_built ON t (a)", QUEUED),
    ("COMMENT ON TABLE t IS 'CREATE INDEX CONCURRENTLY'", QUEUED),
    ("ALTER TABLE t VALIDATE CONSTRAINT c, ADD COLUMN d int", QUEUED),
    ("VACUUM FULL t", QUEUED),
    ("VACUUM (FULL) t", QUEUED),
    ("REINDEX TABLE t", QUEUED),
    ("DROP INDEX i", QUEUED),
    ("UPDATE t SET a = 1", QUEUED),
    # comments and names that a pattern took for the statement's own words
    ("/* a /* b */ c */ CREATE INDEX CONCURRENTLY i ON t (a)", CONCURRENT),
    ("CREATE INDEX /* ask ops */ CONCURRENTLY i ON t (a)", CONCURRENT),
    ("ALTER TABLE p -- the last year\n DETACH PARTITION p1 /* quickly */ CONCURRENTLY", DETACH),
    ('ALTER TABLE "größe" VALIDATE CONSTRAINT größer /* 0 */', CONCURRENT),
    ('VACUUM "full"', CONCURRENT),
    ("VACUUM (FULL off) t", CONCURRENT),
    ('REINDEX TABLE "built concurrently"', QUEUED),
    ("ANALYZE t; ALTER TABLE t ADD a int", QUEUED),
]


@pytest.mark.parametrize(("sql", "kind"), KINDS)
def test_F65_only_what_lets_others_work_waits_long(sql, kind):
    assert kind_of(sql, "postgresql") == kind
    assert kind_of(sql, "mysql") == QUEUED


def test_the_codes_are_those_of_the_parent():
    assert set(lock_waits.LOCK_TIMEOUT) == {
        state for state in events.LOCK_TIMEOUT_STATES if not state.startswith("SQLITE")
    }


@pytest.mark.parametrize(
    ("sql", "index", "table"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "i", "t"),
        (
            'create unique index concurrently if not exists "I x" /* y */ on only "s s" . T (a)',
            '"I x"',
            '"s s".T',
        ),
    ],
)
def test_the_index_that_is_built(sql, index, table):
    assert lock_waits.built_index(sql) == (index, table)


@pytest.mark.parametrize(
    "sql", ["CREATE INDEX CONCURRENTLY ON t (a)", "CREATE INDEX i ON t (a)", "DROP INDEX CONCURRENTLY i"]
)
def test_none_that_has_a_name(sql):
    assert lock_waits.built_index(sql) is None


@pytest.mark.parametrize(
    "sql", ["ALTER TABLE t ADD a text DEFAULT 'a; b';", "COMMENT ON TABLE t IS 'one; two' -- ; three"]
)
def test_a_semicolon_in_a_text_ends_no_statement(sql):
    assert not lock_waits.may_be_done_in_part(sql, "postgresql")
    assert not lock_waits.may_be_done_in_part(sql, "mysql")


@pytest.mark.parametrize(
    "sql", ["CALL fill()", "DO $$ BEGIN COMMIT; END $$", "BEGIN; ALTER TABLE t ADD a int; COMMIT"]
)
def test_what_may_have_committed_a_part_is_not_sent_again(sql):
    assert not lock_waits.is_alone(None, sql, "postgresql")
    assert not lock_waits.is_alone(None, sql, "mysql")
