"""The contract of a Database that knows what of its schema works, and yet makes trouble for those who use it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable


class WeakSpotKind(StrEnum):
    """What the trouble is."""

    REFUSES_WRITES = "refuses writes"
    HIDES_ROWS = "hides rows"
    HIDES_ROWS_FROM_OWNER = "hides rows from its owner too"
    NO_INDEX = "foreign key without an index"


class WeakSpot(NamedTuple):
    """One of them. `identity` tells it from others, and stays when its table is renamed.

    `words`: of REFUSES_WRITES what the server says; of HIDES_ROWS from whom; of NO_INDEX the table that the key points
    to; `columns` are the columns of the key.
    """

    kind: WeakSpotKind
    identity: str
    table: str
    words: str
    columns: tuple[str, ...] = ()


@runtime_checkable
class KnowsWeakSpots(Protocol):
    """What a Database may do besides."""

    def weak_spots(self) -> list[WeakSpot]:
        """All that there are, sorted; tables are named as `Database.counts` names them."""


def weak_spots_of(database: object) -> list[WeakSpot]:
    """The weak spots of a database; none where its engine does not know."""
    return database.weak_spots() if isinstance(database, KnowsWeakSpots) else []


def new_weak_spots(before: Iterable[WeakSpot], after: Iterable[WeakSpot]) -> tuple[WeakSpot, ...]:
    """What a migration made. A table that is made again with the weak spot that it had has another identity."""
    known = {(spot.kind, spot.identity) for spot in before}
    named = {_named(spot) for spot in before}
    return tuple(
        spot for spot in after if (spot.kind, spot.identity) not in known and _named(spot) not in named
    )


def _named(spot: WeakSpot) -> tuple[str, ...]:
    return (spot.kind, spot.table, *((spot.words, *spot.columns) if spot.columns else ()))
