"""What a dry run measured, and what the ledger keeps: read again as it was written, also by another version."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.model import (
    CommitPoint,
    EntryKind,
    Evidence,
    Fingerprint,
    JournalEntry,
    RunRecord,
    WayBack,
    canonical_json,
)


@pytest.mark.parametrize(
    ("found", "proven"),
    [
        (WayBack(tried=True, ran=True, same_schema=True, lossless=True), True),
        (WayBack(tried=False, ran=True, same_schema=True, lossless=True), False),
        (WayBack(tried=True, ran=False, same_schema=True, lossless=True), False),
        (WayBack(tried=True, ran=True, same_schema=False, lossless=True), False),
        (WayBack(tried=True, ran=True, same_schema=True, lossless=False), False),
        # nobody could tell whether rows are lost: that is not "none are lost"
        (WayBack(tried=True, ran=True, same_schema=True, lossless=None), False),
        (WayBack(tried=True), False),
    ],
)
def test_a_way_back_is_proven_by_all_of_it(found, proven):
    assert found.proven is proven


def test_commit_points_have_the_name_that_0_1_0_gave_them():
    empty = Fingerprint(objects={})
    point = CommitPoint(
        position=1, context=0, revision="r1", complete=True, statements=1, heads=(("r1",),), delta={}
    )
    text = canonical_json(
        Evidence(
            proven=True, before=empty, after=empty, way_back=WayBack(tried=False), commit_points=(point,)
        )
    )
    assert b'"rungs":[{' in text
    assert b"commitPoints" not in text
    assert msgspec.json.decode(text, type=Evidence).commit_points == (point,)


def test_an_object_that_is_gone_is_not_one_that_did_not_change():
    """In a delta None says that it is gone; left out it says that nothing happened to it."""
    point = CommitPoint(
        position=1, context=0, revision=None, complete=True, statements=1, heads=(), delta={"table a": None}
    )
    again = msgspec.json.decode(canonical_json(point), type=CommitPoint)
    assert again.delta == {"table a": None}
    assert again.changed is None, "not asked for; {} would say that no rows changed"


@pytest.mark.parametrize("changed", [None, {}])
def test_rows_that_nobody_asked_for_are_not_rows_that_did_not_change(changed):
    point = CommitPoint(
        position=1,
        context=0,
        revision=None,
        complete=False,
        statements=1,
        heads=(),
        delta={},
        changed=changed,
    )
    assert msgspec.json.decode(canonical_json(point), type=CommitPoint).changed == changed


ENTRIES = st.builds(
    JournalEntry,
    kind=st.sampled_from(EntryKind),
    position=st.integers(0, 2**53),
    context=st.integers(0, 9),
    revision=st.none() | st.text(max_size=9),
    rows=st.none() | st.integers(0, 2**53),
    note=st.text(max_size=20),
    at=st.datetimes(timezones=st.just(UTC)),
)


@given(ENTRIES)
def test_a_line_of_the_journal_is_read_as_it_was_written(entry):
    assert msgspec.json.decode(canonical_json(entry), type=JournalEntry) == entry


def test_a_kind_that_this_version_does_not_know_is_refused():
    """To pass over a line of the journal would be to take an unfinished statement for one that never was."""
    text = canonical_json(
        JournalEntry(kind=EntryKind.DONE, position=1, context=0, at=datetime(2026, 1, 1, tzinfo=UTC))
    )
    with pytest.raises(msgspec.ValidationError, match="kind"):
        msgspec.json.decode(text.replace(b'"done"', b'"compressed"'), type=JournalEntry)


def test_a_run_begins_without_an_end():
    begun = RunRecord(run_id="1", target="dev", command="run", started=datetime(2026, 1, 1, tzinfo=UTC))
    assert (begun.phase, begun.finished, begun.exit_code, begun.state, begun.needs_repair) == (
        "started", None, None, None, False,
    )  # fmt: skip
