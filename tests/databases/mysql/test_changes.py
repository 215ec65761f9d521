"""The schema that is followed from statement to statement is the one that a whole reading finds."""

import pytest
from alembic_project import new_project
from mysql_support import execute, schema
from sqlalchemy import URL

from ci_migrate.databases.mysql import changes
from ci_migrate.databases.mysql.changes import changed_tables, written_tables
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.rehearsal.rows import RowsFollowed


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("CREATE TABLE t (id int)", {"t"}),
        ("create table if not exists `my ``t` (id int);", {"my `t"}),
        ("CREATE TABLE shop.t (id int)", {"t"}),
        ("CREATE TABLE `shop` . `t` (id int)", {"t"}),
        ("ALTER TABLE t ADD COLUMN note varchar(9) DEFAULT 'RENAME; -- x'", {"t"}),
        ("ALTER IGNORE TABLE IF EXISTS t DROP COLUMN note", {"t"}),
        ("ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX c TO d", {"t"}),
        ("ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4", {"t"}),
        ("CREATE UNIQUE INDEX `on` ON t (a)", {"t"}),
        ("CREATE INDEX i USING BTREE ON t (a)", {"t"}),
        ("DROP INDEX i ON t", {"t"}),
        ("DROP TABLE IF EXISTS a, shop.b CASCADE", {"a", "b"}),
        ("UPDATE t SET a = 'ALTER TABLE u'", set()),
        ("  DELETE FROM t", set()),
        ("SET foreign_key_checks = 0", set()),
        ("TRUNCATE t", set()),
        # as tools write that put a comment to each statement, and as people do
        ("/* app=shop */ ALTER TABLE t ADD a int -- and so on", {"t"}),
        ("ALTER TABLE t # the last one\n ADD a int", {"t"}),
        ("CREATE /* RENAME */ TABLE t (a int COMMENT 'C:\\\\x; RENAME TO u')", {"t"}),
        ('ALTER TABLE t ADD a text DEFAULT ("; RENAME TO u")', {"t"}),
        ('ALTER TABLE "t" ADD a int', {"t"}),  # with ANSI_QUOTES; else the server refuses it
        ("ALTER TABLE t ADD `rename` int, ADD `exchange` int", {"t"}),
        ("DROP TABLE t WAIT 5", {"t"}),
        ("ALTER TABLE t NOWAIT ADD a int", {"t"}),
        ("/* app=shop */ UPDATE t SET a = 1", set()),
    ],
)
def test_what_a_statement_can_have_changed(statement, tables):
    assert changed_tables(statement, "shop") == tables


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "CALL add_columns()",
        "SET STATEMENT max_statement_time = 9 FOR ALTER TABLE t ADD a int",
        "UPDATE t SET a = 1; ALTER TABLE t ADD b int",
        "INSERT INTO t VALUES ('\\'); DROP TABLE u; -- ')",
        "/*!80000 ALTER */ TABLE t ADD a int",
        "ALTER TABLE other.t ADD a int",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE t RENAME u",
        "ALTER TABLE t NOWAIT RENAME TO u",
        "ALTER TABLE t WAIT 5 RENAME TO u",
        "ALTER TABLE t ADD a int, RENAME AS u",
        "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u",
        "ALTER TABLE t CONVERT PARTITION p TO TABLE u",
        "RENAME TABLE t TO u",
        "CREATE OR REPLACE TABLE t (id int)",
        "CREATE TEMPORARY TABLE t (id int)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
        "ALTER DATABASE shop CHARACTER SET utf8mb4",
        "DROP TABLE a, other.b",
        "BEGIN NOT ATOMIC ALTER TABLE t ADD a int",
        "EXECUTE IMMEDIATE 'ALTER TABLE t ADD a int'",
        "DROP TEMPORARY TABLE t",
        "INSERT INTO t VALUES ('x\\'); DROP TABLE u; -- ')",
    ],
)
def test_anything_may_have_changed(statement):
    assert changed_tables(statement, "shop") is None


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("UPDATE t SET a = 1", {"t"}),
        ("update ignore shop.`t` set a = (SELECT b FROM u)", {"t"}),
        ("INSERT INTO t (a) VALUES (1)", {"t"}),
        ("INSERT IGNORE t(a) SELECT b FROM u ON DUPLICATE KEY UPDATE a = 1", {"t"}),
        ("REPLACE INTO t SET a = 1", {"t"}),
        ("DELETE FROM t", {"t"}),
        ("DELETE FROM t WHERE a IN (SELECT b FROM u)", {"t"}),
        ("TRUNCATE TABLE t", {"t"}),
        ("ALTER TABLE t ADD a int", {"t"}),
        ("SET @a = 1", set()),
        ("/* app=shop */ DELETE FROM t -- all", {"t"}),
        ("DELETE QUICK FROM t LIMIT 3", {"t"}),
        ('UPDATE t SET a = "it\'s"', {"t"}),
        ("UPDATE t, u SET t.a = u.a", None),
        ("UPDATE t JOIN u USING (id) SET u.a = 1", None),
        ("UPDATE t AS one SET one.a = 1", None),
        ("DELETE t FROM t JOIN u USING (id)", None),
        ("DELETE FROM t USING t JOIN u USING (id)", None),
        ("INSERT INTO other.t VALUES (1)", None),
        ("SELECT write_somewhere()", None),
        ("WITH c AS (SELECT 1) DELETE FROM t", None),
        ("CALL fill()", None),
    ],
)
def test_whose_rows_a_statement_can_have_changed(statement, tables):
    assert written_tables(statement, "shop") == tables


