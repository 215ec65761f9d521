"""What came of comparing: equal is what has nothing wrong, and two comparisons together lose nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.model import Comparison

WORDS = st.lists(st.sampled_from(["heads", "schema", "rows of users"]), max_size=3).map(tuple)
COMPARISONS = st.builds(Comparison, compared=WORDS, wrong=WORDS, exceptions=WORDS, not_compared=WORDS)


@pytest.mark.parametrize(
    ("found", "equal"),
    [
        (Comparison(), True),
        (Comparison(exceptions=("a default is spelled otherwise",)), True),
        (Comparison(not_compared=("rows of big: too many to read",)), True),
        (Comparison(compared=("heads",), wrong=("table users is gone",)), False),
    ],
)
def test_only_what_is_wrong_is_not_equal(found, equal):
    assert found.equal is equal


@given(COMPARISONS, COMPARISONS)
def test_both_together(first, second):
    both = first.plus(second)
    for part in ("compared", "wrong", "exceptions", "not_compared"):
        assert getattr(both, part) == getattr(first, part) + getattr(second, part)
    assert both.equal == (first.equal and second.equal)
    assert first.plus(Comparison()) == Comparison().plus(first) == first
