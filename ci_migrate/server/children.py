"""The service's side of a piece of work: a process of its own, told by standard input, heard by standard output."""

import logging
import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from ci_migrate.errors import CiMigrateError, ExitCode
from ci_migrate.process import Child, Tail, running
from ci_migrate.server.work import Answer, Work

log = logging.getLogger("ci_migrate.server")


class Children:
    """The processes that work for this service. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._alive: set[Child] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def perform(self, work: Work) -> Answer | None:
        """Have a piece of work done; None where the process died before it answered.

        Raises:
            ToolError: it could not be started.
        """
        argv = [sys.executable, "-m", "ci_migrate", "-C", str(self._directory), "serve", "work"]
        with running(argv) as child:
            with self._lock:
                self._alive.add(child)
                stopping = self._stopping
            try:
                # `stop` may have looked at who is alive just before this one was among them
                if stopping:  # it started while the service was told to stop
                    child.terminate()
                return _spoken_to(child, work)
            finally:
                with self._lock:
                    self._alive.discard(child)

    def stop(self) -> None:
        """Tell all to stop at the next statement boundary, as a CI does that ends a job."""
        with self._lock:
            self._stopping = True
            for child in self._alive:
                child.terminate()


def _spoken_to(child: Child, work: Work) -> Answer | None:
    complaints = Tail(child.stderr)  # read all the while: a child whose pipe is full stands still in a write
    with suppress(BrokenPipeError):  # it died: that it says nothing tells
        child.stdin.write(msgspec.json.encode(work))
        child.stdin.close()
    said = child.stdout.read()
    code = child.wait()
    text = complaints.text().strip()
    try:
        answer = msgspec.json.decode(said, type=Answer)
    except msgspec.DecodeError:
        log.error("%r ended with %s and said nothing.\n%s", work, code, text)  # noqa: TRY400 - it tells nothing more
        return None
    if answer.exit_code == ExitCode.BUG:
        log.error("%r: %s", work, text)
    return answer


def answer_error(error: BaseException) -> Answer:
    """An answer for what went wrong on the service's side."""
    if isinstance(error, CiMigrateError):
        return Answer(exit_code=int(error.exit_code), body={"message": "\n".join(error.lines)})
    return Answer(exit_code=int(ExitCode.BUG), body={"message": f"Bug in ci-migrate: {type(error).__name__}"})
