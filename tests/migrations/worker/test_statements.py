"""What statements are."""

import pytest

from ci_migrate.migrations.worker import statements


@pytest.mark.parametrize("sql", ["select a from b", " SELECT a\nFROM b", "show x", "PRAGMA table_info(x)", "explain select 1", "pragma foreign_keys"])  # fmt: skip
def test_what_only_reads(sql):
    assert statements.READS.match(sql)


@pytest.mark.parametrize(
    "sql",
    ["select a into b from c", "explain analyze delete from t", "EXPLAIN (ANALYZE) delete from t", "select setval('x', 1)",
     "pragma foreign_keys=off", "insert into a select b from c", "with x as (delete from a returning *) select * from x"],
)  # fmt: skip
def test_what_may_write(sql):
    assert not statements.READS.match(sql)


@pytest.mark.parametrize("sql", ["-- why\ncreate table t (id int)", "/* a */ /* b */ INSERT into t", "  drop table t", "do $$ $$"])  # fmt: skip
def test_what_is_held_back_while_reading(sql):
    assert statements.WRITES.match(sql)
