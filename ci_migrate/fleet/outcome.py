"""How a command for a whole fleet ends: with the code of the database that fared worst."""

from collections.abc import Iterable

from ci_migrate.errors import ExitCode
from ci_migrate.fleet.look import Place, Seen
from ci_migrate.ledger.fleets import WENT_WELL, FleetTarget

WORST_FIRST = (
    ExitCode.FAILED_DIRTY,
    ExitCode.BUG,
    ExitCode.FAILED_RESTORED,
    ExitCode.COULD_NOT_TELL,
    ExitCode.REFUSED,
    ExitCode.USAGE,
    ExitCode.LOCKED,
    ExitCode.NOT_APPROVED,
)

CODES = {
    Place.UNFINISHED: ExitCode.FAILED_DIRTY,
    Place.UNREACHABLE: ExitCode.COULD_NOT_TELL,
    Place.UNKNOWN: ExitCode.REFUSED,
    Place.DRIFTED: ExitCode.REFUSED,
    Place.RUNNING: ExitCode.LOCKED,
}
"""By where a database is, what a command ends with that only looks; 0 for all others. The most pressing first."""


def worst(codes: Iterable[int]) -> ExitCode:
    """The code that a person has to look at first; 0 where all are. One that a signal left counts as refused."""
    there = set(codes)
    other = ExitCode.REFUSED if there - {0} else ExitCode.OK
    return next((code for code in WORST_FIRST if code in there), other)


def exit_code_of(found: Iterable[Seen]) -> ExitCode:
    """How a look at a fleet ends."""
    return worst(CODES[seen.state] for seen in found if seen.state in CODES)


def exit_code_of_run(targets: Iterable[FleetTarget], *, stopped: bool) -> ExitCode:
    """How a fleet run ends: 0 only where all databases are at the destination."""
    bad = [target.exit_code for target in targets if target.status not in WENT_WELL]
    codes = [int(ExitCode.REFUSED) if code is None else code for code in bad]
    return worst([*codes, *([ExitCode.REFUSED] if stopped else [])])
