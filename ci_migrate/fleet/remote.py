"""One database of a fleet in a worker of an executor, which may be on another machine: what goes there and comes back.

No URL, no password and no variable goes there: the worker reads the list of the fleet by its own settings and its own
environment. The gate runs in a process of its own there, as it does for a database that is migrated here.
"""

import io
import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ci_migrate import __version__
from ci_migrate.errors import SettingsError, UsageError
from ci_migrate.fleet.inputs import FleetInputs
from ci_migrate.fleet.members import find_member
from ci_migrate.fleet.worker import Task, perform, request_file
from ci_migrate.ledger.fleets import FleetStatus, FleetTarget
from ci_migrate.model import Frozen
from ci_migrate.process import Tail, hide_memory, own_environment, running
from ci_migrate.settings.settings import Secret, load


class Order(Frozen, frozen=True, kw_only=True):
    """What a worker is to do. `flags` are those of the command line; `inputs` its files."""

    version: str
    directory: str
    production: bool
    inputs: FleetInputs
    target: FleetTarget
    fleet_run: str
    flags: dict[str, Any]
    rehearse: bool
    goes_on: bool
    left: bool
    by: str
    reason: str
    token: str = ""


class Answer(Frozen, frozen=True, kw_only=True):
    """How it ended; without `target` the process that did it ended without a word. The texts are files to keep here."""

    target: FleetTarget | None = None
    code: int = 0
    report: str = ""
    request: str = ""


@dataclass(frozen=True)
class Sealed:
    """What crosses. An executor that logs the arguments of its calls shows nothing of it."""

    content: bytes = field(repr=False)


def attempt(order: Sealed) -> Sealed:
    """Do it. The function that an executor calls, in any thread or process of a machine that has ci-migrate."""
    # -P: no module of the folder in which the worker was started is taken for one of ours
    with running([sys.executable, "-P", "-m", __name__]) as child:
        complaints = Tail(child.stderr)
        try:
            with io.BufferedWriter(child.stdin) as pipe:
                pipe.write(order.content)
        except BrokenPipeError:
            pass  # it has ended, and says how
        sent = child.stdout.read()
        code = child.wait()
        complaints.text()
    return Sealed(sent or msgspec.json.encode(Answer(code=code)))


def main() -> None:
    """The process that `attempt` starts: an order comes by standard input, the answer goes to standard output."""
    hide_memory()
    with io.FileIO(os.dup(sys.stdout.fileno()), "w") as out, io.BufferedWriter(out) as answers:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
        target = perform(lambda: task_of(order), order.target)
        answers.write(msgspec.json.encode(_answer(order, target)))


def task_of(order: Order) -> Task:
    """The task, with what this machine knows of the database.

    Raises:
        UsageError: this machine is not set up as the one that coordinates.
        CiMigrateError: the fleet's list can't be had here.
    """
    here = f"The worker on {socket.gethostname()}"
    if order.version != __version__:
        raise UsageError(f"{here} has ci-migrate {__version__}, not {order.version}.")
    directory, environ = Path(order.directory), own_environment()
    if not directory.is_dir():
        raise UsageError(f"{here} has no folder {directory}.")
    fleet = load(directory, environ, order.flags)
    if order.production and not fleet.production:
        raise SettingsError(f"{here} does not take the fleet for production, as the coordinator does.")
    if other := order.inputs.first_other(fleet.project_dir):
        raise UsageError(f"{here} has another {other} than the coordinator.")
    member = find_member(fleet, order.target.name)
    if member.place != order.target.place:
        raise SettingsError(f"{here} has {member.name} at {member.place}, not at {order.target.place}.")
    return Task(
        member=member,
        target=order.target,
        fleet_run=order.fleet_run,
        directory=directory,
        environ=environ,
        flags=order.flags,
        rehearse=order.rehearse,
        goes_on=order.goes_on,
        left=order.left,
        inputs=FleetInputs(files={}),  # compared above
        by=order.by,
        reason=order.reason,
        token=Secret(order.token) if order.token else None,
    )


def _answer(order: Order, target: FleetTarget) -> Answer:
    project = (
        load(Path(order.directory), own_environment(), order.flags).project_dir if target.report else None
    )
    report = request = ""
    if project is not None:
        report = _text_of(project / target.report)
        if target.status is FleetStatus.APPROVAL:
            request = _text_of(request_file(project, order.fleet_run, target.name))
    return Answer(target=target, report=report, request=request)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


if __name__ == "__main__":
    main()
