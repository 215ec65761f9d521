"""Which repair fits, and what a person can type: whatever plugins bring, whoever asks to go forward."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from ci_migrate.model import Direction, NextCommand, Progress
from ci_migrate.repairs import BUILT_IN
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.choice import (
    describe_doing,
    explain_none,
    find_fitting,
    is_permitted,
    list_next_commands,
    list_repairs,
)


def repair(name: str, order: int, plan: str | None, approval: str = "", **more: Any) -> Repair:
    def mend(_context: Any) -> Repaired:
        raise AssertionError("nothing is mended to choose")

    return Repair(name, order, lambda _context: plan, mend, approval, **more)


def fails(_context: Any) -> Any:
    raise ValueError("a plugin's")


BROKEN = replace(repair("broken", 5, None), fits=fails, explain=fails, offer=fails)
UNDO = repair(
    "undo", 10, "drop what was added", "undo", offer=lambda _c: "ci-migrate x", explain=lambda _c: "U."
)
BACK = repair(
    "back", 20, "restore the backup", "restore", offer=lambda _c: NextCommand(command="ci-migrate y", why="b")
)
AHEAD = repair("ahead", 30, "run what is left", "forward")
PROVES = repair("proves", 1, "record it")


@dataclass
class OneRun:
    """What of a run is looked at."""

    repairs: tuple[Any, ...] = ()
    forward: bool = False
    told: list[str] = field(default_factory=list)
    settings: Any = field(default_factory=lambda: SimpleNamespace(target="shop"))

    def tell(self, words: str) -> None:
        self.told.append(words)


@dataclass
class OneContext:
    """What of a context is looked at."""

    run: OneRun
    foreign: tuple[str, ...] = ()
    found: Progress = Progress.COMMITTED
    direction: Direction = Direction.UPGRADE
    backup: Any = None
    evidence: Any = None

    def read_journal(self) -> list[Any]:
        return []

    @property
    def diagnosis(self) -> Any:
        return SimpleNamespace(foreign=self.foreign, found=self.found, commit_point=3)

    @property
    def plan(self) -> Any:
        contexts = (SimpleNamespace(to_heads=("r2", "r1")),)
        return SimpleNamespace(direction=self.direction, contexts=contexts)


def context(*repairs: Any, forward: bool = False, **more: Any) -> Any:
    return OneContext(OneRun(repairs, forward=forward), **more)


def names(found: list[tuple[Repair, str]]) -> list[str]:
    return [one.name for one, _ in found]


def commands(found: tuple[NextCommand, ...]) -> list[str]:
    return [one.command for one in found]


REPAIR = "ci-migrate repair --target shop"


def test_they_are_asked_in_their_order_and_then_by_name():
    later, same = repair("z", 10, "x"), repair("a", 10, "x")
    assert [one.name for one in list_repairs(context(BACK, later, same, UNDO).run)] == [
        "a",
        "undo",
        "z",
        "back",
    ]
    assert {one.name for one in list_repairs(context().run)} == {one.name for one in BUILT_IN}
    assert list_repairs(context("no repair", SimpleNamespace(name="x")).run) == []


def test_a_plugins_repair_that_raises_spoils_only_itself():
    asked = context(BROKEN, UNDO)
    assert names(find_fitting(asked)) == ["undo"]
    assert explain_none(asked) == "U."
    assert commands(list_next_commands(asked)) == [REPAIR, "ci-migrate x"]
    assert all(words == "the repair broken is left out: ValueError: a plugin's" for words in asked.run.told)
    assert asked.run.told


@pytest.mark.parametrize(
    ("forward", "fitting"), [(False, ["proves", "undo", "back", "ahead"]), (True, ["proves", "ahead"])]
)
def test_who_asks_to_go_forward_is_not_led_back(forward, fitting):
    assert names(find_fitting(context(AHEAD, BACK, UNDO, PROVES, forward=forward))) == fitting


def test_nothing_is_mended_over_what_somebody_else_changed():
    asked = context(PROVES, UNDO, BACK, AHEAD, foreign=("table x added",))
    assert find_fitting(asked) == []
    assert "nobody has accepted" in explain_none(asked)
    assert commands(list_next_commands(asked)) == ["ci-migrate repair --accept-foreign --target shop", REPAIR]


@pytest.mark.parametrize(
    ("ways", "permitted"),
    [
        (None, {"proves", "undo", "back", "ahead"}),
        (frozenset(), {"proves"}),
        (frozenset({"undo"}), {"proves", "undo"}),
        (frozenset({"restore", "forward"}), {"proves", "back", "ahead"}),
    ],
)
def test_only_the_ways_that_an_approval_names_are_taken(ways, permitted):
    assert {one.name for one in (PROVES, UNDO, BACK, AHEAD) if is_permitted(one, ways)} == permitted


def test_an_approval_binds_what_each_that_writes_would_do_and_from_where():
    asked = context(PROVES, UNDO, BACK)
    assert describe_doing(asked, find_fitting(asked)) == [
        "undo from commit point 3: drop what was added",
        "back from commit point 3: restore the backup",
    ]


def test_where_nothing_is_to_mend_the_repair_alone_is_named():
    for found in (Progress.NOT_STARTED, Progress.ROLLED_BACK, Progress.FINISHED):
        (only,) = list_next_commands(context(PROVES, UNDO, found=found))
        assert (only.command, only.why) == (REPAIR, "record it")


def test_where_nothing_fits_a_person_puts_it_right_and_then_repairs():
    found = list_next_commands(context(repair("none", 1, None, offer=lambda _c: "ci-migrate x")))
    assert commands(found) == ["ci-migrate x", REPAIR]
    assert "once the target is as it was before" in found[-1].why
    stamped = list_next_commands(context(repair("none", 1, None), direction=Direction.STAMP))
    assert commands(stamped) == ["alembic stamp --purge r1 r2", REPAIR]


def test_no_command_is_named_twice():
    """Two repairs may offer the same; the one that comes first leads on best."""
    twice = repair("twice", 15, None, offer=lambda _c: NextCommand(command="ci-migrate x", why="again"))
    found = list_next_commands(context(UNDO, twice, repair("nothing", 2, None)))
    assert commands(found) == [REPAIR, "ci-migrate x"]


def test_where_forward_failed_the_way_back_is_named_all_the_same():
    assert commands(list_next_commands(context(UNDO, forward=True))) == [REPAIR, "ci-migrate x"]
