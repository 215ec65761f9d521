"""A plan run on a scratch copy, and what is measured around it."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ci_migrate.databases.base import Database
from ci_migrate.databases.measuring import Measures, Meter
from ci_migrate.migrations import events
from ci_migrate.migrations.record import Recorder
from ci_migrate.migrations.requests import Mode, RunRequest, make_tables
from ci_migrate.migrations.runner import Ended, Handle
from ci_migrate.model import Plan
from ci_migrate.run.heartbeat import Heartbeat
from ci_migrate.run.inputs import expected_inputs
from ci_migrate.run.run import Run, child_setup


@dataclass(frozen=True)
class MeasuredRun:
    """How the child ended, and what is measured of the run as a whole. See `model.Evidence`."""

    ended: Ended
    seconds: float
    measured: bool
    log_bytes: int | None
    size_before: int
    size_after: int


@dataclass
class Duration:
    """How long a rehearsal has run when a statement begins, which is what `max-duration` is about on the target.

    From its first statement on, without what is measured at its events; `over` is the first that is above the limit.
    """

    limit: float | None
    over: float = 0.0
    _started: float = 0.0
    _apart: float = 0.0

    def around(self, handle: Handle) -> Handle:
        """A handler that counts as well."""

        def hear(event: events.AnyEvent) -> str | None:
            moment = time.monotonic()
            if isinstance(event, events.StatementStarted):
                self._started = self._started or moment
                took = moment - self._started - self._apart
                if self.limit and took > self.limit:
                    self.over = self.over or took
            try:
                return handle(event)
            finally:
                if self._started:
                    self._apart += time.monotonic() - moment

        return hear


def run_measured(run: Run, plan: Plan, scratch: Database, recorder: Recorder, handle: Handle) -> MeasuredRun:
    """Run the plan's revisions on a scratch copy.

    `recorder` gets a Meter, if there is one; `handle` hands events on to it.
    """
    size_before = scratch.size()
    with _meter(run, scratch) as meter:
        recorder.meter = meter
        probes = (meter.probe, meter.commit_probe) if meter else ("", "")
        started = time.monotonic()
        ended = run_on_copy(run, plan, scratch, handle, asks=events.AHEAD, probes=probes)
        seconds = time.monotonic() - started
        log_bytes = meter.log_bytes() if meter else None
    return MeasuredRun(ended, seconds, meter is not None, log_bytes, size_before, scratch.size())


def _meter(run: Run, scratch: Database) -> AbstractContextManager[Meter | None]:
    """What measures locks and rewrites; None where the engine has nothing of the kind, or nobody wants it."""
    return scratch.meter() if run.settings.measure and isinstance(scratch, Measures) else nullcontext()


def run_on_copy(
    run: Run,
    plan: Plan,
    scratch: Database,
    handle: Handle,
    *,
    asks: Sequence[str],
    probes: tuple[str, str] = ("", ""),
) -> Ended:
    """Run the plan's revisions on a scratch copy; `asks` and `probes` (`probe`, `commit_probe`) are the request's."""
    request = RunRequest(
        setup=child_setup(run, "dry-run", scratch, inputs=expected_inputs(run.settings, plan), plan=plan),
        mode=Mode.DRY_RUN,
        asks=tuple(asks),
        probe=probes[0],
        commit_probe=probes[1],
        contexts=make_tables(plan),
    )
    heart = Heartbeat(run)
    return run.workers.run(request, heart.around(handle), urgent=True, tick=heart.beat)
