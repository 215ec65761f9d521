"""Fingerprints: what differs between two is all that differs, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.model import (
    ColumnContent,
    Fingerprint,
    ObjectKind,
    Schema,
    SchemaChange,
    TableContent,
    delta,
    names_of,
    same_change,
    schema_changes,
    split_key,
)

OBJECTS = st.sampled_from(["table users", "table orders", "column users.email", "view v", "index ix"])
SCHEMAS = st.dictionaries(OBJECTS, st.sampled_from(["text", "integer", "varchar(64)", ""]))


def fingerprint(**objects: str) -> Fingerprint:
    return Fingerprint(objects=objects)


@given(SCHEMAS, SCHEMAS)
def test_a_delta_leads_from_one_to_the_other(before, after):
    start, end = Fingerprint.of(before), Fingerprint.of(after)
    found = delta(start, end)
    reached = {name: text for name, text in (start.objects | found).items() if text is not None}
    assert reached == end.objects
    assert {name for name, text in found.items() if text is None} == before.keys() - after.keys()
    assert found.keys() == {change.name for change in schema_changes(before, after)}


@given(SCHEMAS, SCHEMAS)
def test_two_schemas_are_equal_where_their_digests_are(before, after):
    assert (Fingerprint.of(before).digest == Fingerprint.of(after).digest) == (before == after)


@given(SCHEMAS)
def test_a_digest_does_not_depend_on_the_order_in_which_a_server_lists_objects(schema):
    backwards = dict(reversed(schema.items()))
    assert Fingerprint.of(backwards).digest == Fingerprint.of(schema).digest
    assert delta(Fingerprint.of(schema), Fingerprint.of(backwards)) == {}


def test_changes_are_sorted_and_say_what_came_went_and_became_otherwise():
    before: Schema = {"table b": "x", "column t.c": "varchar(9)", "view same": "select 1"}
    after: Schema = {"table a": "y", "column t.c": "text", "view same": "select 1"}
    assert schema_changes(before, after) == (
        SchemaChange(name="column t.c", before="varchar(9)", after="text"),
        SchemaChange(name="table a", before=None, after="y"),
        SchemaChange(name="table b", before="x", after=None),
    )
    assert [change.words for change in schema_changes(before, after)] == [
        "column t.c: type was varchar(9), is text",
        "table a added",
        "table b removed",
    ]


def test_an_empty_definition_is_one():
    """An engine that tells nothing of an object still tells that it is there."""
    (change,) = schema_changes({}, {"trigger t": ""})
    assert change.words == "trigger t added"


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("table users", ("table", "users")),
        ("column public.users.e mail", ("column", "public.users.e mail")),
        ("policy p on t", ("policy", "p on t")),
        ("odd", ("odd", "")),
        ("", ("", "")),
    ],
)
def test_kind_and_name(key, parts):
    assert split_key(key) == parts


def test_names_of_one_kind_only():
    keys = ["table a", "table a b", "column a.x", "tables z", "view a"]
    assert names_of(ObjectKind.TABLE, keys) == {"a", "a b"}
    assert names_of(ObjectKind.CONSTRAINT, keys) == set()


# ------------------------------------------------------------------ as the copy did

BEFORE = fingerprint(a="1", b="2")


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"a": "9", "c": "3"}, True),
        ({"a": "9"}, False),  # less than was rehearsed
        ({"a": "9", "c": "3", "d": "4"}, False),  # more
        ({"a": "8", "c": "3"}, False),  # otherwise
        ({"a": None, "c": "3"}, False),  # gone, where it was changed
    ],
)
def test_the_target_changed_as_the_copy_did(changed, same):
    assert same_change(changed, {"a": "9", "c": "3"}, BEFORE, BEFORE) is same


def test_what_differed_before_may_differ_after():
    """The restored copy spells a default otherwise than the target: nobody can say which text is right afterwards."""
    copy = fingerprint(a="1'", b="2")
    assert same_change({"a": "9'"}, {"a": "9"}, BEFORE, copy)
    assert not same_change({"b": "9'"}, {"b": "9"}, BEFORE, copy)
    assert not same_change({}, {"a": "9"}, BEFORE, copy), "whether it changed at all is still asked"


def test_a_change_of_the_copy_that_changed_nothing_is_no_change():
    assert same_change({}, {"a": "1"}, BEFORE, BEFORE)
    assert not same_change({}, {"a": None}, BEFORE, BEFORE)


@given(SCHEMAS, SCHEMAS)
def test_what_a_copy_did_is_what_the_same_target_does(before, after):
    start, end = Fingerprint.of(before), Fingerprint.of(after)
    changed = delta(start, end)
    assert same_change(changed, changed, start, start)
    if changed:
        assert not same_change({}, changed, start, start)


def test_two_tables_do_not_share_their_columns():
    """The default is a dict: of msgspec each value gets one of its own."""
    first, second = TableContent(rows=1), TableContent(rows=2)
    first.columns["name"] = ColumnContent(values=1)
    assert second.columns == {}
