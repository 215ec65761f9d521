"""The form of a statement: what may differ between two rounds of a loop, and what may not."""

import pytest

from ci_migrate.migrations.worker.forms import creates_table, form, form_but_for_numbers
from ci_migrate.migrations.worker.tokens import MYSQL, POSTGRESQL, SQLITE, Dialect, tokens_of

ENGINES = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL}

SAME = {
    "a text": ("insert into t values ('a')", "insert into t values ('it''s; -- b')"),
    "a number": ("update t set a = 1", "update t set a = 2.5e10"),
    "a sign": ("update t set a = -1", "update t set a = 1"),
    "a sign in a list": ("insert into t values (-1, +2)", "insert into t values (1, 2)"),
    "nothing and something": ("insert into t values (null)", "insert into t values ('a')"),
    "yes and no": ("update t set a = true", "update t set a = false"),
    "white space": ("select  1\n from\tt", "select 1 from t"),
    "a comment": ("select /* one */ 1 from t", "select 2 from t -- two"),
    "more rows": ("insert into t values (1, 'a')", "insert into t values (1, 'a'), (2, 'b'), (3, 'c')"),
    "more values": ("delete from t where a in (1)", "delete from t where a in (1, 2, 3)"),
    "rows within": (
        "insert into t select * from (values (1, (2)))",
        "insert into t select * from (values (1, (2)), (3, (4)))",
    ),
    "the order of constraints": (
        "create table t (a int, check (a > 1), unique (a))",
        "create table t (a int, unique (a), check (a > 1))",
    ),
}
OTHER = {
    "a table": ("insert into t values (1)", "insert into u values (1)"),
    "a quoted name": ('select "a" from t', 'select "b" from t'),
    "a column": ("update t set a = 1", "update t set b = 1"),
    "an operator": ("delete from t where a = 1", "delete from t where a <> 1"),
    "a sum": ("update t set a = a - 1", "update t set a = a + 1"),
    "a function": ("insert into t values (now())", "insert into t values (1)"),
    "names in a list": ("select a from t", "select a, a from t"),
    "rows of names": ("insert into t values (a, b)", "insert into t values (a, b), (b, a)"),
    "the case of a word": ("select a from t", "select A from t"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", SAME)
def test_what_may_differ(what: str, engine: str) -> None:
    one, other = SAME[what]
    assert form(one, ENGINES[engine]) == form(other, ENGINES[engine])


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
@pytest.mark.parametrize("what", OTHER)
def test_what_may_not(what: str, engine: str) -> None:
    one, other = OTHER[what]
    assert form(one, ENGINES[engine]) != form(other, ENGINES[engine])


@pytest.mark.parametrize(
    ("dialect", "one", "other"),
    [
        (MYSQL, 'insert into t values ("a")', "insert into t values ('b')"),
        (MYSQL, "insert into t values ('it\\'s')", "insert into t values ('b')"),
        (MYSQL, "insert into t values (0xCAFE)", "insert into t values (1)"),
        (POSTGRESQL, "insert into t values (E'it\\'s')", "insert into t values ('b')"),
        (POSTGRESQL, "insert into t values ($$it's$$)", "insert into t values ($a$b$a$)"),
        (POSTGRESQL, "insert into t values (%(a)s)", "insert into t values ($1)"),
        (SQLITE, "insert into t values (?)", "insert into t values (:name)"),
        (SQLITE, "insert into t values (x'cafe')", "insert into t values ('a')"),
    ],
)
def test_values_as_each_engine_writes_them(dialect: Dialect, one: str, other: str) -> None:
    assert form(one, dialect) == form(other, dialect)


def test_double_quotes_are_names_where_the_session_says_so() -> None:
    ansi = MYSQL._replace(double_quotes=False)
    assert form('update t set a = "x"', MYSQL) == form('update t set a = "y"', MYSQL)
    assert form('update t set a = "x"', ansi) != form('update t set a = "y"', ansi)


def test_the_databases_own_name_is_no_difference() -> None:
    """A copy has another one than the target."""
    one, other = "alter database shop set work_mem = 1", 'alter database "ci_copy" set work_mem = 1'
    assert form(one, POSTGRESQL, ("shop",)) == form(other, POSTGRESQL, ("ci_copy",))
    assert form(one, POSTGRESQL, ("shop",)) != form(other, POSTGRESQL, ("shop",))
    assert form(one, POSTGRESQL) != form(other, POSTGRESQL)


def test_numbers_in_names_are_overlooked_if_they_are_long() -> None:
    def same(one: str, other: str) -> bool:
        return form_but_for_numbers(one) == form_but_for_numbers(other)

    assert same("create table old_20261130 (a int)", "create table old_20270101 (a int)")
    assert same("create table old_20261130_112233 (a int)", "create table old_20270101_000000 (a int)")
    assert same("create table `t_3f2a9c0d1e4b` (a int)", "create table `t_0123456789ab` (a int)")
    assert not same("create table t1 (a int)", "create table t2 (a int)")
    assert not same("create table users_2026 (a int)", "create table users_2027 (a int)")
    assert form("create table old_20261130 (a int)", MYSQL) != form(
        "create table old_20270101 (a int)", MYSQL
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("create table t (a int)", True),
        ("/* a */ CREATE TEMPORARY TABLE t (a int)", True),
        ("create or replace table t (a int)", True),
        ("create unlogged table t (a int)", True),
        ("create index i on t (a)", False),
        ("create or replace view v as table t", False),
        ("alter table t add a int", False),
        ("'create table'", False),
        ("create", False),
        ("", False),
    ],
)
def test_which_statements_make_a_table(sql: str, expected: bool) -> None:
    assert creates_table(tokens_of(sql, MYSQL)) is expected


def test_a_loop_in_one_statement_is_folded_in_time() -> None:
    """100,000 rows: their number is no square of work."""
    row = "(1, 'a')"
    many = "insert into t values " + ", ".join([row] * 20_000)
    assert form(many, SQLITE) == form(f"insert into t values {row}", SQLITE)
