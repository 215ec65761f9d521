"""Numbers, names and heads in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.model import list_some, name_some, plural, show_heads


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 revisions"),
        (1, "1 revision"),
        (-1, "-1 revisions"),
        (2, "2 revisions"),
        (1_234_567, "1,234,567 revisions"),
    ],
)
def test_only_one_is_singular(count, words):
    assert plural(count, "revision") == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, ""),
        (1, "t1"),
        (5, "t1, t2, t3, t4, t5"),
        (6, "t1, t2, t3, t4, t5 and 1 more"),
        (1_205, "t1, t2, t3, t4, t5 and 1,200 more"),
    ],
)
def test_of_many_names_the_first_are_told_and_the_rest_is_counted(number, words):
    assert name_some([f"t{n + 1}" for n in range(number)]) == words


def test_sentences_are_told_apart_from_their_commas():
    assert list_some(["a, b are gone", "c is new"]) == "a, b are gone; c is new"
    assert list_some([f"{n} is new" for n in range(7)], shown=2) == "0 is new; 1 is new; and 5 more"
    assert list_some([]) == ""


@given(st.lists(st.text("ab", min_size=1), max_size=12), st.integers(1, 8))
def test_what_is_told_and_what_is_counted_is_all(names, shown):
    told = name_some(names, shown)
    listed, _, more = told.partition(" and ")
    count = int(more.removesuffix(" more").replace(",", "")) if more else 0
    assert len([name for name in listed.split(", ") if name]) + count == len(names)


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        ((), "base"),
        (((),), "base"),
        ((("3f2a",),), "3f2a"),
        ((("3f2a", "77c1"),), "3f2a + 77c1"),
        ((("3f2a",), ()), "3f2a, base"),
        (((), ("77c1", "3f2a")), "base, 77c1 + 3f2a"),
        ((("r0",), ("r1",), ("r0",), ("r0",)), "r0 (3 version tables), r1"),
    ],
)
def test_heads_of_version_tables(heads, words):
    assert show_heads(heads) == words


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        ([], "base"), ([[]], "base"), ([["r1"]], "r1"), ([["r1", "r2"]], "r1 + r2"), ([["r1"], []], "r1, base"),
        ([[], ["b1", "b2"]], "base, b1 + b2"),
    ],
)  # fmt: skip
def test_heads_of_several_version_tables_and_of_none(heads, words):
    assert show_heads(heads) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_234_567, "1,234,567 rows")]
)
def test_counts_have_their_plural(count, words):
    assert plural(count, "row") == words
