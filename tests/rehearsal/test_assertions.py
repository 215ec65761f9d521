"""Queries of the project's own: asked without a right to write, and what they find in texts is told to nobody."""

import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.rehearsal.assertions import MOST_ROWS, _found, holds, run_assertions
from ci_migrate.settings.kinds import Assertion

VALUES = st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.booleans()


@given(st.lists(st.lists(VALUES, min_size=1, max_size=3), max_size=4))
def test_what_is_expected_holds_for_itself_and_not_for_one_row_more(rows):
    assert holds(rows, [tuple(row) for row in rows])
    assert not holds(rows, [*(tuple(row) for row in rows), ("one more",)])
    if rows:
        assert not holds(rows, [tuple(row) for row in rows[:-1]])


@pytest.mark.parametrize(
    ("expect", "rows", "fits"),
    [
        (0.5, [(Decimal("0.5"),)], True),
        (1, [(1.0,)], True),
        (1, [(True,)], True),
        (1, [(math.nan,)], False),
        ("", [("",)], True),
        ("", [(None,)], False),
        ("1.50", [(Decimal("1.50"),)], True),
        ("2027-01-31 00:00:00+00:00", [(datetime(2027, 1, 31, tzinfo=UTC),)], True),
        ("x", [(b"x",)], False),
        ([["a"], ["b"]], [("b",), ("a",)], False),  # an order that is not asked for is not promised
        ([1], [(1, 2)], False),
        ([[]], [(1,)], False),
    ],
)
def test_values_of_engines(expect, rows, fits):
    assert holds(expect, rows) is fits


@pytest.mark.parametrize(
    ("expect", "rows", "words"),
    [
        (0, [(7,)], "7"),
        (0, [(Decimal("1.5"),)], "1.5"),
        (0, [(None,)], "NULL"),
        (0, [("ana@example.com",)], "another value"),
        (0, [(b"x",)], "another value"),
        (0, [], "no rows"),
        (0, [(1,), (2,)], "2 rows"),
        (0, [(1, 2)], "1 row"),
        ([], [("ana@example.com",)], "1 row"),
        (["a"], [("ana@example.com",)], "others"),
        ([], [(n,) for n in range(MOST_ROWS + 1)], f"more than {MOST_ROWS} rows"),
    ],
)
def test_what_was_found_tells_numbers_and_no_texts(expect, rows, words):
    assert _found(expect, rows) == words


# ------------------------------------------------------------------ asked of a database


class Asking:
    """As much of a run as an assertion needs."""

    def __init__(self, *assertions: Assertion) -> None:
        self.settings = self
        self.assertions = assertions
        self.assertion_timeout = 0.3
        self.show_values = False


@pytest.fixture
def copy(filled) -> SQLite:
    from sqlalchemy import URL

    return SQLite(URL.create("sqlite", database=str(filled.database)))


def ask(copy: SQLite, query: str, expect: object, when: str = "after") -> list[str]:
    return run_assertions(Asking(Assertion("a", query, expect, when)), copy, "after")


@pytest.mark.parametrize(
    ("query", "expect"),
    [
        ("select count(*) from users", 3),
        ("select count(*) from users;", 3),
        ("select count(*) from users -- all of them", 3),
        ("select name from users where email like '%x' order by id limit 1", "ana"),  # a percent sign is one
        ("select ':name', '?', '%(x)s'", [[":name", "?", "%(x)s"]]),
        ("with n as (select 1 as one) select one from n", 1),
        ("pragma user_version", 0),
    ],
)
def test_queries_that_hold(filled, copy, query, expect):
    assert ask(copy, query, expect) == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select 1 from nowhere", "the query fails: "),
        ("selct 1", "the query fails: "),
        ("insert into users values (7, 'x', 'x') returning id", "the query fails: "),
        ("update users set name = 'x'", "the query fails: "),
        ("drop table users", "the query fails: "),
        ("attach ':memory:' as other", ""),
        ("select 1; select 2", "the query fails: "),
        ("", "an assertion is a SELECT"),
        ("-- nothing", "an assertion is a SELECT"),
        ("begin", ""),
    ],
)
def test_what_is_no_query_fails_and_writes_nothing(filled, copy, query, words):
    before = filled.dump()
    (told,) = ask(copy, query, 1)
    assert told.startswith("a, after the migration: ")
    assert words in told
    assert told.endswith(".")
    assert not told.endswith("..")
    assert filled.dump() == before


def test_only_those_that_are_for_now_are_asked(copy):
    wrong = [Assertion(when, "select 1", 2, when) for when in ("before", "after", "both")]
    told = {when: run_assertions(Asking(*wrong), copy, when) for when in ("before", "after")}
    assert [words.partition(",")[0] for words in told["before"]] == ["before", "both"]
    assert [words.partition(",")[0] for words in told["after"]] == ["after", "both"]
    assert all(", before the migration: " in words for words in told["before"])


def test_one_that_fails_hinders_no_other(copy):
    asked = [Assertion("a", "selct", 1), Assertion("b", "select 1", 1), Assertion("c", "select 1", 2)]
    told = run_assertions(Asking(*asked), copy, "after")
    assert [words.partition(",")[0] for words in told] == ["a", "c"]


def test_an_answer_without_end_is_not_read_whole(copy):
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
    assert ask(copy, endless, [])[0].endswith("found more than 1000 rows.")
