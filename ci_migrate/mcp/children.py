"""A call is the command itself, in a process of its own: what plugins and env.py print never meets the protocol."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from ci_migrate.errors import ToolError
from ci_migrate.model import Outcome
from ci_migrate.process import DATA_LIMIT, Child, Tail, TimeoutExpired, end_group, running

LOOK = 0.1
"""Seconds between two looks at whether a call was cancelled."""

GRACE = 30.0
"""Seconds in which a command that was told to stop removes its scratch copy; then it is killed."""

WITHOUT = ("CI_MIGRATE_TOKEN",)
"""Variables that no command of an agent gets: an approval is a person's."""


class StageEnded(msgspec.Struct, frozen=True, kw_only=True):
    """What a command that walks the pipeline tells as soon as a stage has ended."""

    stage: str
    outcome: Outcome


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (minus a signal's number), and what it printed."""

    code: int
    out: str
    err: str


@dataclass
class Children:
    """Runs commands in a folder. Safe to use from several threads."""

    directory: Path
    environ: Mapping[str, str] = field(repr=False)
    _stops: set[threading.Event] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ending: bool = False

    def end(self) -> None:
        """Tell all to stop, and wait until they have. None is started any more."""
        with self._changed:
            self._ending = True
            for stop in self._stops:
                stop.set()
            self._changed.wait_for(lambda: not self._stops, GRACE + 5)

    def run(
        self,
        arguments: Sequence[str],
        stop: threading.Event,
        tell: Callable[[StageEnded], None] | None = None,
    ) -> Ended:
        """Run `ci-migrate ARGUMENTS` to its end, or until `stop` is set.

        Args:
            arguments: the command and its options.
            stop: set from another thread where nobody wants the answer any more.
            tell: called from another thread with each stage that has ended, for commands that walk the pipeline.

        Raises:
            ToolError: it could not be started, or the server is shutting down.
        """
        env = {name: value for name, value in self.environ.items() if name not in WITHOUT}
        argv = [sys.executable, "-m", "ci_migrate", "-C", str(self.directory)]
        verb, *rest = arguments
        with self._changed:
            if self._ending:
                raise ToolError("The server is shutting down.")
            self._stops.add(stop)
        try:
            with contextlib.ExitStack() as stack:
                passed = [stack.enter_context(_listening(tell))] if tell is not None else []
                told = [word for number in passed for word in ("--stages-to", str(number))]
                child = stack.enter_context(
                    running([*argv, verb, *told, *rest], env=env, inherit=False, pass_fds=passed)
                )
                return _wait(child, stop)
        finally:
            with self._changed:
                self._stops.discard(stop)
                self._changed.notify_all()


def _wait(child: Child, stop: threading.Event) -> Ended:
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    out, err = Tail(child.stdout, DATA_LIMIT), Tail(child.stderr)
    told_at: float | None = None
    while child.poll() is None:
        with contextlib.suppress(TimeoutExpired):
            child.wait(LOOK)
        if stop.is_set() and told_at is None:
            told_at = time.monotonic()
            child.terminate()
        if told_at is not None and time.monotonic() > told_at + GRACE:
            end_group(child)
    return Ended(child.wait(), out.text(), err.text())


@contextlib.contextmanager
def _listening(tell: Callable[[StageEnded], None]) -> Iterator[int]:
    """A descriptor that a command writes the stages to which have ended; `tell` is given them in another thread."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stages:
        thread = threading.Thread(target=_listen, args=(stages, tell), daemon=True)
        thread.start()
        try:
            yield writing
        finally:
            os.close(writing)
            thread.join(1.0)


def _listen(stages: IO[bytes], tell: Callable[[StageEnded], None]) -> None:
    for line in stages:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            tell(msgspec.json.decode(line, type=StageEnded))
