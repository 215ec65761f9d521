"""The contract of statistics: what a server keeps of the values of rows, for its planner, outlives those values."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class KeepsStatistics(Protocol):
    """What a Database may do besides: keep values of rows in its statistics."""

    def renew_statistics(self) -> None:
        """Gather them again, or drop them: they show no value any more that rows do not have.

        Raises DatabaseError where the server refuses.
        """
