"""The two column types of the ledger and its clock: the same on each engine, sortable, whatever a text holds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_support import a_plan, ledger, url
from sqlalchemy.dialects import sqlite

from ci_migrate.errors import LedgerError
from ci_migrate.ledger.tables import Packed, Utc, clock, printable, utc_text
from ci_migrate.model import Outcome, Plan, StageResult, canonical_json

__all__ = ["ledger", "url"]

DIALECT = sqlite.dialect()
TIMES = st.datetimes(
    min_value=datetime(1970, 1, 1), max_value=datetime(2999, 1, 1),  # noqa: DTZ001 - the zone is drawn beside
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-9, minutes=-30))]),
)  # fmt: skip
TEXTS = st.text(st.characters(codec=None), max_size=20)


@given(first=TIMES, second=TIMES)
def test_times_sort_as_texts_whatever_their_zone(first, second):
    """Engines compare them as texts, and the chain hashes the very text."""
    one, other = utc_text(first), utc_text(second)
    assert (one < other) == (first < second)
    assert len(one) == 32, "what the column holds"
    kept = Utc().process_result_value(Utc().process_bind_param(first, DIALECT), DIALECT)
    assert kept == first


@given(
    value=st.recursive(
        TEXTS | st.integers() | st.none(),
        lambda one: st.lists(one, max_size=2) | st.dictionaries(TEXTS, one, max_size=2),
        max_leaves=4,
    )
)
def test_what_is_printable_fits_into_json_and_is_said_once(value):
    found = printable(value)
    canonical_json(found)
    assert printable(found) == found
    if not any(0xD800 <= ord(c) <= 0xDFFF for c in str(value)) and "\\ud" not in repr(value):
        assert found == value, "what is whole stays as it is"


@given(message=TEXTS, details=TEXTS)
def test_a_noun_comes_back_as_it_was_or_readable(message, details):
    result = StageResult(stage="check", outcome=Outcome.PASSED, message=message, details=details)
    kept = Packed(StageResult)
    found = kept.process_result_value(kept.process_bind_param(result, DIALECT), DIALECT)
    assert (found.message, found.details) == (printable(message), printable(details))


def test_nothing_stays_nothing():
    for kind in (Utc(), Packed(Plan)):
        assert kind.process_bind_param(None, DIALECT) is None
        assert kind.process_result_value(None, DIALECT) is None


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_a_noun_that_was_cut_is_no_noun(cut, ledger):
    """A record of which a part is missing is told, and never read as a smaller one."""
    kept = Packed(Plan)
    whole = kept.process_bind_param(a_plan(), DIALECT)
    with pytest.raises(LedgerError, match="can't read"), ledger.reading():
        kept.process_result_value(whole[:cut], DIALECT)


def test_the_clock_goes_on_within_a_transaction(ledger):
    """PostgreSQL's now() stands still in one; expiry is judged in the one that waited for a lock."""
    with ledger.reading() as connection:
        first = clock(connection)
        while clock(connection) == first:
            pass
        assert first < clock(connection) < first + timedelta(minutes=1)
