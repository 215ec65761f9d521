"""Subprocesses: the only importer of subprocess. Lists of arguments, never a shell, never a secret in argv."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from select import select
from typing import IO, TypeVar

from ci_migrate.errors import ToolError

OUTPUT_LIMIT = 64 * 1024
"""Bytes of a child's complaints that are kept: the end of them, where the error stands."""

DATA_LIMIT = 256 * 1024 * 1024
"""Bytes of a tool's output that is data. More is an error: data that was cut would be taken for all of it."""

PR_SET_DUMPABLE = 4
"""<linux/prctl.h>."""

PLAIN = frozenset(("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"))
"""Variables without which a program does not find others, its files or its language."""

TimeoutExpired = subprocess.TimeoutExpired


class _Heard(subprocess.Popen[bytes]):
    """A program whose complaints are read."""

    stderr: IO[bytes]


class Child(_Heard):
    """A program with a pipe for each of its three standard streams."""

    stdin: IO[bytes]
    stdout: IO[bytes]


HeardT = TypeVar("HeardT", bound=_Heard)


class Tail:
    """Reads a pipe to its end in a thread and keeps the last `limit` bytes of it."""

    def __init__(self, pipe: IO[bytes], limit: int = OUTPUT_LIMIT) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.dropped = 0  # bytes that were left out, once the pipe has ended
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._pipe.fileno(), 65536):
            self._kept += data
            surplus = len(self._kept) - self._limit
            if surplus > 0:
                self.dropped += surplus
                del self._kept[:surplus]

    def text(self, timeout: float = 5.0) -> str:
        """All that was kept, once the pipe has ended (or `timeout` seconds have)."""
        self._thread.join(timeout)
        text = bytes(self._kept).decode(errors="replace")
        return f"[{self.dropped} bytes left out]\n{text}" if self.dropped else text


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a child in a process group of its own, with pipes for its three standard streams.

    Raises:
        ToolError: the program could not be started.
    """
    pipe = subprocess.PIPE
    return _popen(Child, argv, env=env, cwd=cwd, pass_fds=pass_fds, stdin=pipe, stdout=pipe)


def _popen(
    kind: type[HeardT],
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    pass_fds: Sequence[int],
    stdin: int,
    stdout: int,
) -> HeardT:
    hide_memory()
    try:
        return kind(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise ToolError(
            f"{argv[0]} could not be started: {error.strerror}.",
            hint="Check the path, or set `python` in the settings.",
        ) from error


@cache
def hide_memory() -> None:
    """Let no other process of this user read our memory and environment, or attach to us. Once is for ever.

    A child that runs code of the repository has our user's rights: /proc/PPID/environ shows it the token, the ledger's
    password and the target's, and a debugger the rest. On Linux a process may refuse that (and writes no core dump
    then); a program that it starts is as open as before. Nothing holds root off; other systems have nothing like it.
    """
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):  # a libc without it: then it stays as it was
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


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
                raise subprocess.TimeoutExpired(f"child {self.pid}", timeout or 0)
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

    def __init__(self, control: socket.socket, process: "_Heard | Forked", complaints: Tail) -> None:
        self._control = control
        self._process = process
        self._complaints = complaints
        self._heard = b""
        self._born: list[_Birth] = []
        self._living: dict[int, _Birth] = {}
        self._gone = False

    def spawn(self, *, stays: bool = False) -> Forked:
        """A child of its own.

        Args:
            stays: it may become a `Forker`, so that its standard input is a socket.

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
                socket.send_fds(self._control, [b"."], theirs)
        finally:
            for fd in theirs:  # ours would keep the pipes open when the child has ended
                os.close(fd)
        while not self._born and not self._gone:
            self.listen(None)
        if not self._born:
            for fd in ours:
                os.close(fd)
            code, lines = self._process.wait(), self._complaints.text().strip().splitlines()
            raise ToolError(f"the child process ended with {code}" + (f": {lines[-1]}" if lines else ""))
        return Forked(self, self._born.pop(), ours)

    def listen(self, timeout: float | None) -> None:
        """Wait for news, at most `timeout` seconds."""
        if self._gone:  # nobody tells any more: who waits looks at the child's pid now and then
            time.sleep(min(timeout or 0.05, 0.05))
            return
        if not select([self._control], [], [], timeout)[0]:
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
            try:
                os.kill(birth.pid, 0)
            except ProcessLookupError:
                return self.UNKNOWN
        return birth.code

    def close(self) -> None:
        """End the program. Its children are the caller's affair."""
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        end_group(self._process, grace=0.2)
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
                process = _popen(
                    _Heard,
                    argv,
                    env=env,
                    cwd=cwd,
                    pass_fds=pass_fds,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                )
        except ToolError:
            control.close()
            raise
        super().__init__(control, process, Tail(process.stderr))


