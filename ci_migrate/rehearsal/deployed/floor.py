"""The rollback floor: the oldest release that still works with the migrated database."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ci_migrate.errors import CiMigrateError
from ci_migrate.migrations.events import ReleaseModels
from ci_migrate.rehearsal.deployed.source import Commit

MOST = 10
"""Releases that are looked at, beside the deployed one."""
SECONDS = 60.0
"""After that long no further release is begun."""


@dataclass(frozen=True)
class Walk:
    """How far back releases fit. `breaks`: by release, the newest first, the place of the revision that breaks it."""

    breaks: dict[str, int]
    ended: str


def walk_back(
    deployed: tuple[str, int],
    older: Sequence[Commit],
    load: Callable[[Commit], Sequence[ReleaseModels]],
    judge: Callable[[Sequence[ReleaseModels]], int],
) -> Walk:
    """Look at older releases, the newest first, up to the first that does not fit after the first revision.

    Args:
        deployed: its name and the place of the revision after which it fails; the number of all where it does not.
        older: the releases before it, the newest first.
        load: the models of a release.
        judge: the place of the revision after which a release with these models fails.
    """
    breaks = dict([deployed])
    started = time.monotonic()
    judged: dict[str, int] = {}
    for release in older if deployed[1] else ():
        if time.monotonic() - started > SECONDS:
            return Walk(
                breaks, f"none before {next(reversed(breaks))} was looked at: that took {SECONDS:.0f} s"
            )
        if release.tree not in judged:
            try:
                judged[release.tree] = judge(load(release))
            except CiMigrateError as error:
                return Walk(breaks, f"{release.name} was not looked at: {error.what}")
        # a release is not older and better: one that breaks ends the way back
        breaks[release.name] = min(judged[release.tree], *breaks.values())
        if not breaks[release.name]:
            break
    else:
        if len(older) == MOST and deployed[1]:
            return Walk(breaks, f"only the last {MOST} releases were looked at")
    return Walk(breaks, "")


def floor_after(walk: Walk, place: int) -> str:
    """The oldest release that works after the revision in this place of the plan; "" for none."""
    return next((name for name, breaks in reversed(walk.breaks.items()) if breaks > place), "")


def describe(deployed: str, floor: str, ended: str) -> str:
    """The rollback floor in one line."""
    if not floor:
        return "nothing before this revision's own release can run with this"
    older = "" if floor == deployed else f", and all from there to {deployed}"
    return f"{floor} can run with this{older}" + (f" ({ended})" if ended else "")
