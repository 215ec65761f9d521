"""`fleet run`, `resume` and `retry`: the ledger of fleet runs is opened, one coordinator works at a time."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from sqlalchemy import URL, make_url

from ci_migrate.databases.file_lock import file_lock
from ci_migrate.errors import RefusedError, UsageError
from ci_migrate.fleet.coordinator import Coordinator, FleetRequest, new_run, new_targets
from ci_migrate.fleet.engines import open_engine
from ci_migrate.fleet.members import Member, refuse_none
from ci_migrate.ledger import fleets
from ci_migrate.ledger.fleets import NOT_ENDED, FleetRun, FleetStatus, FleetTarget
from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.model import Frozen
from ci_migrate.settings.fleet import file_name
from ci_migrate.settings.settings import Settings
from ci_migrate.tempdirs import OWN, make_folder

RELATIVE = re.compile(r"[+-]\d+$")
"""The end of a destination that begins where each database is, as `alembic upgrade +1`."""

RETRIED = (FleetStatus.FAILED, FleetStatus.LEFT_OUT, FleetStatus.APPROVAL)
"""What `retry` tries again, besides what has not ended."""


class FleetReport(Frozen, frozen=True, kw_only=True):
    """A fleet run and its databases, in the order of the list."""

    run: FleetRun
    targets: tuple[FleetTarget, ...]

    def count(self, *statuses: FleetStatus) -> int:
        """How many have one of these."""
        return sum(target.status in statuses for target in self.targets)


def run_fleet(request: FleetRequest) -> FleetReport:
    """Migrate a fleet.

    Raises:
        RefusedError: only the canary is to be rehearsed, and this is production.
        LockedError: another process coordinates a run of this fleet here.
        CiMigrateError: scripts or ledger can't be read; no database was touched.
    """
    refuse_careless(request.settings)
    with open_engine(request.settings) as engine, _coordinating(request) as ledger:
        run, targets = new_run(request), new_targets(request.members)
        coordinator = Coordinator(request, ledger, run, targets, engine)
        fleets.begin(ledger, run, targets)
        return _work(coordinator, [target.name for target in targets], repairs=False)


def resume_fleet(request: FleetRequest, fleet_run: str | None, *, retry: bool = False) -> FleetReport:
    """Go on with a run whose processes were killed, or that was stopped; with `retry` also with what failed.

    What an attempt left unfinished is repaired first, by the gate's own repair.

    Raises:
        UsageError: there is no such run.
        RefusedError, LockedError, CiMigrateError: as `run_fleet`.
    """
    refuse_careless(request.settings)
    with open_engine(request.settings) as engine, _coordinating(request) as ledger:
        run = find_run(
            ledger, request.settings, fleet_run, shard=request.shard if fleet_run is None else None
        )
        if run.shard != request.shard:
            shard = f"of shard {run.shard}" if run.shard else "of the whole fleet"
            raise UsageError(
                f"{run.fleet_run} is a run {shard}.",
                hint=f"--shard {run.shard}" if run.shard else "Leave --shard out.",
            )
        if run.destination != request.settings.to:
            raise UsageError(
                f"{run.fleet_run} goes to {run.destination}, not to {request.settings.to}.",
                hint=f"--to {run.destination}",
            )
        listed = {member.name: member for member in request.members}
        targets = [
            _moved(target, listed.get(target.name)) for target in fleets.targets_of(ledger, run.fleet_run)
        ]
        wanted = (*NOT_ENDED, *(RETRIED if retry else ()))
        begun = msgspec.structs.replace(new_run(request), fleet_run=run.fleet_run, started=run.started)
        coordinator = Coordinator(request, ledger, begun, targets, engine)
        fleets.go_on(ledger, begun)
        again = {t.name for t in targets if t.name in listed and coordinator.read_otherwise(t)}
        names = [t.name for t in targets if t.status in wanted or t.name in again]
        return _work(coordinator, names, repairs=True)


def _moved(target: FleetTarget, member: Member | None) -> FleetTarget:
    """As it is written down; as a new one where its name stands for another database now."""
    if member is None or member.place == target.place:
        return target
    return FleetTarget(
        name=target.name,
        number=target.number,
        place=member.place,
        server=member.server,
        status=FleetStatus.WAITING,
    )


def _work(coordinator: Coordinator, names: Sequence[str], *, repairs: bool) -> FleetReport:
    coordinator.walk(coordinator.look(names, repairs=repairs))
    run = coordinator.close()
    targets = sorted(coordinator.targets.values(), key=lambda target: target.number)
    return FleetReport(run=run, targets=tuple(targets))


def read_run(settings: Settings, fleet_run: str | None) -> FleetReport:
    """A run as it is written down; the last one where none is named. Raises UsageError where there is none."""
    refuse_none(settings)
    ledger = open_ledger(state_url(settings), create=False)
    if ledger is None:
        raise UsageError(f"There was no run of the fleet {settings.target} yet.", hint=_run_command(settings))
    with ledger:
        run = find_run(ledger, settings, fleet_run)
        return FleetReport(run=run, targets=fleets.targets_of(ledger, run.fleet_run))


def read_known(settings: Settings) -> tuple[FleetTarget, ...]:
    """What is written down of the databases of a fleet, for a look at them."""
    ledger = open_ledger(state_url(settings), create=False)
    if ledger is None:
        return ()
    with ledger:
        return fleets.known_targets(ledger, settings.target)


def find_run(ledger: Ledger, settings: Settings, fleet_run: str | None, shard: str | None = None) -> FleetRun:
    """A run by its id, or the last one of the fleet. Raises UsageError where there is none."""
    last = fleet_run is None
    run = (
        fleets.last_run(ledger, settings.target, shard) if last else fleets.find_run(ledger, fleet_run or "")
    )
    if run is None or run.fleet != settings.target:
        what = f"no run {fleet_run[:100]!a}" if fleet_run else "no run yet"
        raise UsageError(
            f"The fleet {settings.target} has {what} ({ledger.place}).", hint=_run_command(settings)
        )
    return run


def refuse_careless(settings: Settings) -> None:
    """Raise RefusedError where databases of production would be migrated without a dry run of their own.

    Raises UsageError where the destination is so many steps from where each database is: one that an attempt before
    took there would be taken further.
    """
    if RELATIVE.search(settings.to):
        raise UsageError(
            f"A fleet can't go to {settings.to}: `fleet resume` could not tell which databases are there already.",
            hint="Name a revision, or head.",
        )
    if settings.fleet_dry_run == "canary" and settings.production:
        raise RefusedError(
            f"fleet-dry-run ({settings.sources['fleet-dry-run']}) is canary, and {settings.target} is production "
            f"({settings.production_reason}): each database is rehearsed on a copy of its own there.",
            hint='Set fleet-dry-run = "each".',
        )


def state_url(settings: Settings) -> URL:
    """Where fleet runs are recorded."""
    text = settings.resolve_fleet_state()
    if text is not None:
        return make_url(text)
    return URL.create("sqlite", database=str(settings.project_dir / OWN / "fleet.sqlite3"))


@contextmanager
def _coordinating(request: FleetRequest) -> Iterator[Ledger]:
    """The ledger of fleet runs, while no other process on this machine coordinates one of this fleet and shard."""
    settings = request.settings
    folder = settings.project_dir / OWN
    make_folder(folder)
    # no target has a slash in its name: t, 11/20 is not t1, 1/20
    lock = folder / f"fleet-{file_name(f'{settings.target}/{request.shard}')}.lock"
    with file_lock(lock, f"of the fleet {settings.target}, {os.getpid()}", 0):
        ledger = open_ledger(state_url(settings), create=True)
        assert ledger is not None
        with ledger:
            yield ledger


def _run_command(settings: Settings) -> str:
    return f"ci-migrate fleet run --target {settings.target}"
