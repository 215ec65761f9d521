"""How long digests of a dump may take, and the samples that stand for tables which would take longer."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from ci_migrate.model import Sample, TableContent

LEAST = 30.0
"""Seconds that tables may be digested for after a dump, where nothing is set."""

SHARE = 1 / 3
"""Of a dump's time that may go into digests, where that is longer."""

RANGES = 20
IN_RANGE = 2000
"""A sample is so many ranges of the key, with so many rows each."""

OVER = "digests of all rows take longer than compare-budget"
NO_KEY = f"{OVER}, and without a unique key of whole numbers there is no sample"


EMPTY_TEXTS = ("{}", "[]", "null", '""')
"""Texts, beside those of `WHITE_SPACE`, that hold nothing: of JSON, and the first one of an array of PostgreSQL's."""

WHITE_SPACE = " \t\n\r"

OLDER = "the backup's digests are of an earlier version of ci-migrate, they were only counted"


def kind_of(digest: str | None) -> str:
    """The kind of a table's digest; those of two kinds can't be compared. "" where an engine has had one kind alone."""
    return (digest or "").rpartition(":")[0]


@runtime_checkable
class TakesSamples(Protocol):
    """What a Database may do besides: read the samples that a backup's manifest holds."""

    def sample(self, samples: Mapping[str, Sample]) -> dict[str, TableContent]:
        """What tables hold in the rows of these samples; missing tables are left out."""


def seconds_for(budget: float | None, dump: float) -> float:
    """How long digests may go on after a dump that took `dump` seconds; `budget` is the setting."""
    return max(LEAST, dump * SHARE) if budget is None else budget


def choose_starts(lowest: int, highest: int) -> tuple[int, ...]:
    """Where the ranges of a sample begin: evenly spread, and the last rows of all."""
    step = max(1, (highest - lowest) // RANGES)
    spread = range(lowest, highest + 1, step)[: RANGES - 1]
    return tuple(sorted({*spread, max(lowest, highest - IN_RANGE + 1)}))
