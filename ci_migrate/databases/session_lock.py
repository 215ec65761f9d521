"""What run locks held by a session of their own have in common, on every server."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ci_migrate.errors import LockedError

POLL = 0.2
"""Seconds between two tries."""

KEEP_ALIVE = 30.0
"""Seconds between two signs of life: what lies between us and the server may forget a connection that is quiet."""


@dataclass(frozen=True)
class SessionLock:
    """A lock that is held. It frees itself when the session, or the process, ends.

    `ask` sends one statement by the lock's session and returns the first value of its answer; what goes wrong there
    it raises as `lost` makes it. `alive` and `free` are statements: whether it is still held, and the end of it.
    """

    ask: Callable[[str], Any]
    place: str
    alive: str
    free: str
    turn: threading.Lock = field(default_factory=threading.Lock)  # a session takes one statement at a time

    fd = None

    def check(self) -> None:
        """Ask whether it is still held. Raises LockedError if the session is gone, and the lock with it."""
        with self.turn:
            held = self.ask(self.alive)
        if not held:
            raise lost(self.place, "the server says that it is not held")

    def release(self) -> None:
        """Free it. Raises LockedError if it was not held any more."""
        with self.turn:
            held = self.ask(self.free)
        if not held:
            raise lost(self.place, "the server says that it was not held")


def lost(place: str, why: str) -> LockedError:
    """The error for a lock that is gone while a run relies on it."""
    return LockedError(
        f"The run lock of {place} was lost: {why}.",
        state="Another run may have started since.",
        hint="Look at `ci-migrate status` before anything else.",
    )


@contextmanager
def release_after(lock: SessionLock) -> Iterator[SessionLock]:
    """The lock, kept alive while the block runs, and freed at its end."""
    over = threading.Event()
    threading.Thread(target=_keep_alive, args=(lock, over), name="run lock", daemon=True).start()
    try:
        yield lock
    except BaseException:
        over.set()
        with suppress(LockedError):  # what ended the run is the news
            lock.release()
        raise
    over.set()
    lock.release()


def _keep_alive(lock: SessionLock, over: threading.Event) -> None:
    """Ask now and then. A lock that is lost is told to those who ask next: here nobody listens."""
    with suppress(LockedError):
        while not over.wait(KEEP_ALIVE):
            lock.check()


def wait_for_lock(taken: Callable[[], bool], holder: Callable[[], str], place: str, deadline: float) -> None:
    """Try until the lock is taken. Raises LockedError naming its holder at the deadline (monotonic seconds)."""
    while not taken():
        if time.monotonic() >= deadline:
            raise LockedError(
                f"{place} is locked by {holder()}.",
                hint="Wait for that run to end, or see what it does: ci-migrate status",
            )
        time.sleep(POLL)


def wait_for_orphans(
    orphans: Callable[[], list[str]], place: str, end: Callable[[str], str], deadline: float
) -> None:
    """Wait until nothing of an earlier run is at work: a killed run's lock is free at once, its last statement is not.

    Args:
        orphans: what is at work, as words that begin with `pid N,`.
        place: where.
        end: the statement that ends the session of a pid.
        deadline: monotonic seconds.

    Raises:
        LockedError: something still is, at the deadline.
    """
    while found := orphans():
        if time.monotonic() >= deadline:
            pid = found[0].split()[1].strip(",")
            raise LockedError(
                f"A session of an earlier run is still at work in {place}: {found[0]}.",
                hint=f"Wait for it, or end it: {end(pid)}",
            )
        time.sleep(POLL)
