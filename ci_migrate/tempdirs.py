"""Folders for what must not stay: scratch copies, decrypted backups. What a killed process left is removed later.

Rows of people may lie in them. A SIGKILL leaves them behind, so each holds a lock for as long as its process lives, and
whoever comes next removes those of this user whose lock is free.
"""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "ci-migrate-"
_LOCK = ".lock"
_MADE = re.compile(_PREFIX + "[a-z0-9_]{8}")
"""As `tempfile` names folders: one that somebody calls otherwise is not ours."""
_YOUNG = 60.0
"""Seconds: a folder that is this young may not have taken its lock yet."""


OWN = ".ci-migrate"
"""The folder in a project that holds all that runs leave there: backups, reports."""


def make_folder(folder: Path) -> None:
    """A folder and those above it, never writable for other users, whatever the umask says.

    Ours in a project ignores itself, so that nobody commits backups, which hold people's data.
    """
    for place in (*reversed(folder.parents), folder):
        with suppress(FileExistsError):
            place.mkdir(mode=0o755)
            if place.name == OWN:
                create_file(place / ".gitignore", b"*\n")


def create_file(path: Path, text: bytes) -> None:
    """A new file, flushed to the disk, never writable for other users, whatever the umask says. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder of this user's alone in the folder for temporary files, removed when the block is left."""
    place = Path(tempfile.mkdtemp(prefix=_PREFIX))  # mode 0700
    lock = os.open(place / _LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = place / "folder"
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def sweep_folders() -> list[Path]:
    """Remove the folders that killed processes of this user left; returns which."""
    swept = []
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # gone meanwhile, another user's, held
            status = place.lstat()
            if status.st_uid != os.geteuid() or time.time() - status.st_mtime < _YOUNG or place.is_symlink():
                continue
            try:
                lock = os.open(place / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                if _MADE.fullmatch(
                    place.name
                ):  # killed before it was locked, so before anything was put there
                    place.rmdir()  # fails where something is in it
                    swept.append(place)
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(place)
                swept.append(place)
            finally:
                os.close(lock)
    return swept
