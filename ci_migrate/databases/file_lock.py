"""The run lock as an OS file lock. It frees itself when the last process that has the descriptor is gone.

A child inherits the descriptor: while it lives, a parent that was killed has not freed the lock. For the same
reason the lock is released by closing, never by LOCK_UN, and the file stays: deleting a lock file races.
"""

import fcntl
import os
import pwd
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ci_migrate.errors import DatabaseError, LockedError
from ci_migrate.model import now

_POLL = 0.1


@dataclass(frozen=True)
class FileLock:
    """A lock that is held. See `base.Lock`."""

    path: Path
    fd: int

    def check(self) -> None:
        """Raise LockedError if the file is no longer the one that is locked."""
        if not _is_at(self.path, self.fd):
            raise LockedError(
                f"The lock file {self.path} was removed or replaced while this run held it.",
                hint="Look for another run that may have started, then run again.",
            )


@contextmanager
def file_lock(path: Path, run_id: str, timeout: float) -> Iterator[FileLock]:
    """Hold the lock on `path`.

    Args:
        path: the lock file; made if it is not there (mode 0600), never followed if it is a link.
        run_id: written into it, for the message that the next one gets.
        timeout: seconds to try for.

    Raises:
        LockedError: somebody else holds it; names the holder.
        DatabaseError: the file can't be made or opened.
    """
    fd = _acquire(path, timeout)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"run {run_id}, pid {os.getpid()}, since {now():%Y-%m-%d %H:%M:%S} UTC".encode(), 0)
        yield FileLock(path, fd)
    finally:
        os.close(fd)


def lock_holders(*paths: Path) -> list[str]:
    """Other processes that hold a lock on one of these files, as words; [] where the system does not tell (Linux does).

    What they ask of the database, and since when, no system knows.
    """
    wanted = set()
    for path in paths:
        with suppress(OSError):
            found = path.stat()
            wanted.add(f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}")
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    holders: dict[int, str] = {}
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 4711 fd:01:1835 1073741824 1073742335; who waits has "->" behind the number
        _, _, *fields = line.split()
        if (
            len(fields) >= 4
            and fields[3] in wanted
            and fields[2].isdecimal()
            and int(fields[2]) != os.getpid()
        ):
            pid = int(fields[2])
            holders[pid] = "write" if "write" in (fields[1].lower(), holders.get(pid)) else "read"
    return [_process(pid, mode) for pid, mode in sorted(holders.items())]


def _process(pid: int, mode: str) -> str:
    command, user = "a process that can't be seen", "unknown"
    with suppress(OSError, KeyError):
        command = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
        user = pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name
    return f"pid {pid}, {command}, user {user}, holds a {mode} lock"


def _acquire(path: Path, timeout: float) -> int:
    deadline = time.monotonic() + timeout
    while True:
        fd = _open(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, fd):
                return fd
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 1000, 0).decode(errors="replace") or "an unknown run"
                os.close(fd)
                raise LockedError(
                    f"{path} is held by another run ({holder}).",
                    hint="Wait for it to end, or end it, then run again.",
                ) from error
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        time.sleep(min(_POLL, max(0.0, deadline - time.monotonic())))


def _open(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise DatabaseError(
            f"The lock file {path} can't be opened: {error.strerror}.",
            hint="It must be a plain file that this user may write; if nothing runs, remove it.",
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise DatabaseError(f"The lock file {path} is not a plain file.", hint="Remove it, then run again.")
    return fd


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False
