"""What does the work of a fleet run: processes on this machine, or any executor, such as one on a cluster."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ci_migrate import __version__
from ci_migrate.errors import SettingsError, ToolError, UsageError
from ci_migrate.fleet.forked import Job, lend
from ci_migrate.fleet.remote import Answer, Order, Sealed, attempt
from ci_migrate.fleet.worker import Task, report_file, request_file, work
from ci_migrate.ledger.fleets import FleetTarget
from ci_migrate.migrations.lender import Lender
from ci_migrate.plugins import manager as plugins
from ci_migrate.run.interpreter import lending
from ci_migrate.session import create_manager
from ci_migrate.settings.settings import Settings

PRELOAD = "ci_migrate.fleet.preload"

PROCESSES = "processes"
"""The value of `fleet-executor` for which no plugin is asked."""


class Engine(Protocol):
    """Does tasks. A job is whatever `start` returns."""

    here: bool
    at_once: int

    def start(self, task: Task) -> Any:
        """Begin. Raises ToolError where nothing can be begun."""

    def ended(self, jobs: Sequence[Any], timeout: float) -> list[Any]:
        """Those that have ended, after at most `timeout` seconds."""

    def finish(self, job: Any, task: Task) -> tuple[FleetTarget | None, int | str]:
        """How one ended; without a row its exit code, or in words why nothing is known."""

    def signal(self, job: Any, number: int) -> None:
        """Ask one to stop between two statements, where that can be asked."""


class Processes:
    """A process for each database on this machine."""

    here = True
    at_once = os.cpu_count() or 1

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._lender: Lender | None = None
        self._begun = False

    def start(self, task: Task) -> Job:
        """As `Engine`."""
        if not self._begun:
            self._begun = True
            self._lender = self._stack.enter_context(lending(self._settings, task.member.parsed.drivername))
        if self._lender is not None:
            try:
                with lend(self._lender, self._settings.project_dir) as lent:
                    return Job(PRELOAD, work, task, lent)
            except ToolError:  # it is gone: each starts its own from here on
                self.close()
        return Job(PRELOAD, work, task, None)

    def ended(self, jobs: Sequence[Job], timeout: float) -> list[Job]:
        """As `Engine`."""
        return Job.ended(jobs, timeout)

    def finish(self, job: Job, task: Task) -> tuple[FleetTarget | None, int | str]:  # noqa: ARG002
        """As `Engine`."""
        sent, code = job.end()
        return (msgspec.json.decode(sent, type=FleetTarget) if sent else None), code

    def signal(self, job: Job, number: int) -> None:
        """As `Engine`."""
        job.signal(number)

    def close(self) -> None:
        """End what it lends. May be called twice."""
        self._lender = None
        self._stack.close()


class Submitted:
    """What an executor of a plugin does. Nothing tells its workers of a signal: what they have begun, they end."""

    here = False

    def __init__(self, executor: Executor, settings: Settings) -> None:
        self._executor = executor
        self._settings = settings
        self.at_once = int(getattr(executor, "max_workers", 0)) or os.cpu_count() or 1

    def start(self, task: Task) -> "Future[Sealed]":
        """As `Engine`."""
        order = Order(
            version=__version__,
            directory=str(task.directory),
            production=self._settings.production,
            inputs=task.inputs,
            target=task.target,
            fleet_run=task.fleet_run,
            flags=dict(task.flags),
            rehearse=task.rehearse,
            goes_on=task.goes_on,
            left=task.left,
            by=task.by,
            reason=task.reason,
            token=task.token.reveal() if task.token is not None else "",
        )
        try:
            return self._executor.submit(attempt, Sealed(msgspec.json.encode(order)))
        except Exception as error:  # whoever wrote the executor says what it raises
            raise ToolError(f"{type(error).__name__}: {error}") from error

    def ended(self, jobs: Sequence["Future[Sealed]"], timeout: float) -> list["Future[Sealed]"]:
        """As `Engine`."""
        return [*wait(jobs, timeout, FIRST_COMPLETED).done]

    def finish(self, job: "Future[Sealed]", task: Task) -> tuple[FleetTarget | None, int | str]:
        """As `Engine`. The files that tell of it are kept where those of a process here would be."""
        try:
            answer = msgspec.json.decode(job.result().content, type=Answer)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - of a worker, the way to it, or the executor
            return None, " ".join(f"{type(error).__name__}: {error}".split())
        project = self._settings.project_dir
        for path, text in (
            (report_file(project, task.fleet_run, task.target.name), answer.report),
            (request_file(project, task.fleet_run, task.target.name), answer.request),
        ):
            if text:
                _keep(path, text)
        return answer.target, answer.code

    def signal(self, job: "Future[Sealed]", number: int) -> None:
        """As `Engine`."""


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """What does the work, by `fleet-executor`.

    Raises:
        SettingsError: no plugin has an executor of this name.
        UsageError: it has something else.
        CiMigrateError: its scheduler can't be reached, or its plugin failed.
    """
    if settings.fleet_executor == PROCESSES:
        engine = Processes(settings)
        try:
            yield engine
        finally:
            engine.close()
        return
    executor = plugins.ask_first(create_manager(settings), "ci_migrate_executor", settings=settings)
    if executor is None:
        raise SettingsError(
            f"fleet-executor ({settings.sources['fleet-executor']}) is {settings.fleet_executor[:60]!a}: no installed "
            "plugin has one of that name.",
            hint=f'There are "{PROCESSES}", "dask", and those of plugins (docs/fleet.md).',
        )
    if not isinstance(executor, Executor):
        raise UsageError(
            f"A plugin returned {executor!r:.100} from ci_migrate_executor, which is no Executor.",
            hint="Mend it, or uninstall it.",
        )
    try:
        yield Submitted(executor, settings)
    finally:
        # whoever stopped waiting does not wait here either; otherwise none is at work any more
        executor.shutdown(wait=False, cancel_futures=True)
