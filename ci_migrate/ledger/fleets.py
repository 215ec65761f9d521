"""Fleet runs: one row for each, and one for each database in it. Written by the process that coordinates it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import RowMapping, bindparam, exists, insert, select, update

from ci_migrate.ledger import audit
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.tables import clock, fleet_runs, fleet_targets, printable
from ci_migrate.model import Frozen
from ci_migrate.settings.secrets import hide_secrets

AT_ONCE = 500
"""Rows that are written in one statement."""

REMEMBERED = 5
"""Runs of a fleet whose databases say what schema is usual at a revision."""

MESSAGE_LIMIT = 4000
"""Characters of a message."""


class FleetStatus(StrEnum):
    """How far a database is in a fleet run. `went on` and `resume` begin with those that have not ended."""

    WAITING = "waiting"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    MIGRATED = "migrated"
    ALREADY = "nothing to do"
    LEFT_OUT = "left out"
    FAILED = "failed"
    APPROVAL = "approval required"


NOT_ENDED = (FleetStatus.WAITING, FleetStatus.RUNNING, FleetStatus.INTERRUPTED)
WENT_WELL = (FleetStatus.MIGRATED, FleetStatus.ALREADY)


class Rehearsed(StrEnum):
    """What a database's own dry run was. The words are those that people read."""

    NOTHING = "nothing"
    OWN_COPY = "a copy of its own"
    OWN_SCHEMA = "a copy of its own schema, without rows"


class FleetTarget(Frozen, frozen=True, kw_only=True):
    """One database in a fleet run. Texts hold no secret."""

    name: str
    number: int
    place: str
    server: str
    status: FleetStatus
    canary: bool = False
    rehearsed: Rehearsed = Rehearsed.NOTHING
    instead: str = ""  # the canary whose dry run counts for this one
    instead_rehearsed: Rehearsed = Rehearsed.OWN_COPY  # what that dry run was
    inputs: str = ""  # digest of scripts, settings and flags by which it was migrated, or had nothing to do
    attempts: int = 0
    heads: tuple[str, ...] = ()  # before
    schema: str = ""  # before
    heads_after: tuple[str, ...] = ()
    schema_after: str = ""
    run_id: str = ""
    exit_code: int | None = None
    state: str = ""  # of the database, as its run or a look says
    stage: str = ""  # that failed
    message: str = ""
    backup_id: str = ""
    started: datetime | None = None
    seconds: float = 0.0
    pid: int = 0
    report: str = ""  # where its own report is, from the project's folder


class FleetRun(Frozen, frozen=True, kw_only=True):
    """One fleet run."""

    fleet_run: str
    fleet: str
    shard: str
    started: datetime
    finished: datetime | None = None
    exit_code: int | None = None
    stopped: str = ""
    destination: str
    actor: str
    host: str
    pid: int


def begin(ledger: Ledger, run: FleetRun, targets: Sequence[FleetTarget]) -> None:
    """Write a new run with all its databases."""
    with ledger.writing() as connection:
        facts = {"fleet": run.fleet, "shard": run.shard, "databases": len(targets), "actor": run.actor}
        sequence = audit.append(connection, "fleet run started", run.fleet_run, facts)
        values = {name: getattr(run, name) for name in FleetRun.__struct_fields__}
        connection.execute(insert(fleet_runs).values(sequence=sequence, **values))
        for start in range(0, len(targets), AT_ONCE):
            rows = [{"fleet_run": run.fleet_run, **_row(t)} for t in targets[start : start + AT_ONCE]]
            connection.execute(insert(fleet_targets), rows)


def note(ledger: Ledger, fleet_run: str, targets: Iterable[FleetTarget]) -> None:
    """Write how far databases are now."""
    this = (
        fleet_targets.c.fleet_run == bindparam("of_run"),
        fleet_targets.c.number == bindparam("of_number"),
    )
    rows = [{"of_run": fleet_run, "of_number": target.number, **_row(target)} for target in targets]
    if rows:
        with ledger.writing() as connection:
            connection.execute(update(fleet_targets).where(*this), rows)


def go_on(ledger: Ledger, run: FleetRun) -> None:
    """Write that another process coordinates a run from now on."""
    with ledger.writing() as connection:
        audit.append(connection, "fleet run resumed", run.fleet_run, {"actor": run.actor})
        this = fleet_runs.c.fleet_run == run.fleet_run
        again = {"pid": run.pid, "host": run.host, "finished": None, "exit_code": None, "stopped": ""}
        connection.execute(update(fleet_runs).where(this).values(again))


def end(ledger: Ledger, fleet_run: str, exit_code: int, stopped: str) -> None:
    """Write that a run ended, and by what rule it was stopped."""
    with ledger.writing() as connection:
        facts = {"exitCode": exit_code, "stopped": stopped}
        audit.append(connection, "fleet run ended", fleet_run, facts)
        values = {"finished": clock(connection), "exit_code": exit_code, "stopped": stopped}
        connection.execute(update(fleet_runs).where(fleet_runs.c.fleet_run == fleet_run).values(values))


def last_run(ledger: Ledger, fleet: str, shard: str | None = None) -> FleetRun | None:
    """The newest run of a fleet; with `shard` of that shard."""
    statement = select(fleet_runs).where(fleet_runs.c.fleet == fleet).order_by(fleet_runs.c.sequence.desc())
    if shard is not None:
        statement = statement.where(fleet_runs.c.shard == shard)
    return _one(ledger, statement.limit(1))


def find_run(ledger: Ledger, fleet_run: str) -> FleetRun | None:
    """The run of this id."""
    return _one(ledger, select(fleet_runs).where(fleet_runs.c.fleet_run == fleet_run))


def targets_of(ledger: Ledger, fleet_run: str) -> tuple[FleetTarget, ...]:
    """The databases of a run, in the order of the list."""
    statement = (
        select(fleet_targets.c.record)
        .where(fleet_targets.c.fleet_run == fleet_run)
        .order_by(fleet_targets.c.number)
    )
    with ledger.reading() as connection:
        return tuple(
            msgspec.json.decode(r, type=FleetTarget) for r in connection.execute(statement).scalars()
        )


def known_targets(ledger: Ledger, fleet: str) -> tuple[FleetTarget, ...]:
    """The databases of the last runs of a fleet that migrated some, the oldest run first.

    What the others were migrated from can't be seen any more, and one that was left out is compared with it.
    """
    migrated = exists().where(
        fleet_targets.c.fleet_run == fleet_runs.c.fleet_run,
        fleet_targets.c.status == FleetStatus.MIGRATED.value,
    )
    statement = (
        select(fleet_runs.c.fleet_run)
        .where(fleet_runs.c.fleet == fleet, migrated)
        .order_by(fleet_runs.c.sequence.desc())
        .limit(REMEMBERED)
    )
    with ledger.reading() as connection:
        runs = connection.execute(statement).scalars().all()
    return tuple(target for run in reversed(runs) for target in targets_of(ledger, run))


def _one(ledger: Ledger, statement: Any) -> FleetRun | None:
    with ledger.reading() as connection:
        row: RowMapping | None = connection.execute(statement).mappings().one_or_none()
    return None if row is None else FleetRun(**{name: row[name] for name in FleetRun.__struct_fields__})


def _row(target: FleetTarget) -> dict[str, Any]:
    message = hide_secrets(target.message)[:MESSAGE_LIMIT]
    record = printable(msgspec.to_builtins(msgspec.structs.replace(target, message=message)))
    text = msgspec.json.encode(record).decode()
    return {"name": target.name, "number": target.number, "status": target.status.value, "record": text}