STATEMENTS = """\
CREATE TABLE p (id int PRIMARY KEY, code varchar(40) UNIQUE) COMMENT 'parents'
CREATE TABLE c (id int PRIMARY KEY, p int, n int CHECK (n > 0), d int AS (n * 2), FOREIGN KEY (p) REFERENCES p (id))
CREATE TABLE `c.odd ``one` (id int PRIMARY KEY, `p.id` int, CONSTRAINT `f.k` FOREIGN KEY (`p.id`) REFERENCES p (id))
INSERT INTO p VALUES (1, 'a')
CREATE VIEW v AS SELECT id, code FROM p
CREATE TABLE IF NOT EXISTS p (id int)
ALTER TABLE p CHANGE id number int
ALTER TABLE c ADD CONSTRAINT positive CHECK (n < 100), ADD INDEX by_n (n)
ALTER TABLE c RENAME INDEX by_n TO by_number -- as the others are called
/* app=shop */ ALTER /* x */ TABLE c ADD COLUMN `rename to` int COMMENT "; DROP TABLE p -- \\" x" # "
ALTER TABLE c DROP CONSTRAINT positive, ENGINE = InnoDB ROW_FORMAT = COMPACT
CREATE TRIGGER g BEFORE INSERT ON c FOR EACH ROW SET NEW.n = 1
ALTER TABLE c ADD COLUMN m int FIRST
ALTER TABLE p CONVERT TO CHARACTER SET latin1
UPDATE p SET code = 'ALTER TABLE c'
CREATE TABLE ranges (id int PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (9))
ALTER TABLE ranges ADD PARTITION (PARTITION b VALUES LESS THAN (99))
CREATE TEMPORARY TABLE ranges (id int)
ALTER TABLE ranges ADD COLUMN hidden int
DROP TABLE ranges
DROP TABLE ranges
CREATE TABLE l LIKE c
CREATE TABLE s AS SELECT * FROM p
SET foreign_key_checks = 0
DROP TABLE p
CREATE TABLE p (number int PRIMARY KEY, other int)
ALTER TABLE p RENAME TO parents
DROP TABLE c
DROP TABLE IF EXISTS nowhere, l
DROP VIEW v
DROP TABLE parents, s""".splitlines()