def forker_of(child: Forked, complaints: Tail) -> Forker:
    """A child that forks others from now on, as it is asked to by its standard input."""
    control = socket.socket(fileno=os.dup(child.stdin.fileno()))
    child.stdin.close()
    return Forker(control, child, complaints)


def _socket_pair() -> tuple[int, int]:
    theirs, ours = socket.socketpair()
    return theirs.detach(), ours.detach()


def end_group(child: "_Heard | Forked", grace: float = 3.0) -> None:
    """End a child and all that it started: SIGTERM to its process group, SIGKILL after `grace` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        except PermissionError:  # macOS answers so for a group of zombies
            break
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            continue
    child.wait()


def run_tool(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    inherit: bool = True,
) -> str:
    """Run a client tool to its end and return all that it printed.

    Args:
        argv: program and arguments; no secrets (they would show in `ps`).
        env: added to this process's environment.
        cwd: where it runs.
        timeout: seconds; None waits for ever.
        inherit: False where `env` is all that it gets.

    Raises:
        ToolError: it could not be started, failed, took too long, or printed more than `DATA_LIMIT`; with its last
            line of output.
    """
    with running(argv, env=env, cwd=cwd, inherit=inherit) as child:
        child.stdin.close()
        out, err = Tail(child.stdout, DATA_LIMIT), Tail(child.stderr)
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise ToolError(f"{Path(argv[0]).name} took longer than {timeout:.0f} s.") from error
        finally:
            if child.poll() is None:
                end_group(child)
            # both threads end before the pipes close: a descriptor that is closed may be another file's next
            printed, complained = out.text(), err.text()
        if code:
            lines = complained.strip().splitlines() or printed.strip().splitlines()
            last = lines[-1] if lines else "(it printed nothing)"
            raise ToolError(f"{Path(argv[0]).name} failed with exit code {code}: {last}")
        if out.dropped:
            raise ToolError(f"{Path(argv[0]).name} printed more than {DATA_LIMIT} bytes.")
        return printed


def run_command(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    timeout: float,
    limit: int = OUTPUT_LIMIT,
) -> tuple[int | None, str]:
    """Run a command of the user's to its end.

    Args:
        argv: program and arguments; no secrets (they would show in `ps`).
        env: all that it gets of an environment, beside `PLAIN`.
        cwd: where it runs.
        timeout: seconds; then it is ended, with all that it started.
        limit: bytes of each stream that are kept.

    Returns:
        Its exit code, None where it took too long, and the end of what it printed on both streams.

    Raises:
        ToolError: it could not be started.
    """
    plain = {name: value for name, value in os.environ.items() if name in PLAIN or name.startswith("LC_")}
    with running(argv, env={**plain, **env}, cwd=cwd, inherit=False) as child:
        child.stdin.close()
        out, err = Tail(child.stdout, limit), Tail(child.stderr, limit)
        code: int | None = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = child.wait(timeout)
        finally:
            end_group(child)  # also what it left running behind it: that may still hold the scratch copy
            # both threads end before the pipes close: a descriptor that is closed may be another file's next
            printed = out.text() + err.text()
        return code, printed


@contextmanager
def running(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    inherit: bool = True,
) -> Iterator[Child]:
    """A child that is ended, with all that it started, however the block is left.

    `env` is added to this process's environment; without `inherit` it is all that the child gets.
    """
    environ = {**(os.environ if inherit else {}), **(env or {})}
    child = spawn(argv, env=environ, cwd=cwd, pass_fds=pass_fds)
    try:
        yield child
    finally:
        if child.poll() is None:
            end_group(child)
        for pipe in (child.stdin, child.stdout, child.stderr):
            pipe.close()


@contextmanager
def bare_environment(**more: str) -> Iterator[None]:
    """What is started in this block gets no variable that may hold a secret: not all of it can hide its memory."""
    before = dict(os.environ)
    needed = {n: v for n, v in before.items() if n in PLAIN or n.startswith(("LC_", "LD_", "PYTHON"))}
    take_environment({**needed, **more})
    try:
        yield
    finally:
        take_environment(before)


def own_environment() -> dict[str, str]:
    """All of this process's environment, for one that is no command line."""
    return dict(os.environ)


def take_environment(environ: Mapping[str, str]) -> None:
    """Let this process, and what it starts from now on, have this environment and no other."""
    os.environ.clear()
    os.environ.update(environ)
