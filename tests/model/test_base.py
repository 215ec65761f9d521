"""Canonical JSON, which digests are taken of, and JSON that somebody else wrote."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.model import (
    Comparison,
    Frozen,
    Identity,
    Inputs,
    canonical_json,
    decode_foreign,
    now,
    sha256_hex,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_canonical_json_of_dicts_is_what_any_other_program_writes_with_sorted_keys(value):
    assert json.loads(canonical_json(value)) == value
    ours = canonical_json(value).decode()
    # an escape is where writers are free: \\u007f stands as it is for both, a control character does not
    if ours.isascii() and ours.isprintable() and "\\" not in ours:
        assert ours == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@given(st.dictionaries(st.text("abc", min_size=1), st.text("xyz"), max_size=5))
def test_the_order_of_a_dict_changes_no_digest(files):
    backwards = dict(reversed(files.items()))
    assert Inputs(files=files).digest == Inputs(files=backwards).digest


def test_fields_stand_in_the_order_of_their_definition():
    """Who moves one in a class that digests are taken of makes approvals and manifests of before fit no more."""
    found = identity_of("b", "a")
    assert canonical_json(found) == b'{"dialect":"sqlite","place":"p","facts":{"a":"1","b":"1"}}'


def identity_of(*names: str) -> Identity:
    return Identity(facts=dict.fromkeys(names, "1"), place="p", dialect="sqlite")


def test_names_are_camel_case_and_no_default_is_left_out():
    """A reader of the JSON in another language need not know our defaults."""
    assert json.loads(canonical_json(Comparison(not_compared=("rows",)))) == {
        "compared": [],
        "wrong": [],
        "exceptions": [],
        "notCompared": ["rows"],
    }


def test_digests_are_the_ones_of_everybody():
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b'"text"',
        b'{"files": 3}',
        b'{"files": {"a": null}}',
        b'{"files": {"\xff": "a"}}',
        b'{"files": {"\\ud800": "a"}}',
        b'{"files": {}}x',
        b'{"x": ' * 100_000,
        b'{"x": ' + b"[" * 100_000,
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=range(12),
)
def test_whatever_somebody_wrote_ends_in_one_kind_of_error(text):
    with pytest.raises(msgspec.DecodeError):
        decode_foreign(text, Inputs)


def test_what_a_later_version_adds_is_passed_over():
    assert decode_foreign(b'{"files": {"a": "1"}, "ofVersion9": [1]}', Inputs) == Inputs(files={"a": "1"})


def test_a_value_without_what_it_needs_is_none():
    with pytest.raises(msgspec.DecodeError, match="missing required field `dialect`"):
        decode_foreign(b"{}", Identity)


def test_a_value_can_not_be_changed():
    value = Comparison(compared=("heads",))
    with pytest.raises(AttributeError):
        value.compared = ()
    with pytest.raises(TypeError):
        Comparison(("heads",))  # by name only: a field that is put between two others shifts none


def test_every_value_has_its_base():
    """Another base would write other names, or leave defaults out, and digests of old values would not fit."""
    from ci_migrate import model

    kinds = [
        kind for kind in vars(model).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    ]
    assert len(kinds) > 30
    for kind in kinds:
        assert issubclass(kind, Frozen)
        assert kind.__struct_config__.frozen, kind
        for field in msgspec.structs.fields(kind):
            assert "_" not in field.encode_name, (kind, field.encode_name)


def test_now_has_a_zone():
    """One without can't be compared with the times of the ledger."""
    assert now().utcoffset().total_seconds() == 0
