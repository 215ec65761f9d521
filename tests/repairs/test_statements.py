"""Into which tables and columns a statement writes."""

import pytest

from ci_migrate.repairs.statements import writes_to


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (a INT)",
        "create index ix on t (a)",
        "CREATE TRIGGER tr AFTER UPDATE ON t BEGIN DELETE FROM u; END",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $x$ DELETE FROM t; SELECT 1 $x$",
        "ALTER TABLE t ADD COLUMN a INT",
        "ALTER TABLE t ADD COLUMN `change` INT COMMENT 'drop me; later'",
        "COMMENT ON TABLE t IS 'x'",
        "SET foreign_key_checks = 0",
        "/* name */ CREATE VIEW v AS SELECT 1",
        "CREATE TABLE t (a TEXT DEFAULT E'it\\'s')",
        "COMMENT ON TABLE t IS 'C:\\temp'",
    ],
)
def test_no_rows(sql: str) -> None:
    assert writes_to(sql) == []


@pytest.mark.parametrize(
    ("sql", "table", "columns"),
    [
        ("INSERT INTO t VALUES (1)", ("t",), None),
        ('insert into "s"."T x" (a) SELECT 1', ("s", "T x"), None),
        ("UPDATE t SET a = 1", ("t",), {"a"}),
        ("UPDATE `t` AS x SET `a` = (SELECT b, c FROM u WHERE d = 1), x.b = 'y, z = 1' WHERE c = 2", ("t",), {"a", "b"}),
        ('UPDATE t SET a = "it FROM, b = 1", c = 2', ("t",), {"a", "c"}),
        ("UPDATE ONLY s.t SET a = b FROM u WHERE u.id = t.id", ("s", "t"), {"a"}),
        ("CREATE TABLE u (a INT); UPDATE t SET a = 1;", ("t",), {"a"}),
        ("UPDATE t SET a = 'C:\\temp', b = 'it\\'s' WHERE c = ';'", ("t",), {"a", "b"}),
        ("UPDATE t SET a = 'C:\\temp' -- it's so\n, b = 2", ("t",), {"a", "b"}),
        ("update\nPUBLIC.T set A = 1", ("PUBLIC", "T"), {"A"}),
        ("UPDATE größe SET höhe = 1", ("größe",), {"höhe"}),
    ],
)  # fmt: skip
def test_rows(sql: str, table: tuple[str, ...], columns: set[str] | None) -> None:
    assert writes_to(sql) == [(table, columns)]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t",
        "TRUNCATE t",
        "DROP INDEX IF EXISTS ix",
        "ALTER TABLE t DROP COLUMN a, ADD COLUMN a INT",
        "ALTER TABLE t ADD COLUMN a INT, RENAME b TO c",
        "ALTER SEQUENCE s RESTART",
        "RENAME TABLE t TO u",
        "REPLACE INTO t VALUES (1)",
        "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 2",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "UPDATE t JOIN u ON t.id = u.id SET t.a = 1",
        "UPDATE t SET (a, b) = (1, 2)",
        "CREATE OR REPLACE TABLE t (a INT)",
        "CREATE INDEX ix ON t (a); DELETE FROM t",
        "CALL tidy()",
        "DO $$ BEGIN DELETE FROM t; END $$",
        "SELECT tidy()",
        "LOAD DATA INFILE 'x' INTO TABLE t",
        # what stands behind a quote that only one engine takes for the end of a text
        "UPDATE t SET a = 'x\\'; DELETE FROM u; --'",
        "INSERT INTO t VALUES ('x\\'); DELETE FROM u; --')",
        # what MySQL runs and others take for a comment
        "/*! DELETE FROM t */",
        "CREATE TABLE u (a INT) /*!50000 ; DELETE FROM t */",
        "CREATE TABLE u (a INT) # it's\n; DELETE FROM t # it's",
        # what looks like reading
        "SELECT a FROM t",
        "SELECT tidy() FROM t",
        "SELECT app.purge_old(30) FROM generate_series(1, 3)",
        "SELECT a INTO u FROM t",
        "EXPLAIN ANALYZE DELETE FROM t",
        "UPDATE t SET a = 'never ended",
    ],
)
def test_what_can_not_be_told(sql: str) -> None:
    assert writes_to(sql) is None
