"""What a statement is, and which tables it names, however it is written."""

import pytest

from ci_migrate.databases.statements import (
    SHORT,
    Verb,
    actions_in,
    actions_within,
    first_word,
    read_alike,
    within,
)
from ci_migrate.migrations.worker.tokens import MYSQL, POSTGRESQL, SQLITE, dialect_of


def read(sql, dialect=MYSQL):
    return [
        (action.verb.value, [".".join(name) for name in action.tables]) for action in actions_in(sql, dialect)
    ]


@pytest.mark.parametrize(
    ("sql", "verb", "tables"),
    [
        ("create table if not exists t (id int)", "create table", ["t"]),
        ("CREATE TEMP TABLE t (id int)", "create table", ["t"]),
        ("CREATE /* x */ TABLE -- y\n `my ``t` (id int)", "create table", ["my `t"]),
        ("/*!50001 CREATE TABLE */ `a` . `b` (id int)", "create table", ["a.b"]),
        ("DROP TABLE IF EXISTS a, `b c` CASCADE", "drop table", ["a", "b c"]),
        ("alter ignore table if exists t add a int", "alter table", ["t"]),
        ("RENAME TABLE a TO b, c TO d", "rename table", ["a", "c"]),
        ("OPTIMIZE NO_WRITE_TO_BINLOG TABLE a", "optimize table", ["a"]),
        ("CREATE UNIQUE INDEX `on` ON t (a)", "create index", ["t"]),
        ("CREATE INDEX i USING BTREE ON t (a)", "create index", ["t"]),
        ("DROP INDEX `ON t` ON u", "drop index", ["u"]),
        ("TRUNCATE t", "truncate", ["t"]),
        ("DELETE FROM t WHERE a = 'DROP TABLE u'", "delete", ["t"]),
        ("DELETE a FROM users AS a JOIN b ON a.id = b.id", "delete", ["users"]),
        ("DELETE `a`.* FROM shop . users a, b", "delete", ["shop.users"]),
        ("INSERT IGNORE INTO `insert`(a) VALUES (1)", "insert", ["insert"]),
        ("REPLACE t VALUES (1)", "replace", ["t"]),
        ("UPDATE a JOIN b USING (id), c SET a.x = 1", "update", ["a", "b", "c"]),
        ("LOAD DATA INFILE 'x' INTO TABLE t", "copy", ["t"]),
        ('ALTER TABLE "t" ADD a int', "alter table", ["t"]),  # with ANSI_QUOTES; else the server refuses it
        ("ALTER VIEW v AS SELECT 1", "other", []),
        ("DROP VIEW t", "other", []),
        ("CREATE VIEW v AS SELECT 'CREATE TABLE t'", "other", []),
    ],
)
def test_one_statement(sql, verb, tables):
    assert read(sql) == [(verb, tables)]


@pytest.mark.parametrize(
    ("sql", "verb", "tables"),
    [
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY s.t (a)", "create index", ["s.t"]),
        ("CREATE INDEX ON t (a)", "create index", ["t"]),
        ("TRUNCATE TABLE ONLY a, b * RESTART IDENTITY", "truncate", ["a", "b"]),
        ('DELETE FROM ONLY "A b" . "c" USING d', "delete", ["A b.c"]),
        ("MERGE INTO t USING s ON a = b WHEN MATCHED THEN DELETE", "merge", ["t"]),
        ("COPY t (a) FROM STDIN", "copy", ["t"]),
        ("ALTER TABLE IF EXISTS ONLY t * ADD a int", "alter table", ["t"]),
    ],
)
def test_one_statement_of_postgresql(sql, verb, tables):
    assert read(sql, POSTGRESQL) == [(verb, tables)]


@pytest.mark.parametrize(
    ("sql", "verb", "tables"),
    [
        ("INSERT OR REPLACE INTO [a b] VALUES (1)", "insert", ["a b"]),
        ("CREATE TABLE 'odd' (id)", "create table", ["odd"]),
        ("CREATE VIRTUAL TABLE f USING fts5(a)", "create table", ["f"]),
    ],
)
def test_one_statement_of_sqlite(sql, verb, tables):
    assert read(sql, SQLITE) == [(verb, tables)]


BODY = "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM u; UPDATE t SET a = CASE WHEN b THEN 1 END; END"


def test_statements_end_at_semicolons_but_not_within_a_program():
    assert read(f"{BODY}; DELETE FROM t; -- ;\n", SQLITE) == [("other", []), ("delete", ["t"])]
    assert read("INSERT INTO t VALUES (';'); TRUNCATE u;") == [("insert", ["t"]), ("truncate", ["u"])]
    assert read("CREATE TABLE event (id int, begin int); DELETE FROM t") == [
        ("create table", ["event"]),
        ("delete", ["t"]),
    ]
    assert read("CREATE FUNCTION f() RETURNS int AS $x$ DELETE FROM u; $x$; DELETE FROM t", POSTGRESQL) == [
        ("other", []),
        ("delete", ["t"]),
    ]


