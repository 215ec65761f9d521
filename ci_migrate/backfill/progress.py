"""How far a backfill is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a backfill is. `rows` are those that the batches covered, `changed` those that the statement changed.

    `total` is the server's estimate for the table, None where it has none. `seconds` and `per_second` are of this
    process alone, pauses included.
    """

    name: str
    table: str
    rows: int
    changed: int
    batches: int
    total: int | None
    seconds: float
    per_second: float

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None where nobody can tell."""
        if self.total is None or not self.per_second:
            return None
        return max(0, self.total - self.rows) / self.per_second

    def __str__(self) -> str:
        of = f" of about {max(self.total, self.rows):,}" if self.total is not None else ""
        left = "" if self.seconds_left is None else f", about {self.seconds_left:,.0f} s left"
        return f"backfill {self.name}: {self.rows:,}{of} rows, {self.per_second:,.0f} rows/s{left}"
