"""The contract of a repair."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ci_migrate.model import Comparison, Frozen, NextCommand, TargetState
from ci_migrate.repairs.context import RepairContext


class Repaired(Frozen, frozen=True, kw_only=True):
    """What a repair did. `state` is only MIGRATED or KEPT_PREFIX where that was proved, and `proof` says how.

    AS_BEFORE without one is compared by who called: heads, schema and rows.
    """

    state: TargetState
    words: str
    proof: Comparison = Comparison()
    goes_on: bool = (
        False  # the state that was reached is only on the way: the next repair that fits comes after it
    )


@dataclass(frozen=True)
class Repair:
    """One repair.

    `order` says when it is asked (lower first). `fits` returns what the repair would do, in words, or None where
    it does not fit. `mend` does it and proves it; RefusedError means that it did nothing and does not fit after all,
    any other exception that the target must be looked at.

    `approval` is what an approval calls this way: where one is needed, only the ways that it names are taken, and
    `RepairContext.permit_for` has the permit for this one. "" is for what writes nothing to the target, and so takes
    no approval. Where nothing fitted, `explain` says why this one did not ("" where nobody would expect it
    to), and `offer` what a person can type for it, with what that would lose (None for nothing).
    """

    name: str
    order: int
    fits: Callable[[RepairContext], str | None]
    mend: Callable[[RepairContext], Repaired]
    approval: Literal["", "undo", "downgrade", "restore", "forward"] = ""
    explain: Callable[[RepairContext], str] = lambda _context: ""
    offer: Callable[[RepairContext], NextCommand | str | None] = lambda _context: None
