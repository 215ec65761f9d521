"""What the statements of a transaction took, and for how long they held it: until its end."""

from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import msgspec

from ci_migrate.databases.measuring import Meter, Ran
from ci_migrate.migrations import events
from ci_migrate.model import LockHeld, Statement


@dataclass(frozen=True)
class Sent:
    """One statement of the open transaction; of a loop the first round. `begun` is by the child's clock."""

    begun: float
    rows: int | None
    probed: tuple[tuple[str, ...], ...] | None

    @classmethod
    def of(cls, event: events.StatementDone, before: Self | None) -> Self:
        """What is known after it ran, or ran again."""
        if before is None:
            return cls(begun=event.at - event.seconds, rows=event.rows, probed=event.probed)
        rows = None if event.rows is None else event.rows + (before.rows or 0)
        probed = (*before.probed, *(event.probed or ())) if before.probed is not None else event.probed
        return replace(before, rows=before.rows if rows is None else rows, probed=probed)


K = TypeVar("K")


def with_taken(
    statements: MutableMapping[K, Statement],
    sent: Mapping[K, Sent],
    meter: Meter,
    ended: tuple[float, bool],
    database: str,
    apart: Collection[str],
    changed: Sequence[Sequence[str]] | None = None,
) -> None:
    """Put into `statements` what those of a transaction took.

    Args:
        statements: all of the run, changed in place.
        sent: those of the transaction.
        meter: asked what they took.
        ended: when the transaction ended, by the child's clock, and whether it was committed.
        database: of the session whose transaction it is.
        apart: tables that don't count (Alembic's own).
        changed: what the child's session said of rows before the commit; see `Meter.taken`.
    """
    at, committed = ended
    ran = [Ran(statements[key].sql, one.rows, one.probed, database) for key, one in sent.items()]
    found = meter.taken(ran, committed=committed, changed=changed)
    for (key, one), taken in zip(sent.items(), found, strict=True):
        seconds = max(0.0, at - one.begun)
        held = [
            msgspec.structs.replace(lock, seconds=seconds) for lock in taken.locks if lock.table not in apart
        ]
        if not held and not taken.rewrites:
            continue
        statement = statements[key]
        statements[key] = msgspec.structs.replace(
            statement,
            locks=_longest((*statement.locks, *held)),
            rewrites=tuple(dict.fromkeys((*statement.rewrites, *taken.rewrites))),
        )


def _longest(locks: Iterable[LockHeld]) -> tuple[LockHeld, ...]:
    """Of those of one table and mode, taken in several transactions, the one that was held longest."""
    found: dict[tuple[str, str], LockHeld] = {}
    for lock in locks:
        place = (lock.table, lock.mode)
        if place not in found or (lock.seconds or 0) > (found[place].seconds or 0):
            found[place] = lock
    return tuple(found.values())
