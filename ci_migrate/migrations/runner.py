"""The parent side: starts the child, answers each of its questions, always ends with a result."""

import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from ci_migrate import process
from ci_migrate.errors import ToolError, WorkerError
from ci_migrate.migrations import events, forking
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.lender import Lender, command, complete
from ci_migrate.migrations.requests import AnyRequest
from ci_migrate.settings.secrets import hide_secrets

POLL = 0.25
"""Seconds between two looks at the interrupt flag and the stall clock while the child is silent."""

NO_ALEMBIC = "No module named 'alembic'"
"""What Python says last where the interpreter is not the project's."""

AT_STATEMENT = events.StatementStarted | events.LockTimedOut | events.Committing
"""What something is sent after, as soon as the child has its word."""

STOPS = AT_STATEMENT | events.BackfillProgress
"""What a word to stop is sent after: a backfill may wait for a long time before its next statement."""

Handle = Callable[[events.AnyEvent], str | None]
"""Called for each event. The answer matters where `events.waits`: None or "go", "stop", "refuse <why>"."""


@dataclass(frozen=True)
class Launch:
    """How children are started: the project's interpreter, in the project's folder."""

    python: str
    directory: Path
    environ: Mapping[str, str] = field(repr=False)
    lock_fds: tuple[int, ...] = ()
    stall_timeout: float = 600.0
    driver: str = ""
    """`postgresql+psycopg`: what the children will most probably connect by; "" where that is not known."""


@dataclass(frozen=True)
class Ended:
    """How a child ended. Exactly one of `finished`, `failed` and `died` is set."""

    hello: events.Hello | None
    finished: events.Finished | None
    failed: events.Failed | None
    died: str | None
    output: str  # the end of what env.py and Alembic printed
    inputs: events.InputsSeen | None = None  # what it executed and read

    @property
    def ok(self) -> bool:
        """It came to its end without an exception."""
        return self.finished is not None

    @property
    def words(self) -> str:
        """What went wrong, in one line; "" if nothing did."""
        return self.failed.message if self.failed else self.died or ""


class Workers:
    """Starts children: the project's interpreter imports Alembic once, and is forked for each of them.

    Args:
        launch: how it is started.
        interrupt: ends the children.
        lender: one that runs, which is forked instead where it fits.
    """

    def __init__(
        self, launch: Launch, interrupt: Interrupt | None = None, lender: Lender | None = None
    ) -> None:
        self.launch = launch
        self.interrupt = interrupt or Interrupt()
        self._lender = lender if lender is not None and lender.fits(launch.python, launch.environ) else None
        self._server: forking.Forker | None = None
        self.template: forking.Forker | None = None
        """What forks the children instead, as long as it can."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_server(self) -> forking.Forker:
        if self._server is None:
            launch, environ = self.launch, complete(self.launch.environ)
            if self._lender is not None:
                with suppress(ToolError):  # it is gone: an interpreter of its own does as well
                    child = self._lender.forker.spawn_server(
                        env=environ, cwd=launch.directory, keep=launch.lock_fds, driver=launch.driver
                    )
                    self._server = forking.forker_of(child, process.Tail(child.stderr))
                    return self._server
            self._server = forking.ForkServer(
                command(launch.python, launch.driver),
                env=environ,
                cwd=launch.directory,
                pass_fds=launch.lock_fds,
            )
        return self._server

    def close(self) -> None:
        """End the interpreter, not the template. May be called twice."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def stay(self, request: AnyRequest, handle: Handle) -> tuple[Ended, forking.Forker | None]:
        """As `run`, with a child that may stay and be forked for others: then it is the caller's to close."""
        try:
            child = self._start_server().spawn(stays=True)
        except ToolError as error:
            return self._give_up(error), None
        output = process.Tail(child.stderr)
        conversation = self._converse(child, output, request, handle, urgent=True, tick=lambda: None)
        if isinstance(conversation.last, events.Finished) and conversation.last.stays:
            return self._conclude(conversation, 0, ""), forking.forker_of(child, output)
        return self._conclude(conversation, *_end(child, conversation, output)), None

    def _spawn(self) -> forking.Forked:
        if self.template is not None:
            try:
                return self.template.spawn()
            except ToolError:  # it is gone: an interpreter of its own does as well
                self.template = None
        return self._start_server().spawn()

    def _give_up(self, error: ToolError) -> Ended:
        self.close()
        return Ended(hello=None, finished=None, failed=None, died=hide_secrets(error.what), output="")

    def run(
        self,
        request: AnyRequest,
        handle: Handle,
        *,
        urgent: bool = False,
        tick: Callable[[], None] = lambda: None,
    ) -> Ended:
        """Run one request in a fresh child and answer its questions until it ends.

        Args:
            request: what the child shall do.
            handle: called with each event, in order; an exception ends the child and is raised again.
            urgent: an interrupt ends the child at once instead of at a statement boundary (nothing of value
                can be half-done: dry run, reading).
            tick: called again and again, every `POLL` seconds or so, while the child is silent.
        """
        try:
            child = self._spawn()
        except ToolError as error:
            return self._give_up(error)
        output = process.Tail(child.stderr)
        conversation = self._converse(child, output, request, handle, urgent=urgent, tick=tick)
        return self._conclude(conversation, *_end(child, conversation, output))

    def _converse(
        self,
        child: forking.Forked,
        output: process.Tail,
        request: AnyRequest,
        handle: Handle,
        *,
        urgent: bool,
        tick: Callable[[], None],
    ) -> "_Conversation":
        conversation = _Conversation(
            child,
            handle,
            self.interrupt,
            self.launch.stall_timeout,
            asked=request.asks,
            urgent=urgent,
            tick=tick,
        )
        try:
            _write(child, msgspec.json.encode(request) + b"\n")
            conversation.run()
        except BaseException:
            _end(child, conversation, output)
            raise
        return conversation

    def _conclude(self, conversation: "_Conversation", code: int, output: str) -> Ended:
        last = conversation.last
        died = conversation.died
        if last is None and died is None:
            died = (
                f"the child process was killed by signal {-code}"
                if code < 0
                else f"the child process ended with {code}"
            )
            lines = [line for line in output.strip().splitlines() if line.strip()]
            if lines and lines[-1].endswith(NO_ALEMBIC):
                died = f"there is no Alembic in the interpreter {self.launch.python}"
            elif lines and code > 0:
                died += f": {lines[-1]}"
        failed = last if isinstance(last, events.Failed) else None
        if failed is not None:
            failed = msgspec.structs.replace(
                failed,
                message=hide_secrets(failed.message),
                trace=hide_secrets(failed.trace),
                sql=hide_secrets(failed.sql),
            )
        return Ended(
            hello=conversation.hello,
            finished=last if isinstance(last, events.Finished) else None,
            failed=failed,
            died=hide_secrets(died) if died else None,
            output=hide_secrets(output),
            inputs=conversation.inputs,
        )


