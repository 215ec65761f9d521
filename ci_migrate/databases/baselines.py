"""What a database of few rows is made by, as statements: for `squash`, which puts them into a revision script."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ci_migrate.model import Frozen, VersionTable


class Baseline(Frozen, frozen=True, kw_only=True):
    """The statements that make a database in an empty one, in their order.

    `structure` is what rows need, `rows` puts them in and sets what counts on, `rest` is what must come after them:
    triggers, where they would fire, and foreign keys, where they are apart. Each is one statement, without a semicolon
    at its end. `unfit` says in words what no statement can make; `not_compared` what nobody can compare.
    """

    engine: str  # with its version, for people
    structure: tuple[str, ...]
    rows: tuple[str, ...]
    rest: tuple[str, ...]
    unfit: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()

    @property
    def statements(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.structure, *self.rows, *self.rest)


class BaselineReader(Protocol):
    """Reads one database; see `MakesBaselines`."""

    def baseline(self, version_tables: Sequence[VersionTable]) -> Baseline:
        """The statements, without those of the version tables."""

    def positions(self) -> dict[str, str]:
        """What neither the schema nor the rows tell: the order of columns, and the number that comes next."""


@runtime_checkable
class MakesBaselines(Protocol):
    """What a Database may do besides: say by which statements it can be made."""

    def baseline_reader(self) -> BaselineReader:
        """A reader of this database."""
