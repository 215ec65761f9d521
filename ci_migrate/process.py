"""Subprocesses: the only importer of subprocess. Lists of arguments, never a shell, never a secret in argv."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ci_migrate.errors import ToolError

OUTPUT_LIMIT = 64 * 1024
"""Bytes of a child's output that are kept: the end of it, where the error stands."""

Popen = subprocess.Popen
TimeoutExpired = subprocess.TimeoutExpired


class Tail:
    """Reads a pipe to its end in a thread and keeps the last `OUTPUT_LIMIT` bytes of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._kept = b""
        self._dropped = 0
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._pipe.fileno(), 65536):
            kept = self._kept + data
            self._dropped += max(0, len(kept) - OUTPUT_LIMIT)
            self._kept = kept[-OUTPUT_LIMIT:]

    def text(self, timeout: float = 5.0) -> str:
        """All that was kept, once the pipe has ended (or `timeout` seconds have)."""
        self._thread.join(timeout)
        text = self._kept.decode(errors="replace")
        return f"[{self._dropped} bytes left out]\n{text}" if self._dropped else text


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a child in a process group of its own, with pipes for its three standard streams.

    Raises:
        ToolError: the program could not be started.
    """
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
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


def end_group(child: "subprocess.Popen[bytes]", grace: float = 3.0) -> None:
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
) -> str:
    """Run a client tool to its end and return what it printed.

    Args:
        argv: program and arguments; no secrets (they would show in `ps`).
        env: added to this process's environment.
        cwd: where it runs.
        timeout: seconds; None waits for ever.

    Raises:
        ToolError: it could not be started, failed, or took too long; with its last line of output.
    """
    with running(argv, env=env, cwd=cwd) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.close()
        out, err = Tail(child.stdout), Tail(child.stderr)
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
        return printed


@contextmanager
def running(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> "Iterator[subprocess.Popen[bytes]]":
    """A child that is ended, with all that it started, however the block is left."""
    child = spawn(argv, env={**os.environ, **(env or {})}, cwd=cwd, pass_fds=pass_fds)
    try:
        yield child
    finally:
        if child.poll() is None:
            end_group(child)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