def test_F97_after_each_statement_the_schema_is_the_one_of_a_whole_reading(either):
    last, followed = schema(either), 0
    with changes.schema_reader(either) as reader, either.session() as cursor:
        for statement in STATEMENTS:
            cursor.execute(statement)
            now = reader.read(last, [statement])
            assert now == schema(either), statement
            followed += now is not last
            last = now
    assert followed > 20, "else it compares nothing"


ROWS = """\
UPDATE a SET n = 2
INSERT INTO b VALUES (9, 9)
DELETE FROM a WHERE id = 1
CREATE TABLE c (id int PRIMARY KEY) AS SELECT id FROM b
ALTER TABLE a ADD COLUMN m int DEFAULT 7
CREATE VIEW v AS SELECT id, n FROM b
UPDATE v SET n = 3
CREATE TABLE child (id int PRIMARY KEY, b int, FOREIGN KEY (b) REFERENCES b (id) ON DELETE CASCADE)
INSERT INTO child VALUES (1, 9)
DELETE FROM b WHERE id = 9
DROP TABLE child
CREATE TRIGGER g AFTER INSERT ON a FOR EACH ROW INSERT INTO b VALUES (NEW.id, NULL)
INSERT INTO a (id) VALUES (77)
DROP TRIGGER g
CREATE FUNCTION f() RETURNS int MODIFIES SQL DATA BEGIN DELETE FROM c; RETURN 1; END
UPDATE b SET n = f()
DROP FUNCTION f
DROP TABLE c
TRUNCATE b""".splitlines()


def test_F97_after_each_statement_the_rows_are_those_of_a_whole_reading(either):
    execute(either, "SET GLOBAL log_bin_trust_function_creators = 1")
    for table in "ab":
        execute(
            either,
            f"CREATE TABLE {table} (id int PRIMARY KEY, n int)",
            f"INSERT INTO {table} VALUES (1, 1), (2, 2)",
        )
    database = MySQL(URL.create("mysql", **{
        ours: either.parameters[theirs]
        for ours, theirs in [("host", "host"), ("username", "user"), ("password", "password"), ("database", "database")]
    }, port=int(either.parameters["port"])))  # fmt: skip
    counts = database.counts()
    rows = RowsFollowed(database, database.contents(counts), counts, frozenset())
    last, known = database.schema(), 0
    with database.schema_reader() as reader, either.session() as cursor:
        for statement in ROWS:
            cursor.execute(statement)
            written = reader.written(last, [statement])
            known += written is not None
            rows.note(written)
            assert rows.look() == database.contents(database.counts()), statement
            last = database.schema()
    assert known == 8, "the others may write elsewhere"


def test_F97_a_whole_reading_where_the_server_calls_a_table_otherwise(access):
    """As with lower_case_table_names: the name in the statement is not the one in the catalog."""
    execute(access, "CREATE TABLE t (id int)")
    with changes.schema_reader(access) as reader:
        assert "table t" in reader.read({}, ["CREATE TABLE T (id int)"])


def test_F97_an_overlooked_change_is_rehearsed_again_with_whole_readings(mysql_url, tmp_path, monkeypatch):
    project = new_project(tmp_path / "project", revisions=False)
    project.environ["DATABASE_URL"] = mysql_url.render_as_string(hide_password=False)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\nscratch = "server"\n')
    project.revision("0001", None, 'op.create_table("a", sa.Column("id", sa.Integer))', 'op.drop_table("a")')

    def points(report):
        assert report.exit_code == 0
        return [point.delta for point in report.evidence.commit_points]

    right = points(project.gate("dry-run"))
    monkeypatch.setattr(changes, "changed_tables", lambda _statement, _database: frozenset())
    assert points(project.gate("dry-run")) == right
    assert any("table a" in delta for delta in right)
