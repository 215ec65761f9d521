"""A permit is made by the door alone, for these subjects alone."""

import dataclasses

import pytest
from permits import permit

from ci_migrate.errors import RefusedError
from ci_migrate.model import Permit, Purpose, repair_subject


def test_nobody_else_makes_one():
    for seal in (None, object(), "SEAL"):
        with pytest.raises(TypeError, match=r"made by ci_migrate\.run\.authorization alone"):
            Permit("run-1", Purpose.RESTORE, ("b1",), seal=seal)
    with pytest.raises(TypeError, match="alone"):
        Permit("run-1", Purpose.RESTORE, ("b1",))


def test_a_permit_can_not_be_made_wider():
    mine = permit(Purpose.RESTORE, "b1")
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(mine, subjects=("b1", "b2"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        mine.subjects = ("b1", "b2")


@pytest.mark.parametrize(
    ("purposes", "subject", "allowed"),
    [
        ((Purpose.RESTORE,), "b1", True),
        ((Purpose.REPAIR, Purpose.RESTORE), "b2", True),
        ((Purpose.RESTORE,), "b", False),  # no part of a name
        ((Purpose.RESTORE,), "", False),
        ((Purpose.REMOVAL,), "b1", False),
        ((Purpose.REMOVAL, Purpose.UPGRADE), "b1", False),
    ],
)
def test_a_permit_is_for_its_purpose_and_its_subjects(purposes, subject, allowed):
    mine = permit(Purpose.RESTORE, "b1", "b2")
    if allowed:
        mine.require(*purposes, subject=subject)
        return
    with pytest.raises(RefusedError) as caught:
        mine.require(*purposes, subject=subject)
    assert caught.value.what == f"Permitted is restore of b1, b2, not {purposes[0].value} of {subject}."
    assert caught.value.exit_code == 1


def test_a_refusal_is_short_however_much_was_permitted():
    with pytest.raises(RefusedError) as caught:
        permit(Purpose.REMOVAL, *(f"backup_{n}" for n in range(500))).require(
            Purpose.REMOVAL, subject="x" * 900
        )
    assert len(caught.value.what) < 500


def test_a_permit_of_nothing_allows_nothing():
    with pytest.raises(RefusedError):
        permit(Purpose.UPGRADE).require(Purpose.UPGRADE, subject="")


def test_the_audit_trail_gets_the_approval_where_there_is_one():
    assert permit(Purpose.STAMP, "r1").approval_id is None
    assert permit(Purpose.STAMP, "r1", approval_id="a-1").approval_id == "a-1"


@pytest.mark.parametrize(
    ("way", "subject"), [("", "run-1 proof"), ("back", "run-1 back"), ("forward", "run-1 forward")]
)
def test_a_repair_is_about_a_run_and_a_way(way, subject):
    """A permit to lead a run back is none to run what is left of it."""
    assert repair_subject("run-1", way) == subject
