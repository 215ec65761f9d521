"""What statements do to tables."""

import pytest

from ci_migrate.databases.effects import (
    dropped_columns,
    means,
    renamed_columns,
    renames,
    set_columns,
    takes_rows,
    updates_rows_of,
)
from ci_migrate.databases.statements import actions_in
from ci_migrate.migrations.worker.tokens import MYSQL, POSTGRESQL, SQLITE


@pytest.mark.parametrize(
    ("written", "key", "same"),
    [
        (("t",), "t", True),
        (("T",), "public.t", True),
        (("public", "t"), "public.t", True),
        (("shop", "t"), "t", True),  # MySQL's database
        (("other", "t"), "public.t", False),
        (("u",), "public.t", False),
        (("My T",), 'public."My T"', True),
        (("My T",), "My T", True),
        (("o.d",), "o.d", True),
        (("t",), "@stats.t", True),
        ((), "t", False),
    ],
)
def test_a_name_in_sql_means_a_table(written, key, same):
    assert means(written, key) is same


@pytest.mark.parametrize(
    ("sql", "pairs"),
    [
        ("ALTER TABLE a RENAME TO b", [("a", "b")]),
        ("ALTER TABLE a ADD c int, RENAME AS `b c`", [("a", "b c")]),
        ("ALTER TABLE a RENAME b", [("a", "b")]),
        ("ALTER TABLE a RENAME COLUMN b TO c, RENAME INDEX d TO e", []),
        ("ALTER TABLE a RENAME b TO c", []),
        ("RENAME TABLE a TO old, new TO a", [("a", "old"), ("new", "a")]),
        ("ALTER TABLE a COMMENT 'RENAME TO b'", []),
        ("ALTER TABLE a NOWAIT RENAME TO b", [("a", "b")]),
        ("ALTER ONLINE IGNORE TABLE IF EXISTS a WAIT 5 ADD c int, RENAME b", [("a", "b")]),
        ("RENAME TABLE IF EXISTS a NOWAIT TO b, c WAIT 5 TO d", [("a", "b"), ("c", "d")]),
    ],
)
def test_renames(sql, pairs):
    (action,) = actions_in(sql, MYSQL)
    assert renames(action) == [((old,), (new,)) for old, new in pairs]


def test_a_table_that_is_moved_has_another_name():
    (action,) = actions_in('ALTER TABLE public.a SET SCHEMA "The archive"', POSTGRESQL)
    assert renames(action) == [(("public", "a"), ("The archive", "a"))]


@pytest.mark.parametrize(
    ("sql", "takes"),
    [
        ("DELETE FROM t", True),
        ("REPLACE INTO t VALUES (1)", True),
        ("CREATE OR REPLACE TABLE t (id int)", True),
        ("ALTER TABLE t DROP PARTITION p", True),
        ("ALTER TABLE t DROP COLUMN a", False),
        ("INSERT INTO t VALUES (1)", False),
        ("CREATE TABLE t (a int REFERENCES u (id) ON DELETE CASCADE)", False),
    ],
)
def test_who_takes_rows(sql, takes):
    (action,) = actions_in(sql, MYSQL)
    assert takes_rows(action) is takes


def test_sqlite_replaces_rows():
    (action,) = actions_in("INSERT OR REPLACE INTO t VALUES (1)", SQLITE)
    assert takes_rows(action)


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("ALTER TABLE t DROP a", ["a"]),
        ("ALTER TABLE t NOWAIT DROP a", ["a"]),
        ("ALTER TABLE t DROP COLUMN IF EXISTS `a b`, ADD DROP_ int, DROP c", ["a b", "c"]),
        ("ALTER TABLE t DROP CONSTRAINT a, DROP INDEX b, DROP PRIMARY KEY", []),
        ("ALTER TABLE t RENAME COLUMN a TO b", []),
    ],
)
def test_columns_that_go(sql, columns):
    (action,) = actions_in(sql, MYSQL)
    assert dropped_columns(action) == columns


@pytest.mark.parametrize(
    ("sql", "pairs"),
    [
        ("ALTER TABLE t RENAME COLUMN a TO `b c`, RENAME d TO e", [("a", "b c"), ("d", "e")]),
        ("ALTER TABLE t WAIT 5 CHANGE COLUMN IF EXISTS a b int", [("a", "b")]),
        ("ALTER TABLE t CHANGE a A bigint, MODIFY b int", []),
        ("ALTER TABLE t RENAME TO u", []),
        ("ALTER TABLE t RENAME INDEX a TO b, RENAME CONSTRAINT c TO d", []),
    ],
)
def test_columns_that_get_another_name(sql, pairs):
    (action,) = actions_in(sql, MYSQL)
    assert renamed_columns(action) == pairs


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ('UPDATE t SET a = 1, "b c" = (SELECT x, y FROM z) WHERE d = 1', ["a", "b c"]),
        ("UPDATE t SET a = b IS DISTINCT FROM c, d = 2 FROM u, v", ["a", "d"]),
        ("UPDATE t SET (a, b) = (1, 2)", []),
        ("UPDATE t AS x SET a = 'b = 1, c = 2'", ["a"]),
        ("DELETE FROM t", []),
    ],
)
def test_columns_that_an_update_sets(sql, columns):
    (action,) = actions_in(sql, POSTGRESQL)
    assert set_columns(action) == columns


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("UPDATE a SET x = 1", ["a"]),
        ("UPDATE a JOIN b USING (id) SET a.x = b.x", ["a"]),
        ("UPDATE shop.users AS u, b SET u.x = 1, u.y = b.y", ["users"]),
        ("UPDATE users u JOIN shop.b ON true SET shop.b.x = 1", ["b"]),
        ("UPDATE a JOIN b USING (id) SET a.x = 1, b.y = 2", ["a", "b"]),
        ("UPDATE a JOIN b USING (id) SET x = 1", ["a", "b"]),  # nobody knows whose it is
        ("DELETE x FROM a AS x JOIN b ON true", ["a"]),
        ("INSERT INTO a SELECT * FROM b", []),
        ("DROP TABLE a", []),
    ],
)
def test_whose_rows_change(sql, tables):
    (action,) = actions_in(sql, MYSQL)
    assert [name[-1] for name in updates_rows_of(action)] == tables
