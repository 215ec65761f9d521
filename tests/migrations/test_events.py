"""What the child says is read as what it said; what it can't have said is no event."""

import msgspec
import pytest

from ci_migrate.migrations import events
from ci_migrate.migrations.events import AHEAD, ASKED, JOURNALLED, WireEvent, decoder, waits


def below(kind: type) -> set[type]:
    return {one for child in kind.__subclasses__() for one in (child, *below(child))}


def tag(kind: type) -> str:
    return str(kind.__struct_config__.tag)


def an_event(kind: type, **more) -> dict:
    """As the child writes one: each field without a default filled."""
    values = {int: 1, float: 0.5, str: "x", bool: True}
    found: dict = {"event": tag(kind)}
    for field in msgspec.structs.fields(kind):
        if field.required:
            text = str(field.type)
            found[field.name] = next((v for t, v in values.items() if field.type is t), None)
            if found[field.name] is None and "None" not in text:
                found[field.name] = {} if "dict" in text else []
    if kind is events.Context:
        found["table"] = {"name": "alembic_version", "schema": None, "database": "", "search_path": None}
    return {**found, **more}


def test_each_event_is_one_of_those_that_are_read():
    """One that is missing in the union would end a migration in its middle."""
    assert {tag(kind) for kind in below(WireEvent)} == {tag(kind) for kind in events.AnyEvent.__args__}


@pytest.mark.parametrize("kind", events.AnyEvent.__args__)
def test_each_event_is_known_by_its_tag_and_comes_back_as_it_was(kind):
    found = decoder.decode(msgspec.json.encode(an_event(kind)))
    assert type(found) is kind
    assert decoder.decode(msgspec.json.encode(found)) == found


@pytest.mark.parametrize("type_", events.AnyEvent.__args__)
def test_a_field_of_a_newer_child_is_no_trouble_and_a_field_that_is_missing_is(type_):
    """While a new version takes the place of the old one, the child that is run by its path may be the newer."""
    whole = an_event(type_)
    assert type(decoder.decode(msgspec.json.encode({**whole, "newInTheNextVersion": [1]}))) is type_
    for field in msgspec.structs.fields(type_):
        if field.required:
            less = {name: value for name, value in whole.items() if name != field.name}
            with pytest.raises(msgspec.ValidationError):
                decoder.decode(msgspec.json.encode(less))


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"event":"dreamt"}', b"{}", b'"hello"', b"Traceback (most recent"]
)
def test_what_is_no_event_is_none(line):
    with pytest.raises(msgspec.DecodeError):
        decoder.decode(line)


def test_the_child_waits_where_something_must_be_written_down_before_it_happens():
    for kind in events.AnyEvent.__args__:
        event = decoder.decode(msgspec.json.encode(an_event(kind)))
        assert waits(event) is (tag(kind) in ASKED), kind
        assert waits(event, AHEAD) is (tag(kind) in AHEAD), kind
        assert waits(event, JOURNALLED) is (tag(kind) in JOURNALLED), kind
        assert not waits(event, ())
    assert {"statement", "committing"} <= set(JOURNALLED), "what must be durable before it happens"
    assert "committed" in AHEAD
    assert "statement" not in AHEAD, "on a copy the child runs ahead"


def test_only_lock_timeouts_are_tried_again():
    """Not a failed serialization or a cancelled statement: there nobody's lock is in the way."""
    for state in ("40001", "57014", "SQLITE_CONSTRAINT", ""):
        assert state not in events.LOCK_TIMEOUT_STATES
    for state in ("55P03", "1205", "SQLITE_BUSY"):
        assert state in events.LOCK_TIMEOUT_STATES