class _Conversation:
    """Reads events and answers them."""

    def __init__(
        self,
        child: forking.Forked,
        handle: Handle,
        interrupt: Interrupt,
        stall_timeout: float,
        *,
        asked: Sequence[str],
        urgent: bool,
        tick: Callable[[], None],
    ) -> None:
        self.child = child
        self.handle = handle
        self.interrupt = interrupt
        self.stall_timeout = stall_timeout
        self.asked = asked
        self.urgent = urgent
        self.tick = tick
        self.hello: events.Hello | None = None
        self.inputs: events.InputsSeen | None = None
        self.last: events.Finished | events.Failed | None = None
        self.died: str | None = None
        self.in_flight = False

    def run(self) -> None:
        for event in self._events():
            if isinstance(event, events.Hello):
                self.hello = event
            elif isinstance(event, events.InputsSeen):
                self.inputs = event
            self.in_flight = isinstance(event, AT_STATEMENT)
            word = self.handle(event)
            if isinstance(event, events.Finished | events.Failed):
                self.last = event
                return
            if self.interrupt.number is not None and isinstance(event, STOPS):
                _write(self.child, b"stop\n")  # one that runs ahead hears it before its next statement
            elif events.waits(event, self.asked):
                _write(self.child, (word or "go").encode() + b"\n")

    def _events(self) -> Iterator[events.AnyEvent]:
        fd = self.child.stdout.fileno()
        buffer = b""
        heard = time.monotonic()
        gone = False
        while True:
            ready, _, _ = select.select([fd], [], [], POLL)
            if not ready:
                # a process forked by env.py may still hold the other end of the pipe
                if gone or self._must_end(time.monotonic() - heard):
                    return
                gone = self.child.poll() is not None  # what it sent last may still come
                self.tick()
                continue
            data = os.read(fd, 1 << 20)
            if not data:
                return
            heard = time.monotonic()
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                try:
                    event = events.decoder.decode(line)
                except (msgspec.MsgspecError, RecursionError) as error:
                    raise WorkerError(
                        f"The child process sent something that is not an event: {error}."
                    ) from error
                yield event

    def _must_end(self, silent: float) -> bool:
        if self.interrupt.number is not None and (self.urgent or self.interrupt.again):
            self.died = "the child process was ended: interrupted"
            return True
        if self.interrupt.silent:
            self.died = f"the child process was ended: {self.interrupt.silent}"
            return True
        if silent > self.stall_timeout and not self.in_flight:
            self.died = f"the child process was ended: it did nothing for {silent:.0f} s (stall-timeout)"
            return True
        return False


def _end(child: forking.Forked, conversation: _Conversation, output: process.Tail) -> tuple[int, str]:
    """End a child; its exit code and the end of what it printed."""
    with suppress(OSError):
        child.stdin.close()
    if conversation.last is not None:
        with suppress(process.TimeoutExpired):
            child.wait(5)
    # whatever env.py started and left behind goes too: it may hold the lock's file
    process.end_group(child)
    text = output.text(timeout=1.0)
    child.close()
    return child.wait(), text


def _write(child: forking.Forked, data: bytes) -> None:
    view = memoryview(data)
    with suppress(BrokenPipeError):  # the child is gone: its end is read from the other pipe
        while view:
            view = view[os.write(child.stdin.fileno(), view) :]
