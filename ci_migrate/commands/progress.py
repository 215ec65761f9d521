"""How far something long is: a bar on a terminal, a plain line every few seconds elsewhere. On standard error."""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.printing import say
from ci_migrate.databases.base import Progress, Watch
from ci_migrate.reports.story import size

EVERY = 5.0
"""Seconds between two plain lines; what takes less says nothing."""


def say_aside(text: str) -> None:
    """A line on standard error; standard output belongs to what was asked for."""
    with contextlib.suppress(OSError):  # nobody may be reading any more
        say(f"    {text}", err=True)


def watch_progress(environment: Environment, every: float = EVERY) -> Watch:
    """What shows progress in this process."""

    def watch(what: str, total: int) -> AbstractContextManager[Progress]:
        return _bar(what, total) if environment.terminal else _heartbeat(what, total, every)

    return watch


def line(what: str, done: int, total: int, seconds: float) -> str:
    """`backup: 120.0 MB of ~800.0 MB, 12 s`."""
    of = f" of ~{size(total)}" if total else ""
    return f"{what}: {f'{size(done)}{of}, ' if done else ''}{seconds:.0f} s"


@contextmanager
def _heartbeat(what: str, total: int, every: float) -> Iterator[Progress]:
    """A thread of its own, so that a line also comes while nobody reports: a CI ends jobs that are silent."""
    started, ended = time.monotonic(), threading.Event()
    state = [0, total]

    def beat() -> None:
        while not ended.wait(every):
            say_aside(line(what, state[0], state[1], time.monotonic() - started))

    def progress(done: int, of: int) -> None:
        state[:] = [done, of or total]

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()


@contextmanager
def _bar(what: str, total: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("    {task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total or None)

        def progress(done: int, of: int) -> None:
            known = of or total
            bar.update(task, completed=done, total=max(done, known) if known else None)

        yield progress
