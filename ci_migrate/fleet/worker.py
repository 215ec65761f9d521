"""One database of a fleet in a process of its own: the gate, as `ci-migrate run` would have it."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from ci_migrate import gate
from ci_migrate.errors import CiMigrateError, ExitCode, UsageError
from ci_migrate.fleet.forked import Lent
from ci_migrate.fleet.inputs import FleetInputs
from ci_migrate.fleet.look import Look, Place, Seen
from ci_migrate.fleet.members import Member
from ci_migrate.fleet.outcome import CODES
from ci_migrate.ledger.fleets import FleetStatus, FleetTarget, Rehearsed
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.lender import Lender
from ci_migrate.model import Report, TargetState
from ci_migrate.pipeline import Interrupted
from ci_migrate.process import take_environment
from ci_migrate.reports.base import write
from ci_migrate.reports.json_report import JsonReporter
from ci_migrate.reports.story import first_line
from ci_migrate.session import GateRequest
from ci_migrate.settings.fleet import file_name
from ci_migrate.settings.secrets import hide_secrets
from ci_migrate.settings.settings import Secret, Settings, load
from ci_migrate.tempdirs import OWN
from ci_migrate.verbs import VERBS

PATIENCE = 60.0
"""Seconds to wait for a process that an earlier attempt of this run left at work."""


@dataclass(frozen=True)
class Task:
    """What a worker is to do."""

    member: Member
    target: FleetTarget  # as it was seen
    fleet_run: str
    directory: Path
    environ: Mapping[str, str] = field(repr=False)
    flags: Mapping[str, Any]
    rehearse: bool  # on a copy of its own
    goes_on: bool  # this run has begun with it before: what that left is waited for, and repaired
    by: str
    reason: str
    inputs: FleetInputs  # the coordinator's
    left: bool = False  # the coordinator saw what an earlier attempt left there
    token: Secret | None = None  # that of the fleet's approval which is for this database


def report_file(project: Path, fleet_run: str, name: str) -> Path:
    """Where the report of a database goes that did not go well."""
    return _folder(project, fleet_run) / f"{file_name(name)}.json"


def request_file(project: Path, fleet_run: str, name: str) -> Path:
    """Where a database's request for an approval goes."""
    return _folder(project, fleet_run) / f"{file_name(name)}-approval-request.json"


def work(answer: Connection, task: Task, lent: Lent | None) -> None:
    """Do it and send a FleetTarget as JSON. The function of the process: whatever happens, it answers."""
    os.setsid()  # Ctrl-C in a terminal goes to the coordinator alone, which tells each worker once

    def make() -> Task:
        take_environment(task.environ)
        return task

    lender = lent.take() if lent is not None else None
    answer.send_bytes(msgspec.json.encode(perform(make, task.target, lender)))


def perform(make: Callable[[], Task], target: FleetTarget, lender: Lender | None = None) -> FleetTarget:
    """Make the task and do it, in a process that does nothing else; whatever happens, there is a row."""
    interrupt = Interrupt()
    _listen(interrupt)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # a plugin that prints would write between the coordinator's lines
        os.dup2(null, stream)
    try:
        return _work(make(), interrupt, lender)
    except (Exception, SystemExit, Interrupted) as error:  # noqa: BLE001 - the end of this process is the answer
        return _failed(target, error)


def _listen(interrupt: Interrupt) -> None:
    """As the command line: the first signal is raised where nothing is written, else it is only noted."""

    def handle(number: int, _frame: FrameType | None) -> None:
        interrupt.set(number)
        if not interrupt.defer_signals and not interrupt.again:
            raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


def _work(task: Task, interrupt: Interrupt, lender: Lender | None) -> FleetTarget:
    settings = load(
        task.directory,
        task.environ,
        {**task.flags, "target": f"{task.flags['target']}/{task.member.name}"},
        task.member.url,
    )
    if task.goes_on:
        settings = replace(settings, run_lock_timeout=max(settings.run_lock_timeout, PATIENCE))
    if changed := task.inputs.first_other(settings.project_dir):
        raise UsageError(f"{changed} changed since this fleet run read it.")
    target, look = task.target, Look(settings)
    seen = _wait(task, look, interrupt)
    left = task.left
    if task.goes_on and seen.state is Place.UNFINISHED:
        request = GateRequest(VERBS["repair"], by=task.by, reason=task.reason, lender=lender)
        repaired = _report(lambda: gate.repair(settings, request, interrupt), "repair", settings)
        if repaired.exit_code is not ExitCode.OK:
            told = _told(task, settings, target, repaired)
            if repaired.state is TargetState.UNTOUCHED:  # by the repair; by the run before it, nobody knows
                told = msgspec.structs.replace(told, state=seen.state.value)
            return told
        seen, left = look.at(task.member), True
    if changed := _changed(task, seen, left=left):
        code = int(CODES.get(seen.state, ExitCode.REFUSED))
        return msgspec.structs.replace(
            target,
            status=FleetStatus.LEFT_OUT,
            exit_code=code,
            state=seen.state.value,
            message=changed,
        )
    # another one was rehearsed in its place: the gate refuses that where the target is protected
    verb = VERBS["run" if task.rehearse else "migrate"]
    request = GateRequest(
        verb,
        by=task.by,
        reason=task.reason,
        token=task.token,
        request_file=request_file(settings.project_dir, task.fleet_run, task.member.name),
        lender=lender,
    )
    report = _report(lambda: gate.run(settings, request, interrupt), verb.name, settings)
    if report.exit_code is ExitCode.OK:
        after = look.at(task.member)
        target = msgspec.structs.replace(target, heads_after=after.heads, schema_after=after.schema)
    return _told(task, settings, target, report)


