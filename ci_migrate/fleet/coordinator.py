"""A fleet run: the canary first, then waves, each database in a process of its own; each end is written down."""

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ci_migrate import gate
from ci_migrate.errors import ExitCode, ToolError
from ci_migrate.fleet.engines import Engine, Processes
from ci_migrate.fleet.inputs import FleetInputs
from ci_migrate.fleet.look import Look, Place, Seen, look_at_all, read_scripts, show
from ci_migrate.fleet.members import Member
from ci_migrate.fleet.outcome import CODES, exit_code_of_run
from ci_migrate.fleet.rules import BY_CANARY, StopRules
from ci_migrate.fleet.worker import Task
from ci_migrate.ledger import fleets
from ci_migrate.ledger.fleets import NOT_ENDED, WENT_WELL, FleetRun, FleetStatus, FleetTarget, Rehearsed
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import TargetState, now
from ci_migrate.session import new_run_id
from ci_migrate.settings.secrets import hide_secrets
from ci_migrate.settings.settings import Secret, Settings

POLL = 0.2
"""Seconds between two looks at signals while nothing ends."""

ATTENDED = (Place.UNFINISHED, Place.RUNNING)
"""What an attempt before may have left; the worker waits for it and repairs it."""


@dataclass(frozen=True)
class FleetRequest:
    """What a fleet run is asked to do."""

    settings: Settings  # of the fleet
    members: tuple[Member, ...]  # of the shard
    directory: Path
    environ: Mapping[str, str] = field(repr=False)
    flags: Mapping[str, Any]
    interrupt: Interrupt
    shard: str = ""
    by: str = ""
    reason: str = ""
    tokens: Mapping[str, Secret] | None = field(default=None, repr=False)  # by name, of one approval for many
    looked: Callable[[int], None] = lambda _done: None
    ended: Callable[[FleetTarget], None] = lambda _target: None
    running: Callable[[int, int, int], None] = lambda _done, _of, _running: None


