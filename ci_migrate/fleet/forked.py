"""Functions in processes of their own, forked from one that has imported what they need: no second for each start."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path

from ci_migrate.migrations import forking
from ci_migrate.migrations.lender import Lender
from ci_migrate.process import bare_environment


class Job:
    """A function in a process of its own. It gets the writing end of a pipe and its arguments, and sends bytes once.

    Args:
        preload: the module that the process which forks has imported.
        function: importable by its name.
        arguments: for it; they go through a pipe, so they may be secrets.
    """

    def __init__(self, preload: str, function: Callable[..., None], *arguments: object) -> None:
        self.answers, write = connection.Pipe(duplex=False)
        self._process = _forking(preload).Process(target=function, args=(write, *arguments))
        self._process.start()
        write.close()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid or 0

    def signal(self, number: int) -> None:
        """Send a signal; to one that has ended none."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self) -> tuple[bytes | None, int]:
        """Wait for its end: what it sent, None where it sent nothing; and its exit code, or minus the signal."""
        sent: bytes | None = None
        with suppress(EOFError):
            sent = self.answers.recv_bytes()
        self.answers.close()
        self._process.join()
        return sent, self._process.exitcode or 0

    @staticmethod
    def ended(jobs: Sequence["Job"], timeout: float) -> list["Job"]:
        """Those that have sent something or ended, after at most `timeout` seconds."""
        ready = connection.wait([job.answers for job in jobs], timeout)
        return [job for job in jobs if job.answers in ready]


@dataclass(frozen=True)
class Lent:
    """An interpreter of the project's that another process forked for this one. It can be an argument of a `Job`."""

    python: str
    environ: Mapping[str, str]
    pid: int
    control: socket.socket
    complaints: connection.Connection

    def take(self) -> Lender:
        """To be used. Once."""
        stderr = open(os.dup(self.complaints.fileno()), "rb", buffering=0)  # noqa: SIM115 - as long as this process
        return Lender(self.python, self.environ, forking.adopt(self.pid, self.control, stderr))


@contextmanager
def lend(lender: Lender, directory: Path) -> Iterator[Lent]:
    """A child of an interpreter, to be given to another process within the block.

    Raises:
        ToolError: the interpreter is gone.
    """
    child = lender.forker.spawn_server(env=lender.environ, cwd=directory)
    control = socket.socket(fileno=os.dup(child.stdin.fileno()))
    complaints = connection.Connection(os.dup(child.stderr.fileno()), writable=False)
    try:
        yield Lent(lender.python, lender.environ, child.pid, control, complaints)
    finally:
        control.close()
        complaints.close()
        child.close()


@cache
def _forking(preload: str) -> ForkServerContext:
    """The process that forks, and its helper.

    They start with a bare environment, and look for no module in the working directory, where a repository may have
    one of any name.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    with bare_environment(PYTHONSAFEPATH="1"):
        resource_tracker.ensure_running()
        forkserver.ensure_running()
    return context