@pytest.mark.parametrize(
    ("sql", "deletes"),
    [
        ("DO $$ BEGIN IF true THEN DELETE FROM t; END IF; END $$", True),
        ("DO $a$ BEGIN EXECUTE 'x'; EXECUTE $b$ DELETE FROM t $b$; END $a$", True),
        ("DO 'BEGIN DELETE FROM t; END'", True),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT 1", True),
        ("WITH x AS (SELECT 1) DELETE FROM t", True),
        ("DO $$ BEGIN RAISE NOTICE 'DELETE FROM t'; -- DELETE FROM t\n END $$", False),
        ("CREATE TABLE u (t int REFERENCES t ON DELETE CASCADE)", False),
        ("COMMENT ON TABLE t IS $$ DELETE FROM t $$", False),
    ],
)
def test_what_stands_inside(sql, deletes):
    found = [a for a in actions_within(sql, POSTGRESQL) if a.verb is Verb.DELETE]
    assert [a.tables for a in found] == [(("t",),)] * deletes


def test_words_of_a_program_are_words_and_those_of_a_text_are_none():
    assert "SETVAL" in within("DO $$ BEGIN PERFORM setval('s', 1); END $$", POSTGRESQL).words
    found = within("UPDATE t SET a = 'setval', \"My setval\" = 1 -- restart", POSTGRESQL)
    assert found.words == {"UPDATE", "T", "SET", "A"}
    assert found.names == {"update", "t", "set", "a", "my setval"}


@pytest.mark.parametrize(
    ("sql", "engine", "verbs"),
    [
        ("UPDATE t SET a = 'it''s'", "mysql", [Verb.UPDATE]),
        ("UPDATE t SET a = 'x\\'; DELETE FROM u; --'", "postgresql", None),
        ("UPDATE t SET a = 'x\\'; DELETE FROM u; -- '", "mysql", None),
        ("UPDATE t SET a = 'x\\'; DELETE FROM u; --'", "sqlite", [Verb.UPDATE, Verb.DELETE]),
        ("UPDATE t SET a = 'it\\'s'", "postgresql", [Verb.UPDATE]),  # else it would have no end
        ("/*!99999 DROP TABLE t */", "mariadb", None),
        ("UPDATE t SET a = 'never ended", "sqlite", None),
    ],
)
def test_what_is_told_however_the_server_is_set(sql, engine, verbs):
    assert read_alike(sql, engine, lambda actions: [a.verb for a in actions]) == verbs


@pytest.mark.parametrize(
    ("sql", "engine", "word"),
    [
        ("/* app=shop */ alter table t", "postgresql", "ALTER"),
        ("/* a /* b */ c */ -- d\n SET x = 1", "postgresql", "SET"),
        ("# x\n/*!40101 SET NAMES utf8 */", "mariadb", "SET"),
        ("/*!40101 SET NAMES utf8 */", "sqlite", ""),
        ("(SELECT 1)", "postgresql", ""),
        ("'SET'", "sqlite", ""),
    ],
)
def test_the_word_that_a_statement_begins_with(sql, engine, word):
    assert first_word(sql, engine) == word


@pytest.mark.parametrize(
    "sql", ["", ";", "DROP", "DROP TABLE", "UPDATE", "DELETE", "ALTER TABLE", "''", "WITH", "((", "a.b.c"]
)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "mysql"])
def test_no_text_raises(sql, engine):
    assert isinstance(list(actions_within(sql, dialect_of(engine))), list)


@pytest.mark.parametrize(
    ("engine", "dialect"),
    [
        ("sqlite", SQLITE),
        ("postgresql", POSTGRESQL),
        ("mysql", MYSQL),
        ("mariadb", MYSQL),
        ("postgresql (2 databases)", POSTGRESQL),
        ("sqlite (3 databases)", SQLITE),
    ],
)
def test_an_engine_by_each_of_its_names(engine, dialect):
    assert dialect_of(engine) == dialect


@pytest.mark.parametrize("engine", ["", "oracle", "PostgreSQL"])
def test_an_engine_that_is_not_known_is_not_guessed(engine):
    with pytest.raises(ValueError, match="can't be read"):
        dialect_of(engine)


def test_a_short_text_is_read_once_for_all_checks():
    insert = "INSERT INTO t VALUES ('{}')"
    assert actions_within(insert.format("a"), SQLITE) is actions_within(insert.format("a"), SQLITE)
    assert within(insert.format("a"), SQLITE) is within(insert.format("a"), SQLITE)
    long = insert.format("a" * SHORT)
    assert actions_within(long, SQLITE) is not actions_within(long, SQLITE), "it would take its memory"
    assert within(long, SQLITE) is not within(long, SQLITE)
