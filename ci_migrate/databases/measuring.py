"""The contract of a Meter: what statements lock and rewrite, on engines that can tell. Dry run only."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ci_migrate.model import LockHeld

WRITES = "writes"
READS_AND_WRITES = "reads and writes"
"""What a lock keeps others from (`LockHeld.blocks`); "" where they go on."""


@dataclass(frozen=True)
class Ran:
    """One statement of a transaction.

    `rows` is what the driver reported; `probed` is what `Meter.probe` gave right after it that it had not given before
    in this transaction; None where it was not asked. `database` is that of its session; see `VersionTable.database`.
    """

    sql: str
    rows: int | None = None
    probed: Sequence[Sequence[str]] | None = None
    database: str = ""


@dataclass(frozen=True)
class Taken:
    """What one statement took: locks that the transaction did not hold before (without seconds), tables rewritten."""

    locks: tuple[LockHeld, ...] = ()
    rewrites: tuple[str, ...] = ()


class Meter(Protocol):
    """Looks at one scratch copy while a migration runs on it. Knows the tables that were there when it was made."""

    @property
    def probe(self) -> str:
        """A query for the child's own session, sent after statements inside a transaction; "" for none."""

    @property
    def commit_probe(self) -> str:
        """A query for the child's own session, sent before each commit; "" for none."""

    def taken(
        self, ran: Sequence[Ran], *, committed: bool, changed: Sequence[Sequence[str]] | None = None
    ) -> Sequence[Taken]:
        """What each statement of a transaction took, asked right after its end (of a loop only the first is given).

        Tables are named as `Database.counts` names them; "" is the whole database. `changed` is what `commit_probe`
        gave; None where it was not asked.
        """

    def log_bytes(self) -> int | None:
        """Bytes of the server's log (WAL, binlog) since this was made, others' included; None where it can't tell."""


@runtime_checkable
class Measures(Protocol):
    """What a Database may do besides: measure."""

    def meter(self) -> AbstractContextManager[Meter]:
        """A Meter of this scratch copy, with a session of its own. Raises nothing: what it can't tell it leaves out."""