def _wait(task: Task, look: Look, interrupt: Interrupt) -> Seen:
    """How it is; where this run has begun with it before, as soon as no process of that is at work any more."""
    until = time.monotonic() + PATIENCE
    while True:
        seen = look.at(task.member)
        over = not task.goes_on or time.monotonic() > until or interrupt.number is not None
        if over or seen.state is not Place.RUNNING:
            return seen
        time.sleep(1.0)


def _changed(task: Task, seen: Seen, *, left: bool) -> str:
    """What is not as it was when the coordinator looked, in words; "" where all is, or it left something to repair."""
    if seen.state is not Place.BEHIND:
        return f"{seen.state.value}: {seen.words}"
    if left:
        return ""
    if seen.heads != task.target.heads:
        return "somebody else migrated it since this fleet run looked"
    if seen.schema != task.target.schema:
        return "drifted: its schema changed since this fleet run looked"
    return ""


def _report(call: Callable[[], Report], verb: str, settings: Settings) -> Report:
    """What the gate reports, also where it refuses before the first stage."""
    try:
        report = call()
    except (Exception, Interrupted) as error:  # noqa: BLE001 - as the command line: each end is a report
        report = gate.error_report(VERBS[verb], settings.target, error)
    return report


def _told(task: Task, settings: Settings, target: FleetTarget, report: Report) -> FleetTarget:
    """The row of a database after its run; what did not go well has its own report beside the fleet's."""
    code, bad = report.exit_code, report.first_bad
    place = ""
    if code is not ExitCode.OK or target.canary:
        path = report_file(settings.project_dir, task.fleet_run, task.member.name)
        try:
            write(path, JsonReporter().render(report))
            place = path.relative_to(settings.project_dir).as_posix()
        except OSError as error:
            place = f"(not written: {error.strerror})"
    if code is ExitCode.OK:
        status = FleetStatus.MIGRATED
        if report.plan is not None and report.plan.changes_nothing:
            status = FleetStatus.ALREADY
    elif report.interrupted is not None:
        status = FleetStatus.INTERRUPTED
    elif code is ExitCode.LOCKED:  # somebody else is at work there: nothing was tried
        status = FleetStatus.LEFT_OUT
    else:
        status = FleetStatus.APPROVAL if code is ExitCode.NOT_APPROVED else FleetStatus.FAILED
    return msgspec.structs.replace(
        target,
        status=status,
        run_id=report.run_id,
        exit_code=int(code),
        state=report.state.value,
        rehearsed=_rehearsed(report),
        stage=bad.stage if bad is not None else "",
        message=hide_secrets(first_line(bad)) if bad is not None else "",
        backup_id=report.backup.backup_id if report.backup is not None else "",
        report=place,
    )


def _rehearsed(report: Report) -> Rehearsed:
    if report.evidence is None:
        return Rehearsed.NOTHING
    return Rehearsed.OWN_SCHEMA if report.evidence.without_rows else Rehearsed.OWN_COPY


def _failed(target: FleetTarget, error: BaseException) -> FleetTarget:
    """The row of a database whose worker could not do its work."""
    status, code, words = FleetStatus.FAILED, int(ExitCode.BUG), f"{type(error).__name__}: {error}"
    if isinstance(error, CiMigrateError):
        code, words = int(error.exit_code), error.what
    elif isinstance(error, Interrupted):
        status, code, words = FleetStatus.INTERRUPTED, 128 + error.number, "interrupted"
    return msgspec.structs.replace(target, status=status, exit_code=code, message=hide_secrets(words))


def _folder(project: Path, fleet_run: str) -> Path:
    """Where the reports of a fleet run are."""
    return project / OWN / "fleet" / fleet_run
