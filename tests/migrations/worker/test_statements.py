"""What statements are."""

import pytest

from ci_migrate.migrations.worker import statements

ENGINES = ("sqlite", "postgresql", "mysql")


@pytest.mark.parametrize("sql", ["select a from b", " SELECT a\nFROM b", "show x", "PRAGMA table_info(x)", "explain select 1", "pragma foreign_keys"])  # fmt: skip
def test_what_only_reads(sql):
    assert any(statements.only_reads(sql, engine) for engine in ENGINES)


@pytest.mark.parametrize(
    "sql",
    ["SELECT count(*), coalesce(max(id), 0) FROM t WHERE a IN (1, 2) -- how; many\n;",
     "select pg_catalog.format_type(a.atttypid, a.atttypmod) from pg_catalog.pg_attribute a where (a.x = ';')",
     "SELECT x.id FROM (VALUES (1), (2)) AS x (id) WHERE name = 'it''s; DELETE FROM t'",
     "SELECT name FROM sqlite_master WHERE type='table';", 'PRAGMA main.index_info("x")', "SELECT * FROM pragma_table_info('x')",
     "SELECT a FROM t WHERE j #>> '{a}' = 'b'"],
)  # fmt: skip
def test_F21_what_is_known_to_read(sql):
    assert any(statements.only_reads(sql, engine) for engine in ENGINES)


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1 FROM t; DELETE FROM t", "SELECT 1 FROM t WHERE a = '\\'; DELETE FROM t; --'", "EXPLAIN SELECT 1; DROP TABLE t",
     "SELECT purge_old(30) FROM t", 'SELECT "Purge"(30) FROM t',
     "SHOW x; DELETE FROM t",
     "PRAGMA table_info(x); DELETE FROM t WHERE id IN (1)", "PRAGMA user_version(5)", "PRAGMA optimize",
     "SELECT setval('s', 9) FROM t", "SELECT lo_unlink(oid) FROM pg_largeobject_metadata", "SELECT app.f() FROM t"],
)  # fmt: skip
def test_F21_what_only_looks_like_reading(sql):
    assert not any(statements.only_reads(sql, engine) for engine in ENGINES)


@pytest.mark.parametrize(
    ("engine", "sql"),
    [("mysql", "SELECT 1 FROM t WHERE a = '\\''; DELETE FROM t; --'"), ("mysql", "SELECT 1 FROM t /*! ; DELETE FROM t */"),
     ("postgresql", "SELECT $$'$$; DELETE FROM t; --' FROM t"),
     ("postgresql", "SELECT a FROM t /* /* */ */ ; DELETE FROM t -- */"), ("mysql", "SELECT a FROM t # it's\n; DELETE FROM t -- '"),
     ("sqlite", "SELECT [it's] FROM t; DELETE FROM t -- '")],
)  # fmt: skip
def test_F60_what_only_looks_like_reading_on_one_engine(engine, sql):
    assert not statements.only_reads(sql, engine)


@pytest.mark.parametrize(
    "sql",
    ["select a into b from c", "explain analyze delete from t", "EXPLAIN (ANALYZE) delete from t", "select setval('x', 1)",
     "pragma foreign_keys=off", "insert into a select b from c", "with x as (delete from a returning *) select * from x"],
)  # fmt: skip
def test_what_may_write(sql):
    assert not any(statements.only_reads(sql, engine) for engine in ENGINES)


@pytest.mark.parametrize("sql", ["-- why\ncreate table t (id int)", "/* a */ /* b */ INSERT into t", "  drop table t", "do $$ $$"])  # fmt: skip
def test_what_is_held_back_while_reading(sql):
    assert statements.WRITES.match(sql)
