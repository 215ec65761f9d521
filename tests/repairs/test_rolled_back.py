"""Where nothing is left of a migration, or all of it: what is proved, and what is said where that can't be."""

from types import SimpleNamespace
from typing import Any

import pytest

from ci_migrate.model import Comparison, Progress, TargetState
from ci_migrate.repairs import downgrade, finished, rolled_back

EQUAL = Comparison(compared=("heads", "schema", "rows of 2 tables"))
WRONG = Comparison(wrong=("table a is gone", "table b is new", "table c is new", "table d is new"))


def context(found: Progress, as_before: Comparison = EQUAL, on_failure: str = "keep", **more: Any) -> Any:
    diagnosis = SimpleNamespace(found=found, words="3 statements were sent and rolled back", commit_point=1)
    settings = SimpleNamespace(on_failure=on_failure, target="shop")
    plan = SimpleNamespace(contexts=(SimpleNamespace(to_heads=("r2",)), SimpleNamespace(to_heads=())))
    fields = {"diagnosis": diagnosis, "as_before": as_before, "plan": plan, "run": SimpleNamespace(settings=settings),
              "evidence": None, "changed_file": "", "heads_at": lambda _point: (("r1",),)}  # fmt: skip
    return SimpleNamespace(**{**fields, **more})


@pytest.mark.parametrize("found", Progress)
def test_each_state_has_at_most_one_of_those_that_only_prove(found):
    asked = context(found)
    fits = [module.fits(asked) is not None for module in (rolled_back, finished)]
    assert fits == [found in rolled_back.NOTHING_LEFT, found is Progress.FINISHED]


def test_what_was_rolled_back_is_proved_by_what_was_compared():
    done = rolled_back.mend(context(Progress.ROLLED_BACK))
    assert (done.state, done.proof) == (TargetState.AS_BEFORE, EQUAL)
    assert done.words == "Nothing of the migration is left: 3 statements were sent and rolled back."


def test_what_is_not_as_before_is_not_called_so_though_all_was_rolled_back():
    """Somebody else wrote, or the revision did past its transaction."""
    asked = context(Progress.ROLLED_BACK, WRONG)
    assert rolled_back.fits(asked) is None
    assert rolled_back.explain(asked) == (
        "It was rolled back, but table a is gone; table b is new; table c is new."
    )
    assert rolled_back.explain(context(Progress.HALF, WRONG)) == "", "that was not rolled back"


def test_what_had_come_to_its_end_names_where_it_is_and_what_nobody_compared():
    done = finished.mend(context(Progress.FINISHED))
    assert done.state is TargetState.MIGRATED
    assert "the target is at r2" in done.words
    assert any(words.startswith("rows") for words in done.proof.not_compared)


PROVEN = SimpleNamespace(way_back=SimpleNamespace(proven=True))
UNPROVEN = SimpleNamespace(way_back=SimpleNamespace(proven=False))


@pytest.mark.parametrize(
    ("found", "on_failure", "more", "keeps", "goes_back"),
    [
        (Progress.COMMITTED, "keep", {}, True, False),
        (Progress.COMMITTED, "back", {"evidence": PROVEN}, False, True),
        (Progress.COMMITTED, "back", {"evidence": UNPROVEN}, False, False),
        (Progress.COMMITTED, "back", {}, False, False),
        (Progress.COMMITTED, "back", {"evidence": PROVEN, "changed_file": "r1.py"}, False, False),
        (Progress.HALF, "keep", {}, False, False),
        (Progress.HALF, "back", {"evidence": PROVEN}, False, False),
        (Progress.ROLLED_BACK, "back", {"evidence": PROVEN}, False, False),
    ],
)
def test_what_was_committed_is_kept_or_taken_back_as_the_settings_say(
    found, on_failure, more, keeps, goes_back
):
    asked = context(found, on_failure=on_failure, **more)
    assert (downgrade.fits_keep(asked) is not None, downgrade.fits_back(asked) is not None) == (
        keeps,
        goes_back,
    )
    offered = downgrade.offer_keep(asked)
    assert (offered is not None) is (found is Progress.COMMITTED and not keeps), (
        "what is done anyway is not offered"
    )
    assert bool(downgrade.explain_back(asked)) is ("changed_file" in more)
