"""Definitions that changed, in words, as each engine writes them."""

import re

import pytest

from ci_migrate.schema_text import describe_change


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("VARCHAR(255)", "VARCHAR(64)", "type was VARCHAR(255), is VARCHAR(64)"),
        ("character varying(255) not null", "text", "type was character varying(255), is text, can be NULL now"),
        ("int(11)", "int(11) NOT NULL", "can't be NULL any more"),
        ("int default 1", "int default 2", "default 1 became default 2"),
        ("int", "int DEFAULT ('not null (')", "DEFAULT ('not null (') is new"),
        ("text default 'a default b' collate c", "text collate c", "default 'a default b' is gone"),
        ("numeric(10,2)", "numeric(10,3) generated always as (a + (b * 2)) stored",
         "type was numeric(10,2), is numeric(10,3), generated always as (a + (b * 2)) stored is new"),
        ("a b", "b a", "type was a b, is b a"),
    ],
)  # fmt: skip
def test_columns(before, after, words):
    assert describe_change("column users.email", before, after) == f"column users.email: {words}"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("timestamp without time zone", "timestamp with time zone",
         "type was timestamp without time zone, is timestamp with time zone"),
        ("time(3) WITH TIME ZONE NOT NULL", "time(3) NOT NULL", "type was time(3) WITH TIME ZONE, is time(3)"),
        ("timestamp with time zone", "timestamp with time zone default now()", "default now() is new"),
        ("timestamp with local time zone", "date", "type was timestamp with local time zone, is date"),
        ("int", "int WITHOUT SYSTEM VERSIONING", "type was int, is int WITHOUT SYSTEM VERSIONING"),
        ("int", "int WITH SYSTEM VERSIONING", "WITH SYSTEM VERSIONING is new"),
        # of PostgreSQL, whose types may be called so
        ("statistics", "comment not null", "type was statistics, is comment, can't be NULL any more"),
    ],
)  # fmt: skip
def test_F72_what_belongs_to_a_type_is_no_attribute(before, after, words):
    assert describe_change("column t.c", before, after) == f"column t.c: {words}"


def test_objects_that_came_and_went():
    assert describe_change("index ix", None, "INDEX (a)") == "index ix added"
    assert describe_change("index ix", "INDEX (a)", None) == "index ix removed"
    assert (
        describe_change("index ix", "INDEX (a)", "INDEX (a, b)") == "index ix: was INDEX (a), is INDEX (a, b)"
    )


def test_of_long_texts_only_where_they_differ_is_shown():
    long = " ".join(f"column_{n}" for n in range(200))
    found = describe_change("view v", long, long.replace("column_150", "other"))
    assert "..." in found
    assert "column_150" in found
    assert re.search(r"is \.\.\.\S+ column_148 column_149 other column_151", found)
    assert len(found) < 400


def test_a_difference_in_white_space_alone_is_still_told():
    assert describe_change("view v", "a  b", "a b") == "view v: a b is written with other white space"
