"""What decides what a migration does: sets of it, put together and compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.model import Inputs

NAMES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"))
INPUTS = st.builds(Inputs, files=NAMES, distributions=NAMES, settings=NAMES)


@given(INPUTS, INPUTS)
def test_what_another_set_has_besides_makes_up_for_the_difference(first, second):
    both = first.plus(second)
    assert first.plus(both.beyond(first)) == first.plus(second.beyond(first)) == both
    assert second.beyond(both) == Inputs(), "where both name something, the other one counts"


@given(INPUTS, INPUTS)
def test_sets_that_do_not_differ_have_no_changes_and_one_digest(first, second):
    assert (first.changes_to(second) == []) == (first == second) == (first.digest == second.digest)


@given(INPUTS)
def test_nothing_is_added_by_nothing(inputs):
    assert inputs.plus(Inputs()) == Inputs().plus(inputs) == inputs
    assert inputs.beyond(inputs) == Inputs()
    assert inputs.beyond(Inputs()) == inputs


def test_nothing_has_no_digest_and_is_false():
    assert Inputs().digest == ""
    assert not Inputs()


@pytest.mark.parametrize("kind", ["files", "distributions", "settings"])
def test_one_of_any_kind_is_something(kind):
    some = Inputs(**{kind: {"a": ""}})
    assert some
    assert some.digest


def test_a_name_is_not_the_same_in_another_kind():
    assert Inputs(files={"a": "1"}).digest != Inputs(settings={"a": "1"}).digest
    assert Inputs(files={"a": "1"}).beyond(Inputs(settings={"a": "1"})) == Inputs(files={"a": "1"})


def test_files_can_be_left_out_and_nothing_else_is():
    some = Inputs(files={"a": "1", "b": "2"}, distributions={"a": "3"}, settings={"a": "4"})
    assert some.without_files(["a", "not there"]) == Inputs(
        files={"b": "2"}, distributions={"a": "3"}, settings={"a": "4"}
    )


def test_changes_in_words_sorted_by_name():
    before = Inputs(
        files={"models.py": "1", "gone.py": "1", "same.py": "1"},
        distributions={"alembic": "1.15", "old": "1"},
        settings={"x": "a"},
    )
    after = Inputs(
        files={"models.py": "2", "came.py": "1", "same.py": "1"},
        distributions={"alembic": "1.16", "python": "3.12"},
        settings={"x": "b"},
    )
    assert before.changes_to(after) == [
        "file came.py came in",
        "file gone.py is gone",
        "file models.py was changed",  # nobody reads two digests
        "distribution alembic was changed from 1.15 to 1.16",
        "distribution old is gone",
        "distribution python came in",
        "setting x was changed from a to b",
    ]


def test_an_empty_value_is_there():
    """A setting that is set to nothing is another one than a setting that is not set."""
    assert Inputs(settings={"x": ""}).changes_to(Inputs()) == ["setting x is gone"]
