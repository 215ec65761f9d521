"""How long the statements of a migration wait for locks."""

from ci_migrate.model.base import Frozen


class LockPolicy(Frozen, frozen=True, kw_only=True):
    """Seconds that a statement on the target waits, by its kind, and how often it is tried.

    `queued`: while it waits others queue behind it. `concurrent`: others work meanwhile, as with CREATE INDEX
    CONCURRENTLY. `tries` are those of one statement, or of what is left of a transaction.
    """

    queued: float
    concurrent: float
    tries: int

    @staticmethod
    def pause(attempt: int) -> float:
        """Seconds after the try with this number, the first one being 1, in which the traffic flows; without chance."""
        return float(min(30.0, 0.5 * 2**attempt))
