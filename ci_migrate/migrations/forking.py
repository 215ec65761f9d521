"""A process that forks others: what it has imported, each of them has from its start."""

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ci_migrate import process
from ci_migrate.errors import ToolError

MOST_DESCRIPTORS = 253
"""Linux's SCM_MAX_FD: more can't be sent at once."""


@dataclass(eq=False)
class _Birth:
    """What a `ForkServer` told of one child. The kernel may give its pid to a later one of the same server."""

    pid: int
    code: int | None = None


class Forked:
    """A child that a `ForkServer` forked; as `subprocess.Popen`, as far as it goes."""

    def __init__(self, server: "Forker", birth: _Birth, streams: Sequence[int]) -> None:
        self.pid = birth.pid
        self.returncode: int | None = None
        self._server, self._birth = server, birth
        self.stdin = open(streams[0], "wb", buffering=0)  # noqa: SIM115 - the caller's to close
        self.stdout, self.stderr = (open(fd, "rb", buffering=0) for fd in streams[1:])  # noqa: SIM115

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.ended(self._birth)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises TimeoutExpired after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise process.TimeoutExpired(f"child {self.pid}", timeout or 0)
            self._server.listen(left)
        return code

    def close(self) -> None:
        """Close its pipes."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            with suppress(OSError):
                pipe.close()


class Forker:
    """A process that forks a child for each byte that comes with three descriptors on a socket of its own.

    It answers `<pid>`, and `<pid> <exit code>` when the child ends; and it ends when the socket does. Each child is
    in a process group of its own.
    """

    UNKNOWN = 255
    """The exit code of a child that outlived its server."""

    def __init__(
        self, control: socket.socket, process: "process.Heard | Forked | _Adopted", complaints: process.Tail
    ) -> None:
        self._control = control
        self._process = process
        self._complaints = complaints
        self._heard = b""
        self._born: list[_Birth] = []
        self._living: dict[int, _Birth] = {}
        self._gone = False

    def spawn(self, *, stays: bool = False, word: bytes = b".") -> Forked:
        """A child of its own.

        Args:
            stays: it may become a `Forker`, so that its standard input is a socket.
            word: what is asked for.

        Raises:
            ToolError: the server ended; with the last line that it printed.
        """
        (stdin, ours_in), (ours_out, stdout), (ours_err, stderr) = (
            _socket_pair() if stays else os.pipe(),
            os.pipe(),
            os.pipe(),
        )
        theirs, ours = (stdin, stdout, stderr), (ours_in, ours_out, ours_err)
        try:
            with suppress(BrokenPipeError):
                socket.send_fds(self._control, [word], theirs)
        finally:
            for fd in theirs:  # ours would keep the pipes open when the child has ended
                os.close(fd)
        try:
            while not self._born and not self._gone:
                self.listen(None)
        except BaseException:  # a signal: nobody can tell the next one's birth from this one's any more
            self._gone = True
            raise
        if not self._born:
            for fd in ours:
                os.close(fd)
            code, lines = self._process.wait(), self._complaints.text().strip().splitlines()
            raise ToolError(f"the child process ended with {code}" + (f": {lines[-1]}" if lines else ""))
        return Forked(self, self._born.pop(), ours)

    def spawn_server(
        self, *, env: Mapping[str, str], cwd: Path, keep: Sequence[int] = (), driver: str = ""
    ) -> Forked:
        """A child that forks others from its start, by its standard input, as if it had been started for that.

        Args:
            env: all that it has of an environment.
            cwd: where it runs.
            keep: descriptors that it holds.
            driver: as `Launch.driver`.

        Raises:
            ToolError: the server ended; with the last line that it printed.
        """
        if len(keep) > MOST_DESCRIPTORS:
            raise ToolError(f"{len(keep)} descriptors are more than {MOST_DESCRIPTORS}.")
        child = self.spawn(stays=True, word=b"s")
        told = json.dumps({"environ": dict(env), "directory": str(cwd), "driver": driver}).encode()
        # where it is gone, the first child that it is asked for says so
        with socket.socket(fileno=os.dup(child.stdin.fileno())) as control, suppress(BrokenPipeError):
            socket.send_fds(control, [len(told).to_bytes(8, "big")], keep)
            control.sendall(told)
        return child

    def listen(self, timeout: float | None) -> None:
        """Wait for news, at most `timeout` seconds."""
        if self._gone:  # nobody tells any more: who waits looks at the child's pid now and then
            time.sleep(min(timeout or 0.05, 0.05))
            return
        if not process.readable(self._control.fileno(), timeout):
            return
        try:
            data = self._control.recv(4096)
        except ConnectionError:
            data = b""
        self._gone = not data
        # a stream: one read may hold several lines, or a part of one
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            pid, *code = (int(word) for word in line.split())
            if code:
                self._living.pop(pid).code = code[0]
            else:
                birth = self._living[pid] = _Birth(pid)
                self._born.append(birth)

    def ended(self, birth: _Birth) -> int | None:
        """How a child ended; None while it runs."""
        if birth.code is None:
            self.listen(0)
        if birth.code is None and self._gone:
            try:  # where we are the first process of a container, orphans become ours
                pid, status = os.waitpid(birth.pid, os.WNOHANG)
            except ChildProcessError:
                pass
            else:
                birth.code = os.waitstatus_to_exitcode(status) if pid else None
                return birth.code
            try:
                os.kill(birth.pid, 0)
            except ProcessLookupError:
                return self.UNKNOWN
        return birth.code

    def close(self) -> None:
        """End the program. Its children are the caller's affair."""
        self._gone = True
        self._control.close()
        if not isinstance(self._process, _Adopted):
            with suppress(process.TimeoutExpired):
                self._process.wait(5)
            process.end_group(self._process, grace=0.2)
        self._complaints.text(1.0)
        if isinstance(self._process, Forked):
            self._process.close()
        else:
            self._process.stderr.close()


class ForkServer(Forker):
    """A program that is a `Forker` by its standard input.

    Raises:
        ToolError: the program could not be started.
    """

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, pass_fds: Sequence[int]
    ) -> None:
        control, theirs = socket.socketpair()
        try:
            with theirs:
                started = process.popen(
                    process.Heard,
                    argv,
                    env=env,
                    cwd=cwd,
                    pass_fds=pass_fds,
                    stdin=theirs.fileno(),
                    stdout=process.NOTHING,
                )
        except ToolError:
            control.close()
            raise
        super().__init__(control, started, process.Tail(started.stderr))


def forker_of(child: Forked, complaints: process.Tail) -> Forker:
    """A child that forks others from now on, as it is asked to by its standard input."""
    control = socket.socket(fileno=os.dup(child.stdin.fileno()))
    child.stdin.close()
    return Forker(control, child, complaints)


@dataclass
class _Adopted:
    """A process that another one started, which alone hears how it ends. It ends when its socket does."""

    pid: int
    stderr: IO[bytes]

    def wait(self) -> int:
        """It has ended, or does so now."""
        return Forker.UNKNOWN


def adopt(pid: int, control: socket.socket, stderr: IO[bytes]) -> Forker:
    """A child of another process that forks others; that one has handed it over."""
    return Forker(control, _Adopted(pid, stderr), process.Tail(stderr))


def _socket_pair() -> tuple[int, int]:
    theirs, ours = socket.socketpair()
    return theirs.detach(), ours.detach()
