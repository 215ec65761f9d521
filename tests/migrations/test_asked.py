"""What SQL asks for, by its tokens."""

import pytest

from ci_migrate.migrations.asked import Asked, Asks, asked_in_sql
from ci_migrate.migrations.worker.tokens import MYSQL, POSTGRESQL, SQLITE


def told(sql: str, dialect=POSTGRESQL) -> list[tuple[str, str, str]]:
    return [(a.asks.value, a.table, a.column or a.name) for a in asked_in_sql(sql, 7, dialect)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("drop table users", [("drops-table", "users", "")]),
        ('DROP TABLE IF EXISTS app.users, "Old Ones" CASCADE', [("drops-table", "app.users", ""), ("drops-table", "Old Ones", "")]),
        ("truncate only a, b restart identity", [("empties", "a", ""), ("empties", "b", "")]),
        ("delete from users", [("empties", "users", "")]),
        ("delete from users -- where id = 1", [("empties", "users", "")]),
        ("delete from users where id = 1", [("deletes", "users", "")]),
        ("delete from users using gone where users.id = gone.id", [("deletes", "users", "")]),
        ("create table if not exists t (id int)", [("creates", "t", "")]),
        ("create temp table t as select 1", [("creates", "t", "")]),
        ("alter table a rename to b", [("renames", "a", "b")]),
        ("alter table a rename column x to y", []),
        ("alter table a drop column x, drop y", [("drops-column", "a", "x"), ("drops-column", "a", "y")]),
        ("alter table a drop constraint x, drop column if exists y", [("drops-column", "a", "y")]),
        ("alter table a alter column x drop not null", []),
        ("alter table a alter x set not null", [("sets-not-null", "a", "x")]),
        ("alter table a alter x set data type numeric(12, 2) using x::numeric", [("changes-type", "a", "x")]),
        ("create unique index i on only a (x)", [("adds-index", "a", "i")]),
        ("create index on a (x)", [("adds-index", "a", "")]),
        ("create index concurrently i on a (x)", []),
        ("alter table a add constraint f foreign key (x) references b (id)", [("adds-foreign-key", "a", "f")]),
        ("alter table a add constraint f foreign key (x) references b (id) not valid", []),
        ("alter table a add check (x > 0)", [("adds-check", "a", "")]),
        ("alter table a add constraint u unique using index i", []),
        ("alter table a add column x int", []),
        ("insert into notes values ('drop table users; truncate a')", []),
        ("/* drop table users; */ select 1; drop table b", [("drops-table", "b", "")]),
        ("do $$ begin delete from users; end $$", []),
        ("drop table t_…", [("drops-table", "", "")]),
        ("", []),
        (";;", []),
        ("drop", []),
        ("drop table", []),
        ("alter table", []),
        ("create index i", []),
    ],
)  # fmt: skip
def test_postgresql(sql: str, expected: list[tuple[str, str, str]]) -> None:
    assert told(sql) == expected


def test_each_dialect_by_its_own_quotes() -> None:
    assert told("ALTER TABLE `a b` MODIFY COLUMN `x` INT, CHANGE y z TEXT", MYSQL) == [
        ("changes-type", "a b", "x"),
        ("changes-type", "a b", "y"),
    ]
    assert told('INSERT INTO t VALUES ("; drop table users")', MYSQL) == []
    assert told("drop table [my table]", SQLITE) == [("drops-table", "my table", "")]
    assert told(r"insert into t values ('\'); drop table users; --')", MYSQL) == []


def test_the_line_is_the_callers() -> None:
    (found,) = asked_in_sql("drop table users", 7, SQLITE)
    assert found == Asked(Asks.DROPS_TABLE, 7, "users")
