"""Into which tables and columns a statement writes."""

import pytest

from ci_migrate.repairs.statements import writes_to

ALL = ("sqlite", "postgresql", "mariadb")


@pytest.mark.parametrize(
    ("sql", "engines"),
    [
        ("CREATE TABLE t (a INT)", ALL),
        ("create index ix on t (a)", ALL),
        ("CREATE TRIGGER tr AFTER UPDATE ON t BEGIN DELETE FROM u; END", ALL),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $x$ DELETE FROM t; SELECT 1 $x$", ["postgresql"]),
        ("ALTER TABLE t ADD COLUMN a INT", ALL),
        ('ALTER TABLE t /* DROP b; */ ADD COLUMN "drop" INT', ["sqlite", "postgresql"]),
        ("ALTER TABLE t ADD COLUMN `change` INT COMMENT 'drop me; later'", ["mariadb"]),
        ("COMMENT ON TABLE t IS 'x'", ALL),
        ("SET foreign_key_checks = 0", ALL),
        ("/* name */ CREATE VIEW v AS SELECT 1", ALL),
        ("CREATE TABLE t (a TEXT DEFAULT E'it\\'s')", ["postgresql"]),
        ("COMMENT ON TABLE t IS 'C:\\temp'", ALL),
        ("CREATE TABLE u (a INT) /* a /* b */ ; DELETE FROM t */", ["postgresql"]),
        ("/*! DELETE FROM t */", ["sqlite", "postgresql"]),  # a comment there
    ],
)
def test_no_rows(sql: str, engines: list[str]) -> None:
    assert [writes_to(sql, engine) for engine in engines] == [[]] * len(engines)


@pytest.mark.parametrize(
    ("sql", "engines", "table", "columns"),
    [
        ("INSERT INTO t VALUES (1)", ALL, ("t",), None),
        ('insert into "s"."T x" (a) SELECT 1', ALL, ("s", "T x"), None),
        ("UPDATE t SET a = 1", ALL, ("t",), {"a"}),
        ("UPDATE `t` AS x SET `a` = (SELECT b, c FROM u WHERE d = 1), x.b = 'y, z = 1' WHERE c = 2", ["sqlite", "mariadb"], ("t",), {"a", "b"}),
        ('UPDATE t SET a = "it FROM, b = 1", c = 2', ALL, ("t",), {"a", "c"}),
        ("UPDATE ONLY s.t SET a = b FROM u WHERE u.id = t.id", ["postgresql"], ("s", "t"), {"a"}),
        ("CREATE TABLE u (a INT); UPDATE t SET a = 1;", ALL, ("t",), {"a"}),
        ("UPDATE t SET a = 'C:\\temp', b = 'it\\'s' WHERE c = ';'", ["postgresql", "mariadb"], ("t",), {"a", "b"}),
        ("UPDATE t SET a = 'C:\\temp' -- it's so\n, b = 2", ALL, ("t",), {"a", "b"}),
        ("update\nPUBLIC.T set A = 1", ALL, ("PUBLIC", "T"), {"A"}),
        ("UPDATE größe SET höhe = 1", ALL, ("größe",), {"höhe"}),
        # what looks like the end of the list, or of the statement
        ('UPDATE t SET a = CONCAT("x) WHERE ", 1), b = 2', ["mariadb"], ("t",), {"a", "b"}),
        ("UPDATE t SET a = b IS DISTINCT FROM c, d = 1", ["sqlite", "postgresql"], ("t",), {"a", "d"}),
        ('UPDATE "a; b" SET "from" = 1, "x, y" = 2', ["sqlite", "postgresql"], ("a; b",), {"from", "x, y"}),
        ("UPDATE t /* SET b = 2 */ SET a = $$ FROM ; $$", ["postgresql"], ("t",), {"a"}),
        ("UPDATE t SET a = 'x\\'; DELETE FROM u; --'", ["mariadb"], ("t",), {"a"}),
    ],
)  # fmt: skip
def test_rows(sql: str, engines: list[str], table: tuple[str, ...], columns: set[str] | None) -> None:
    assert [writes_to(sql, engine) for engine in engines] == [[(table, columns)]] * len(engines)


@pytest.mark.parametrize(
    ("sql", "engines"),
    [
        ("DELETE FROM t", ALL),
        ("TRUNCATE t", ALL),
        ("DROP INDEX IF EXISTS ix", ALL),
        ("ALTER TABLE t DROP COLUMN a, ADD COLUMN a INT", ALL),
        ("ALTER TABLE t ADD COLUMN a INT, RENAME b TO c", ALL),
        ("ALTER SEQUENCE s RESTART", ALL),
        ("RENAME TABLE t TO u", ALL),
        ("REPLACE INTO t VALUES (1)", ALL),
        ("INSERT OR REPLACE INTO t VALUES (1)", ALL),
        ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 2", ALL),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", ALL),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", ALL),
        ("UPDATE t JOIN u ON t.id = u.id SET t.a = 1", ALL),
        ("UPDATE t, u SET a = 1", ALL),
        ("UPDATE t SET (a, b) = (1, 2)", ALL),
        ("CREATE OR REPLACE TABLE t (a INT)", ALL),
        ("CREATE INDEX ix ON t (a); DELETE FROM t", ALL),
        ("CALL tidy()", ALL),
        ("DO $$ BEGIN DELETE FROM t; END $$", ALL),
        ("SELECT tidy()", ALL),
        ("LOAD DATA INFILE 'x' INTO TABLE t", ALL),
        # what is not what its first word says
        ("SET STATEMENT max_statement_time = 9 FOR DELETE FROM t", ALL),
        ("BEGIN NOT ATOMIC DELETE FROM t; END", ALL),
        ("CREATE TRIGGER tr AFTER UPDATE ON t BEGIN DELETE FROM u; END; DELETE FROM v", ALL),
        ("CREATE TRIGGER tr AFTER UPDATE ON t BEGIN DELETE FROM u; DELETE FROM v", ALL),
        # what stands behind a quote that only one setting takes for the end of a text
        ("UPDATE t SET a = 'x\\'; DELETE FROM u; --'", ["sqlite", "postgresql"]),
        ("UPDATE t SET a = 'x\\'; DELETE FROM u; -- '", ALL),
        ("INSERT INTO t VALUES ('x\\'); DELETE FROM u; -- ')", ALL),
        # what MySQL runs and others take for a comment
        ("/*! DELETE FROM t */", ["mariadb"]),
        ("CREATE TABLE u (a INT) /*!50000 ; DELETE FROM t */", ["mariadb"]),
        ("CREATE TABLE u (a INT) # it's\n; DELETE FROM t # it's", ["mariadb"]),
        # what looks like reading
        ("SELECT a FROM t", ALL),
        ("SELECT tidy() FROM t", ALL),
        ("SELECT app.purge_old(30) FROM generate_series(1, 3)", ALL),
        ("SELECT a INTO u FROM t", ALL),
        ("EXPLAIN ANALYZE DELETE FROM t", ALL),
        ("UPDATE t SET a = 'never ended", ALL),
        # of one that is as long as that the rest was not sent
        (f"UPDATE t SET a = 1 {' ' * 20_000}, b = 2"[:20_000], ALL),
    ],
)
def test_what_can_not_be_told(sql: str, engines: list[str]) -> None:
    assert [writes_to(sql, engine) for engine in engines] == [None] * len(engines)
