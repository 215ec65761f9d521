"""What stands in the way of a migration that is about to begin: it is named, waited for, or a reason not to begin."""

import time
from collections.abc import Sequence

import msgspec

from ci_migrate.databases.traffic import Hindrance, WatchesTraffic
from ci_migrate.errors import CiMigrateError, RefusedError
from ci_migrate.model import Evidence, NextCommand, as_hint, plural
from ci_migrate.run.run import Run

POLL = 0.5
"""Seconds between two looks at what is waited for."""

MODES = (
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
"""PostgreSQL's, the weakest first. MySQL's are not compared: any lock keeps DDL waiting."""


def look_at_traffic(run: Run, evidence: Evidence | None) -> list[str]:
    """Name what stands in the way, and do what the setting `in-the-way` says.

    Args:
        run: this run.
        evidence: of the dry run, which knows what the migration locks; None where there was none.

    Returns:
        What was named, for the report.

    Raises:
        RefusedError: something that holds a lock that the migration needs is there, and is not waited for, or still is.
    """
    settings = run.settings
    wanted = _wanted(evidence)
    found = _look(run, wanted)
    for one in found:
        run.tell(f"{'in the way' if one.stops else 'old'}: {one.words}")
    wait = settings.in_the_way_wait if settings.in_the_way == "wait" else 0
    deadline = time.monotonic() + wait
    stopping = [one for one in found if one.stops and settings.in_the_way != "go-on"]
    if stopping and wait:
        run.tell(f"waiting up to {wait:.0f} s for what is in the way")
    while stopping and time.monotonic() < deadline and run.interrupt.number is None:
        time.sleep(POLL)
        stopping = [one for one in _look(run, wanted) if one.stops]
    if stopping:
        raise _refusal(run, stopping)
    return [one.words for one in found]


def _wanted(evidence: Evidence | None) -> dict[str, str]:
    """By table the strongest lock that the migration takes."""
    found: dict[str, str] = {}
    for statement in evidence.statements if evidence is not None else ():
        for lock in statement.locks:
            before = found.get(lock.table)
            if before is None or _strength(lock.mode) > _strength(before):
                found[lock.table] = lock.mode
    return found


def _strength(mode: str) -> int:
    return MODES.index(mode) if mode in MODES else -1  # MySQL and MariaDB have words of their own for a few


def _look(run: Run, wanted: dict[str, str]) -> Sequence[Hindrance]:
    if not isinstance(run.database, WatchesTraffic):
        return ()
    try:
        return run.database.hindrances(wanted, run.settings.in_the_way_age)
    except CiMigrateError as error:
        run.tell(f"nobody could be asked who is in the way: {error.what}")
        return ()


def _refusal(run: Run, stopping: Sequence[Hindrance]) -> RefusedError:
    who = "; ".join(one.words for one in stopping[:3])
    more = f" (and {plural(len(stopping) - 3, 'other')})" if len(stopping) > 3 else ""
    ends = [NextCommand(command=one.ends) for one in stopping if one.ends]
    if ends:
        ends[0] = msgspec.structs.replace(ends[0], why="ends it, in a session on the database")
    again = f"ci-migrate {run.verb.name} --target {run.settings.target}"
    hint = as_hint(
        *ends, NextCommand(command=again, why="once it is over; or set in-the-way (docs/locks.md)")
    )
    return RefusedError(f"In the way of the migration: {who}{more}.", hint=hint)
