"""What a downgrade leaves otherwise than it was, from runs that passed there; and what else leads back."""

from types import SimpleNamespace

import pytest
from ledger_support import a_plan, a_run, ledger, some_evidence, url

from ci_migrate.model import (
    CommitPoint,
    Direction,
    Fingerprint,
    Outcome,
    PlannedContext,
    Schema,
    StageResult,
    TargetState,
    VersionTable,
)
from ci_migrate.run.ways_back import not_as_it_was, with_other_way

__all__ = ["ledger", "url"]

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)

R1: Schema = {"table users": "one"}
R2: Schema = {"table users": "two", "table notes": "n"}
R3: Schema = {**R2, "index ix": "i"}


def plan(*ways: tuple[str, str], **more):
    contexts = tuple(
        PlannedContext(
            version_table=VersionTable(), from_heads=(a,) if a else (), to_heads=(b,), revisions=()
        )
        for a, b in ways
    )
    return a_plan(contexts=contexts, **more)


def migrated(
    ledger, run_id: str, start: str, end: str, before: Schema, after: Schema, points=(), **more
) -> None:
    """A run from one revision to another, as its dry run saw it."""
    ledger.begin_run(a_run(run_id, plan=plan((start, end), **more)))
    evidence = some_evidence(
        before=Fingerprint.of(before), after=Fingerprint.of(after), commit_points=tuple(points)
    )
    result = StageResult(stage="dry-run", outcome=Outcome.PASSED, message="", evidence=evidence)
    ledger.record_stage(run_id, result)
    ledger.finish_run(run_id, exit_code=0, state=TargetState.MIGRATED)


def point(position: int, heads: str, before: Schema, after: Schema, *, complete: bool = True) -> CommitPoint:
    old, new = Fingerprint.of(before).objects, Fingerprint.of(after).objects
    changed = {name: new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    return CommitPoint(position=position, context=0, revision=heads, complete=complete, statements=position,
                       heads=((heads,),), delta=changed)  # fmt: skip


@pytest.fixture
def left(ledger):
    """What a downgrade to r1 leaves that led from one schema to another."""

    def look(before: Schema, now: Schema) -> list[str]:
        database = SimpleNamespace(identity=lambda: a_plan().identity)
        run = SimpleNamespace(ledger=ledger, database=database)
        back = plan(("r3", "r1"), direction=Direction.DOWNGRADE)
        return not_as_it_was(run, back, Fingerprint.of(before), now)

    return look


def test_a_downgrade_that_leads_back_leaves_nothing(ledger, left):
    migrated(ledger, "run-1", "r1", "r3", R1, R3)
    assert left(R3, R1) == []


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({**R1, "table notes": "n"}, ["table notes added, where `was` is run run-1"]),
        ({"table users": "two"}, ["table users changed, is two, where `was` is run run-1"]),
        ({}, ["table users removed, where `was` is run run-1"]),
    ],
)
def test_what_it_leaves_is_named_with_the_run_that_knew_better(ledger, left, now, words):
    points = [point(1, "r2", R1, R2), point(2, "r3", R2, R3)]
    migrated(ledger, "run-1", "r1", "r3", R1, R3, points)
    assert left(R3, now) == words


def test_what_others_made_meanwhile_is_their_own(ledger, left):
    migrated(ledger, "run-1", "r1", "r3", R1, R3, [point(1, "r3", R1, R3)])
    theirs = {"table theirs": "t"}
    assert left({**R3, **theirs}, {**R1, **theirs}) == []


def test_it_is_known_too_from_runs_that_only_passed_there(ledger, left):
    """One run came to r1 and went on; the next one went further."""
    old: Schema = {}
    migrated(ledger, "run-1", "", "r2", old, R2, [point(1, "r1", old, R1), point(2, "r2", R1, R2)])
    migrated(ledger, "run-2", "r2", "r3", R2, R3, [point(1, "r3", R2, R3)])
    assert left(R3, R1) == []
    assert left(R3, {**R1, "index ix": "i"}) == ["index ix added, where `was` is run run-1"]
    assert left(R3, R2) == [
        "table notes added, where `was` is run run-1",
        "table users changed, is two, where `was` is run run-1",
    ]


def test_a_commit_in_the_middle_of_a_revision_is_no_place_to_be(ledger, left):
    half = {**R1, "table half": "h"}
    migrated(ledger, "run-1", "", "r3", {}, R3, [
        point(1, "r1", {}, half, complete=False), point(2, "r1", half, R1), point(3, "r3", R1, R3)])  # fmt: skip
    assert left(R3, R1) == []


def test_where_another_way_led_there_nobody_knows(ledger, left):
    migrated(ledger, "run-1", "r1", "r3", R1, R3)
    migrated(ledger, "run-2", "r3", "r3", R3, R3, direction=Direction.STAMP)
    assert left(R3, R2) == []


@pytest.mark.parametrize(
    ("direction", "outcome"), [(Direction.UPGRADE, Outcome.FAILED), (Direction.DOWNGRADE, Outcome.PASSED)]
)
def test_only_a_downgrade_that_was_refused_names_another_way(direction, outcome, ledger):
    del ledger
    result = StageResult(stage="dry-run", outcome=outcome, message="said")
    assert with_other_way(None, a_plan(direction=direction), result) is result
