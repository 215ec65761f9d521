"""What a migration needs to lock, as its dry run knows it."""

import pytest

from ci_migrate.model import Evidence, Fingerprint, LockHeld, Statement, WayBack
from ci_migrate.run.traffic import MODES, _wanted


def evidence(*locks: tuple[str, str]) -> Evidence:
    statements = tuple(
        Statement(
            position=number,
            context=0,
            revision="r1",
            file=None,
            line=None,
            sql="",
            digest="",
            seconds=0.0,
            rows=None,
            locks=(LockHeld(table=table, mode=mode),),
        )
        for number, (table, mode) in enumerate(locks)
    )
    nothing = Fingerprint.of({})
    return Evidence(
        proven=True, before=nothing, after=nothing, way_back=WayBack(tried=False), statements=statements
    )


def test_of_each_table_the_strongest_lock_counts() -> None:
    found = _wanted(evidence(("a", "SHARE"), ("b", "ROW SHARE"), ("a", "ACCESS EXCLUSIVE"), ("a", "SHARE")))
    assert found == {"a": "ACCESS EXCLUSIVE", "b": "ROW SHARE"}
    assert _wanted(None) == {}


@pytest.mark.parametrize("other", ["SHARED NO WRITE", "IX", ""])
def test_a_word_of_another_engine_is_weaker_than_any_that_is_known(other: str) -> None:
    """It once ended a migration on MariaDB with an error of ours."""
    for mode in MODES:
        assert _wanted(evidence(("a", other), ("a", mode))) == {"a": mode}
        assert _wanted(evidence(("a", mode), ("a", other))) == {"a": mode}
    assert _wanted(evidence(("a", other), ("a", "X"))) == {"a": other}
