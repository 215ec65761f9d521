"""The contract of a repair, and all that it may look at and do."""

from collections.abc import Callable
from dataclasses import dataclass

from ci_migrate.migrations.runner import Ended
from ci_migrate.model import Backup, Diagnosis, Evidence, Noun, Plan, TargetState


class Repaired(Noun, frozen=True, kw_only=True):
    """What a repair did. `state` is only AS_BEFORE or MIGRATED where that was proved."""

    state: TargetState
    words: str


@dataclass(frozen=True)
class Situation:
    """A migration that did not pass.

    `proved_as_before` compares the target with how it was before the run and returns the differences in words;
    `downgrade` runs the way back from the rung where the target is; `others_wrote` returns in words what somebody
    else wrote since the backup ("" for nothing, and not being able to tell counts as something); `restore` puts the
    backup in place of the target and returns where the replaced data is. `forward` says that somebody asked for the
    rest to be run; `why_not_forward` returns why that can't be done ("" where it can), `resume` does it and returns
    what is not as rehearsed then, in words.
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
