"""Subprocesses: the only importer of subprocess. Lists of arguments, never a shell, never a secret in argv."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from select import POLLIN, poll
from typing import IO, Protocol, TypeVar

from ci_migrate.errors import ToolError

OUTPUT_LIMIT = 64 * 1024
"""Bytes of a child's complaints that are kept: the end of them, where the error stands."""

DATA_LIMIT = 256 * 1024 * 1024
"""Bytes of a tool's output that is data. More is an error: data that was cut would be taken for all of it."""

PR_SET_DUMPABLE = 4
"""<linux/prctl.h>."""

PLAIN = frozenset(("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"))
"""Variables without which a program does not find others, its files or its language."""

LONGEST = 1e6
"""Seconds that are for ever: poll(2) takes no more than 2^31 ms."""

TimeoutExpired = subprocess.TimeoutExpired
NOTHING = subprocess.DEVNULL


class Heard(subprocess.Popen[bytes]):
    """A program whose complaints are read."""

    stderr: IO[bytes]

    def wait(self, timeout: float | None = None) -> int:
        """As Popen's, which looks again after naps of up to 50 ms; on Linux the kernel tells when it ends.

        Raises:
            TimeoutExpired: it runs after `timeout` seconds.
        """
        if sys.platform == "linux" and timeout is not None and self.poll() is None:
            with suppress(OSError):  # an old kernel, or no descriptor left
                told = os.pidfd_open(self.pid)
                try:
                    if not readable(told, timeout):
                        raise subprocess.TimeoutExpired(self.args, timeout)
                finally:
                    os.close(told)
        return super().wait(timeout)


def readable(descriptor: int, timeout: float | None) -> bool:
    """Whether there is something to read, or an end, within `timeout` seconds; any number of a descriptor will do."""
    events = poll()
    events.register(descriptor, POLLIN)
    return bool(events.poll(None if timeout is None else min(max(0.0, timeout), LONGEST) * 1000))


class Child(Heard):
    """A program with a pipe for each of its three standard streams."""

    stdin: IO[bytes]
    stdout: IO[bytes]


HeardT = TypeVar("HeardT", bound=Heard)


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
    return popen(Child, argv, env=env, cwd=cwd, pass_fds=pass_fds, stdin=pipe, stdout=pipe)


def popen(
    kind: type[HeardT],
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    pass_fds: Sequence[int],
    stdin: int,
    stdout: int,
) -> HeardT:
    """As `spawn`, for any kind of program, with these two of its standard streams."""
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


class Ends(Protocol):
    """A process that leads a group of its own."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises TimeoutExpired after `timeout` seconds."""


def end_group(child: Ends, grace: float = 3.0) -> None:
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
