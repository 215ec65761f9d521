"""What came of comparing a database with what it should be."""

from ci_migrate.model.base import Frozen


class Comparison(Frozen, frozen=True, kw_only=True):
    """Two states of a database, side by side, in words. Who says "proved" says it of `compared`, and tells the rest.

    `compared` is what was looked at and is equal, part by part ("schema (312 objects)", "heads", "rows of 57 tables").
    `wrong` differs and should not; () is equal. `exceptions` differs and rightly may, each with the reason.
    `not_compared` was not looked at, each with the reason.
    """

    compared: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Nothing that was compared differs without a reason."""
        return not self.wrong

    def plus(self, other: "Comparison") -> "Comparison":
        """Both."""
        return Comparison(
            compared=self.compared + other.compared,
            wrong=self.wrong + other.wrong,
            exceptions=self.exceptions + other.exceptions,
            not_compared=self.not_compared + other.not_compared,
        )
