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
        return _shown(environment, what, total, every)

    return watch


@contextmanager
def _shown(environment: Environment, what: str, total: int, every: float) -> Iterator[Progress]:
    with environment.ticker.still():
        if environment.quiet:
            yield lambda _done, _of: None
            return
        shown = _bar(what, total) if environment.terminal else _heartbeat(what, total, every)
        with shown as progress:
            yield progress


def line(what: str, done: int, total: int, seconds: float) -> str:
    """`backup: 120.0 MB of ~800.0 MB, 12 s, 10.0 MB/s, about 68 s left`; without what is not known."""
    of = f" of ~{size(total)}" if total else ""
    words = [f"{size(done)}{of}"] if done else []
    words.append(f"{seconds:.0f} s")
    if done and seconds >= 1:
        rate = done / seconds
        words.append(f"{size(round(rate))}/s")
        if total > done:
            words.append(f"about {(total - done) / rate:.0f} s left")
    return f"{what}: {', '.join(words)}"


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
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("    {task.description}"),
        BarColumn(bar_width=None if total else 20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total or None)

        def progress(done: int, of: int) -> None:
            known = of or total
            bar.update(task, completed=done, total=max(done, known) if known else None)

        yield progress
