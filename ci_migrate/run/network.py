"""Is the database still there? A proxy that is stuck takes all in and answers nothing, and no system notices that.

The run lock's session is asked again and again. Where no answer comes, the child is told to end, and our own sessions
with the server are shut: whoever waits for one of them gets an error instead of waiting for ever.
"""

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ci_migrate.databases.base import Database
from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.postgresql.sessions import libpq_parameters
from ci_migrate.errors import CiMigrateError
from ci_migrate.run.run import WritingRun

EVERY = 10.0
"""Seconds between two questions."""

TOLD = 20.0
"""Seconds without an answer after which that is told, and again after as many."""

SILENT = 60.0
"""Seconds without an answer after which nobody waits any longer."""

HURRIED = 5.0
"""As long after a second signal."""

LOOK = 0.25
"""Seconds between two looks at the clock."""

PORTS = {"mysql": 3306, "mariadb": 3306}


@contextmanager
def watch_network(run: WritingRun) -> Iterator[None]:
    """Notice within `SILENT` seconds that the database does not answer any more, while the block runs.

    Then `run.interrupt.silent` says so, which ends the child, and all sessions of this process with the database's
    server are shut, those too that are opened later: the block ends by their errors. A lock that is a file has no
    network.
    """
    if run.lock.fd is not None:
        yield
        return
    watch = _Watch(run)
    for work in (watch.ask, watch.look):
        threading.Thread(target=work, name="network", daemon=True).start()
    try:
        yield
    finally:
        watch.over.set()


@dataclass
class _Watch:
    run: WritingRun
    over: threading.Event = field(default_factory=threading.Event)
    asked: float = 0.0  # since when an answer is waited for; 0: none is

    def __post_init__(self) -> None:
        self.place = self.run.place  # now: later nobody may answer
        self.peers = set(_addresses(self.run))

    def ask(self) -> None:
        """Ask the lock's session. One that was lost is told where the lock is needed; then a new one is asked."""
        question = self.run.lock.check
        while not self.over.wait(1.0 if self.run.interrupt.number is not None else EVERY):
            self.asked = self.asked or time.monotonic()
            try:
                question()
            except CiMigrateError:
                question = self.run.database.ping
            else:
                self.asked = 0.0

    def look(self) -> None:
        """Tell how long there was no answer, and end it where that was too long."""
        told = TOLD
        while not self.over.wait(LOOK):
            asked, interrupt = self.asked, self.run.interrupt
            silent = time.monotonic() - asked if asked else 0.0
            if silent >= (HURRIED if interrupt.again else SILENT) and not interrupt.silent:
                interrupt.silent = f"{self.place} has not answered for {silent:.0f} s"
            if interrupt.silent:
                shut_sessions(self.peers)
            elif silent >= told:
                self.run.tell(f"no answer from the database for {silent:.0f} s")
                told += TOLD
            elif not silent:
                told = TOLD


def _addresses(run: WritingRun) -> Iterator[tuple[str, int]]:
    """Address and port of each server of the target; none for a socket of this machine."""
    for member in members_of(run.database).values():
        for host, port in _servers(member):
            if host and not host.startswith(("/", "@")):
                with suppress(OSError, ValueError):
                    yield from (
                        (str(found[4][0]), int(port)) for found in socket.getaddrinfo(host, int(port))
                    )


def _servers(member: Database) -> Iterator[tuple[str, str]]:
    """Host and port of each server that a URL may lead to, as its driver reads it."""
    if member.dialect != "postgresql":
        yield member.url.host or "", str(member.url.port or PORTS.get(member.dialect, 0))
        return
    found = libpq_parameters(member.url)  # several hosts, the environment's, an address beside its name
    hosts = (found.get("hostaddr") or found["host"]).split(",")
    ports = [port or "5432" for port in found["port"].split(",")]
    yield from zip(hosts, ports if len(ports) == len(hosts) else ports[:1] * len(hosts), strict=True)


def shut_sessions(peers: set[tuple[str, int]]) -> None:
    """Shut this process's connections with these addresses: who reads from one hears its end."""
    for place in Path("/dev/fd").iterdir():
        with suppress(OSError):  # the folder's own is closed by now, and others may be
            if not stat.S_ISSOCK(os.fstat(int(place.name)).st_mode):
                continue
            # a duplicate: closing the driver's own number here would give it to whoever opens a file next
            with socket.socket(fileno=os.dup(int(place.name))) as ours:
                if ours.family in (socket.AF_INET, socket.AF_INET6) and ours.getpeername()[:2] in peers:
                    ours.shutdown(socket.SHUT_RDWR)
