"""The executor that is built in: a cluster of Dask. Nothing of Dask is imported before a setting asks for it."""

import importlib
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ci_migrate.errors import DatabaseError, RefusedError, SettingsError, ToolError
from ci_migrate.markers import hookimpl
from ci_migrate.settings.settings import Settings

T = TypeVar("T")

PATIENCE = 20
"""Seconds to wait for a scheduler."""


@hookimpl
def ci_migrate_executor(settings: Settings) -> Executor | None:
    """A cluster of Dask, where `fleet-executor` is dask."""
    if settings.fleet_executor != "dask":
        return None
    address = settings.fleet_executor_address
    if address is None:
        raise SettingsError(
            "fleet-executor is dask, and fleet-executor-address is not set.",
            hint='Set it to the scheduler\'s address, such as "tls://scheduler:8786".',
        )
    if settings.production and not (address.startswith("tls://") or _is_loopback(address)):
        raise RefusedError(
            f"{settings.target} is production ({settings.production_reason}), and fleet-executor-address is no tls://. "
            "Whoever reaches such a scheduler can run programs where the passwords are.",
            hint="Give Dask's scheduler and workers certificates (docs/fleet.md).",
        )
    return DaskExecutor(address)


def _is_loopback(address: str) -> bool:
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class DaskExecutor(Executor):
    """The workers of a scheduler. `max_workers` is how many calls they can do at a time.

    If a worker is lost, a scheduler gives its task to another one, up to three times. A migration is not begun again
    like that: the second time, the task fails (`run_once`).
    """

    def __init__(self, address: str) -> None:
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise SettingsError(
                "fleet-executor is dask, which is not installed.", hint="pip install 'ci-migrate[dask]'"
            ) from error
        try:
            self._client = distributed.Client(
                address, timeout=PATIENCE, set_as_default=False, name="ci-migrate-fleet"
            )
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise ToolError(
                f"Dask's scheduler at {address} can't be reached: {type(error).__name__}: {error}.",
                hint="Check fleet-executor-address.",
            ) from error
        self._executor: Executor = self._client.get_executor(pure=False, retries=0)
        self._event = distributed.Event
        self._marks: dict[Future[Any], str] = {}
        self.max_workers = sum(self._client.nthreads().values())

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """As any executor's."""
        self._forget()
        mark = f"ci-migrate-{uuid.uuid4().hex}"
        future: Future[T] = self._executor.submit(run_once, mark, fn, *args, **kwargs)
        self._marks[future] = mark
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As any executor's. Without `wait`, what workers have begun goes on."""
        del cancel_futures  # what was not begun is cancelled without `wait` anyway
        self._executor.shutdown(wait=wait)
        self._forget()
        self._client.close()

    def _forget(self) -> None:
        """The scheduler need not remember what has ended that it was begun."""
        for future in [future for future in self._marks if future.done()]:
            self._event(self._marks.pop(future), client=self._client).clear()


def run_once(mark: str, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Call it, unless somebody has begun to before: then that worker was lost, and what it does there is not known."""
    event = importlib.import_module("distributed").Event(mark)
    if event.is_set():
        raise DatabaseError("the worker that had begun with it was lost")
    event.set()
    return function(*arguments, **named)