class Coordinator:
    """Takes the databases of one fleet run to their ends. It alone writes their rows.

    Raises CiMigrateError where the scripts can't be read; nothing is written down then.
    """

    def __init__(
        self,
        request: FleetRequest,
        ledger: Ledger,
        run: FleetRun,
        targets: Iterable[FleetTarget],
        engine: Engine | None = None,
    ) -> None:
        self.request = request
        self._engine = engine or Processes(request.settings)
        self._scripts = read_scripts(request.settings, request.interrupt)
        self._inputs = FleetInputs.of(request.settings, self._scripts)
        self._digest = self._inputs.digest(request.settings, request.flags)
        self.ledger = ledger
        self.run = run
        self.targets = {target.name: target for target in targets}
        self._canaries = {target.name: target for target in self.targets.values() if target.canary}
        self._done = sum(target.status not in NOT_ENDED for target in self.targets.values())
        self._members = {member.name: member for member in request.members}
        self._settings = request.settings
        self._stopped = ""
        self._signalled = 0

    # ------------------------------------------------------------------ before

    def read_otherwise(self, target: FleetTarget) -> bool:
        """Whether it went well by other scripts, settings or flags than those of now: nothing is known of it then."""
        return target.status in WENT_WELL and target.inputs != self._digest

    def look(self, names: Sequence[str], *, repairs: bool) -> list[FleetTarget]:
        """Look at databases, write down those with which nothing can be done, and return the others.

        `repairs`: what an earlier attempt left is repaired, so it is none of those.
        """
        there = [self._members[name] for name in names if name in self._members]
        known = (*fleets.known_targets(self.ledger, self.run.fleet), *self.targets.values())
        found = look_at_all(
            self._settings, there, self._scripts, self.request.looked, self.request.interrupt, known
        )
        if self._over:
            return []
        seen = {one.name: one for one in found}
        targets = [self._seen(self.targets[name], seen.get(name), repairs=repairs) for name in names]
        self._note(*targets)
        for target in targets:
            if target.status in (FleetStatus.LEFT_OUT, FleetStatus.FAILED, FleetStatus.APPROVAL):
                self.request.ended(target)
        return [target for target in targets if target.status is FleetStatus.WAITING]

    def _seen(self, target: FleetTarget, seen: Seen | None, *, repairs: bool) -> FleetTarget:
        if seen is None:
            return msgspec.structs.replace(
                target,
                status=FleetStatus.LEFT_OUT,
                exit_code=int(ExitCode.REFUSED),
                state=TargetState.UNKNOWN.value,
                message="the fleet does not list it any more",
            )
        failed = target.exit_code == ExitCode.FAILED_DIRTY
        if failed and target.schema_after and _came_to(target) == (seen.heads, seen.schema):
            return target  # as it was when it failed: its schema is not its canary's
        begun = failed or bool(target.attempts and target.heads != seen.heads)
        if seen.state is Place.AT_HEAD and target.status is FleetStatus.MIGRATED:
            return target  # by other scripts, which had the same heads
        target = msgspec.structs.replace(
            target,
            canary=False,
            heads=seen.heads,
            schema=seen.schema,
            heads_after=(),
            schema_after="",
            message="",
            stage="",
            exit_code=None,
            run_id="",
            backup_id="",
            report="",
            rehearsed=Rehearsed.NOTHING,
            inputs=self._digest,
        )
        state = seen.state
        if state is Place.AT_HEAD and self._settings.to in ("head", "heads"):
            return msgspec.structs.replace(target, status=FleetStatus.ALREADY, exit_code=0)
        if state in (Place.AT_HEAD, Place.BEHIND) or (state in ATTENDED and repairs):
            tokens = self.request.tokens
            if tokens is not None and self._settings.production and target.name not in tokens:
                return msgspec.structs.replace(
                    target,
                    status=FleetStatus.APPROVAL,
                    exit_code=int(ExitCode.NOT_APPROVED),
                    state=state.value,
                    message="the approval that was given does not list it",
                )
            return msgspec.structs.replace(target, status=FleetStatus.WAITING, state=state.value)
        target = msgspec.structs.replace(target, state=state.value)
        message = f"{state.value}: {seen.words}"
        if state is Place.DRIFTED and begun:
            # this run did something here, so that "left out" would be wrong, and "untouched" too
            return msgspec.structs.replace(
                target, status=FleetStatus.FAILED, exit_code=int(ExitCode.FAILED_DIRTY), message=message
            )
        if state is Place.UNFINISHED:
            message += f"; ci-migrate repair --target {self.run.fleet}/{target.name}"
        return msgspec.structs.replace(
            target, status=FleetStatus.LEFT_OUT, exit_code=int(CODES[state]), message=message
        )

    # ------------------------------------------------------------------ the run

    def walk(self, waiting: Sequence[FleetTarget]) -> None:
        """Canaries one after the other, then the waves; until a canary fails, a rule says so, or a signal comes."""
        named = self.targets.get(self._settings.fleet_canary or "")
        if named is not None and named.status is not FleetStatus.WAITING:
            self._stopped = self._explain_canary(named)  # no other takes its place
        canaries = self._choose_canaries(waiting)
        for target in canaries:
            if self._over:
                break
            self._wave([msgspec.structs.replace(target, canary=True)], StopRules(0, 1))
            self._stopped = self._explain_canary(self.targets[target.name])
        chosen = {target.name for target in canaries}
        rest = [target for target in waiting if target.name not in chosen]
        rules = StopRules(
            self._settings.fleet_max_fail_percentage, self._settings.fleet_max_failures_in_a_row
        )
        for start in range(0, len(rest), self._settings.fleet_wave):
            if self._over:
                break
            self._wave(rest[start : start + self._settings.fleet_wave], rules)

    def _explain_canary(self, canary: FleetTarget) -> str:
        """Why nothing may follow this canary, in words; "" where the others may.

        On production all of them ask for an approval, so none is migrated before: then each may be rehearsed. Where one
        was given, and does not fit the canary, it fits none of the others that the canary stands for.
        """
        if canary.status is FleetStatus.WAITING and self._stopped:  # an executor did not take it
            return self._stopped
        asks = canary.status is FleetStatus.APPROVAL
        if canary.status in WENT_WELL or (asks and self._settings.production and self.request.tokens is None):
            return ""
        return (
            f"{BY_CANARY}{canary.name} {'needs an approval' if asks else f'ended as: {canary.status.value}'}"
        )

    @property
    def _over(self) -> bool:
        return bool(self._stopped) or self.request.interrupt.number is not None

    def _choose_canaries(self, waiting: Sequence[FleetTarget]) -> list[FleetTarget]:
        """One for each revision that databases start from, since each is another plan; none where one went well."""
        proven = {t.heads for t in self._proven()}
        found: dict[tuple[str, ...], FleetTarget] = {}
        for target in waiting:
            named = target.name == self._settings.fleet_canary
            sound = target.state not in ATTENDED
            if named or (target.heads not in proven and sound and target.heads not in found):
                found[target.heads] = target
        return sorted(found.values(), key=lambda target: target.name != self._settings.fleet_canary)

    def _wave(self, targets: Sequence[FleetTarget], rules: StopRules) -> None:
        """Take these to their ends, some at a time."""
        left, running = list(targets), dict[Any, Task]()
        rules.begin_wave(len(left))
        while left or running:
            while not self._over and (following := self._startable(left, running.values())) is not None:
                left.remove(following)
                try:
                    job, task = self._start(following)
                except ToolError as error:
                    self._note(following)
                    self._stopped = f"fleet-executor takes no more databases: {error.what}"
                else:
                    running[job] = task
            if not running:
                return
            self._pass_signals_on(running)
            for job in self._engine.ended(list(running), POLL):
                target = self._finish(job, running.pop(job))
                self.request.ended(target)
                if target.status in (FleetStatus.FAILED, *WENT_WELL):
                    words = rules.note(target.name, failed=target.status is FleetStatus.FAILED)
                    self._stopped = self._stopped or words
            if self.request.interrupt.again and not self._engine.here:
                for task in running.values():  # nothing tells them to stop
                    target = self._look_after_loss(task.target, "the run stopped waiting for its worker")
                    self._note(target)
                    self.request.ended(target)
                return
            self.request.running(self._done, len(self.targets), len(running))

    def _startable(self, left: Sequence[FleetTarget], running: Iterable[Task]) -> FleetTarget | None:
        """The first one that there is room for, in all and on its server."""
        servers = [task.target.server for task in running]
        if len(servers) >= (self._settings.fleet_processes or self._engine.at_once):
            return None
        most = self._settings.fleet_per_server
        return next((t for t in left if not t.server or servers.count(t.server) < most), None)

    def _start(self, target: FleetTarget) -> tuple[Any, Task]:
        instead = self._rehearsed_instead(target)
        left = target.state in ATTENDED
        goes_on = left or target.attempts > 0
        target = msgspec.structs.replace(
            target,
            status=FleetStatus.RUNNING,
            attempts=target.attempts + 1,
            started=now(),
            instead=instead.name if instead is not None else "",
            instead_rehearsed=instead.rehearsed if instead is not None else Rehearsed.OWN_COPY,
            state=TargetState.UNKNOWN.value,
        )
        self._note(target)  # first: whoever goes on must know that something may have happened here
        task = Task(
            member=self._members[target.name],
            target=target,
            fleet_run=self.run.fleet_run,
            directory=self.request.directory,
            environ=dict(self.request.environ),
            flags={**self.request.flags, "target": self.run.fleet},
            rehearse=instead is None,
            goes_on=goes_on,
            left=left,
            inputs=self._inputs,
            by=self.request.by,
            reason=self.request.reason or f"fleet run {self.run.fleet_run}",
            token=(self.request.tokens or {}).get(target.name),
        )
        return self._engine.start(task), task

    def _rehearsed_instead(self, target: FleetTarget) -> FleetTarget | None:
        """The canary whose dry run will do for this one; None where it needs its own."""
        if self._settings.fleet_dry_run != "canary" or target.canary or not target.schema:
            return None
        if target.state in ATTENDED:
            return None
        return next(iter(self._same_canaries(target)), None)

    def _same_canaries(self, target: FleetTarget) -> list[FleetTarget]:
        """The canaries that were migrated as this one will be, from its heads and schema, and to a known schema."""
        before = target.heads, target.schema
        return [t for t in self._proven() if (t.heads, t.schema) == before and t.schema_after]

    def _proven(self) -> list[FleetTarget]:
        """The canaries that were migrated by the scripts, settings and flags of now."""
        canaries = self._canaries.values()
        return [t for t in canaries if t.status is FleetStatus.MIGRATED and t.inputs == self._digest]

    def _finish(self, job: Any, task: Task) -> FleetTarget:
        told, code = self._engine.finish(job, task)
        if told is None and isinstance(code, int):
            told = self._look_after_death(task.target, code)
        elif told is None:
            told = self._look_after_loss(task.target, f"its worker was lost ({code})")
        started = task.target.started
        seconds = (now() - started).total_seconds() if started is not None else 0.0
        told = msgspec.structs.replace(
            self._compare(told), seconds=round(seconds, 3), pid=getattr(job, "pid", 0)
        )
        self._note(told)
        return told

    def _compare(self, target: FleetTarget) -> FleetTarget:
        """Without a dry run of its own a database must have come to the schema that its canary came to."""
        if target.status is not FleetStatus.MIGRATED or not target.instead:
            return target
        if any(t.schema_after == target.schema_after for t in self._same_canaries(target)):
            return target
        how = (
            "is now another one than" if target.schema_after else "can't be read, so nothing compares it with"
        )
        return msgspec.structs.replace(
            target,
            status=FleetStatus.FAILED,
            exit_code=int(ExitCode.FAILED_DIRTY),
            message=f"migrated, and its schema {how} that of the canary {target.instead}, on whose "
            f"copy the migration was rehearsed; ci-migrate status --target {self.run.fleet}/{target.name}",
        )

    def _look_after_death(self, target: FleetTarget, code: int) -> FleetTarget:
        """A worker ended without a word: what it left is looked at, never guessed."""
        how = f"was killed (signal {-code})" if code < 0 else f"ended with {code}"
        seen = Look(self._settings).at(self._members[target.name])
        found = f"{seen.words or f'the database is at {show(seen.heads)}'}"
        # the ledger would say that a migration had begun, if it had; heads and schema are compared all the same
        same = bool(seen.schema) and (seen.heads, seen.schema) == (target.heads, target.schema)
        if seen.state is Place.BEHIND:
            state = (TargetState.UNTOUCHED if same else TargetState.UNKNOWN).value
        else:
            state, same = seen.state.value, False
        advice = f"ci-migrate fleet retry --target {self.run.fleet}"
        return msgspec.structs.replace(
            target,
            status=FleetStatus.FAILED,
            exit_code=int(ExitCode.COULD_NOT_TELL if same else ExitCode.FAILED_DIRTY),
            state=state,
            message=f"its process {how}: {found}; {advice}",
        )

    def _look_after_loss(self, target: FleetTarget, why: str) -> FleetTarget:
        """Nobody knows how it ended in a worker, nor whether it has. `resume` waits for the database's own run lock."""
        member, look = self._members[target.name], Look(self._settings)
        held, seen = look.holder(member), look.at(member)
        same = bool(seen.schema) and (seen.heads, seen.schema) == (target.heads, target.schema)
        code: ExitCode | None = ExitCode.FAILED_DIRTY
        state, found = TargetState.UNKNOWN.value, seen.words or f"the database is at {show(seen.heads)}"
        if held:
            code, state, found = ExitCode.LOCKED, Place.RUNNING.value, held
        elif seen.state is Place.BEHIND and same:
            code, state = ExitCode.COULD_NOT_TELL, TargetState.UNTOUCHED.value
            found += " as before, and nobody holds its run lock"
        elif seen.state is Place.BEHIND and tuple(sorted(seen.heads)) == self._scripts.heads:
            code, state = None, Place.AT_HEAD.value
            found += ", no run of it is unfinished, and nobody holds its run lock"
        advice = f"ci-migrate fleet resume --target {self.run.fleet}"
        return msgspec.structs.replace(
            target,
            status=FleetStatus.INTERRUPTED,
            exit_code=None if code is None else int(code),
            state=state,
            message=hide_secrets(f"{why}: {found}; {advice}"),
        )

    # ------------------------------------------------------------------ the end

    def _pass_signals_on(self, jobs: Iterable[Any]) -> None:
        """Each worker stops at a statement boundary, as a single run does; a second signal ends its child at once."""
        interrupt = self.request.interrupt
        came = (interrupt.number is not None) + interrupt.again
        if interrupt.number is not None and came > self._signalled:
            self._signalled = came
            for job in jobs:
                self._engine.signal(job, interrupt.number)

    def close(self) -> FleetRun:
        """Write how it ended; returns the run with that."""
        number = self.request.interrupt.number
        code = (
            128 + number
            if number
            else int(exit_code_of_run(self.targets.values(), stopped=bool(self._stopped)))
        )
        stopped = f"signal {number}" if number else self._stopped
        fleets.end(self.ledger, self.run.fleet_run, code, stopped)
        return msgspec.structs.replace(self.run, finished=now(), exit_code=code, stopped=stopped)

    def _note(self, *targets: FleetTarget) -> None:
        fleets.note(self.ledger, self.run.fleet_run, targets)
        for target in targets:
            self._done += (target.status not in NOT_ENDED) - (
                self.targets[target.name].status not in NOT_ENDED
            )
            self.targets[target.name] = target
            if target.canary:
                self._canaries[target.name] = target


def _came_to(target: FleetTarget) -> tuple[tuple[str, ...], str]:
    return target.heads_after, target.schema_after


def new_run(request: FleetRequest) -> FleetRun:
    """A run that begins now."""
    return FleetRun(
        fleet_run=f"fleet_{new_run_id()}",
        fleet=request.settings.target,
        shard=request.shard,
        started=now(),
        destination=request.settings.to,
        actor=request.by or gate.actor(request.settings),
        host=socket.gethostname(),
        pid=os.getpid(),
    )


def new_targets(members: Sequence[Member]) -> list[FleetTarget]:
    """A row for each database, before anybody looked at it."""
    return [
        FleetTarget(name=m.name, number=n, place=m.place, server=m.server, status=FleetStatus.WAITING)
        for n, m in enumerate(members, 1)
    ]
