"""The contract of a repair, and all that it may look at and do."""

from collections.abc import Callable
from dataclasses import dataclass

from ci_migrate.migrations.runner import Ended
from ci_migrate.model import Backup, Diagnosis, Evidence, Frozen, Plan, TableContent, TargetState
from ci_migrate.repairs.additions import Additions


class Repaired(Frozen, frozen=True, kw_only=True):
    """What a repair did. `state` is only AS_BEFORE, MIGRATED or KEPT_PREFIX where that was proved."""

    state: TargetState
    words: str
    goes_on: bool = (
        False  # the state that was reached is only on the way: the next repair that fits comes after it
    )


class HalfDone(Frozen, frozen=True, kw_only=True):
    """Half a revision that left nothing behind but rows.

    `commit_point` is the last complete one below it, `tables` are those whose rows it changed (they are in the
    backup as they were on that commit point), with what they hold after it.
    """

    commit_point: int
    tables: dict[str, TableContent]


@dataclass(frozen=True)
class Situation:
    """A migration that did not pass.

    `proved_as_before` compares the target with how it was before the run and returns the differences in words;
    `downgrade` runs the way back from the commit point where the target is; `others_wrote` returns in words what
    somebody else wrote since the backup ("" for nothing; not being able to tell counts as something); `restore` puts
    the backup in place of the target and returns where the replaced data is. `forward` says that somebody asked for the
    rest to be run; `why_not_forward` returns why that can't be done ("" where it can), `resume` does it and returns
    what is not as rehearsed then, in words. `half` is what half a revision left, where that is rows alone; of its
    tables `others_wrote_to` tells as `others_wrote`, `would_lose` what a restore of them loses, and `restore_tables`
    puts their rows back as they were in the backup and returns what is not as it should be then. `additions` says what
    would be dropped to take back what a half-done revision made (and why that can't be done); `undo` drops it and
    returns what is not as it must be then, in words.
    """

    plan: Plan
    evidence: Evidence | None
    backup: Backup | None
    diagnosis: Diagnosis
    on_failure: str
    restore_mode: str
    target: str
    proved_as_before: Callable[[], list[str]]
    downgrade: Callable[[], Ended]
    others_wrote: Callable[[], str]
    restore: Callable[[], str]
    forward: bool = False
    why_not_forward: Callable[[], str] = lambda: "nothing is known of how to go on"
    resume: Callable[[], list[str]] = list
    half: HalfDone | None = None
    others_wrote_to: Callable[[HalfDone], str] = lambda _half: "nobody looked"
    would_lose: Callable[[HalfDone], str] = lambda _half: "nobody looked what it loses"
    restore_tables: Callable[[HalfDone], list[str]] = lambda _half: ["nothing is known of how to do it"]
    additions: Callable[[], Additions] = lambda: Additions("nothing is known of what was added")
    undo: Callable[[Additions], list[str]] = lambda _additions: ["nothing is known of how to undo it"]


@dataclass(frozen=True)
class Repair:
    """One repair.

    `order` says when it is asked (lower first). `fits` returns what the repair would do, in words, or None where
    it does not fit. `mend` does it and proves it; an exception means that the target must be looked at.
    """

    name: str
    order: int
    fits: Callable[[Situation], str | None]
    mend: Callable[[Situation], Repaired]
