"""Reading a backup from its storage: its files held against the manifest, where they lie or on their way here."""

import hashlib
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ci_migrate.backups.room import is_full
from ci_migrate.backups.storage import Storage, written_at
from ci_migrate.errors import BackupError, UsageError
from ci_migrate.model import Backup, BackupFile, BackupStatus

LIST = "See what there is: `ci-migrate backup list`"

SLACK = 64 * 1024 * 1024
MOST_FOR_A_BYTE = 64
"""Bytes of a dump for each that the database has on its disk, pages being compressed there and blobs being hex here."""

_SHOWN = 120


def check_id(backup_id: str) -> str:
    """Give a backup id back if it is one; nothing else is ever made part of a path.

    Raises:
        UsageError: it is not written like a backup id.
    """
    if written_at(backup_id) is None:
        raise UsageError(f"{backup_id[:_SHOWN]!r} is no backup id.", hint=LIST)
    return backup_id


def check_listing(storage: Storage, backup: Backup) -> None:
    """Raise BackupError unless exactly the files of the manifest are there, in their sizes."""
    if backup.status is not BackupStatus.SUCCESS:
        raise BackupError(f"{backup.backup_id} is not complete: {backup.description}.", hint=LIST)
    found = storage.sizes(backup.backup_id)
    extra = sorted(found.keys() - {file.path for file in backup.files})
    if extra or not backup.files:
        what = f"{extra[0]} is not in its manifest" if extra else "its manifest names no file"
        raise BackupError(f"{backup.backup_id} is not as it was written: {what}.", hint=LIST)
    for file in backup.files:
        if file.path.startswith("/") or ".." in file.path.split("/"):  # a bucket may hold such a name
            raise _damage_error(backup, file, "leads out of it")
        size = found.get(file.path)
        if size is None:
            raise _damage_error(backup, file, "is missing")
        if size != file.size:
            raise _damage_error(backup, file, f"has {size} bytes, {file.size} were written")


def read_file(
    storage: Storage,
    backup: Backup,
    file: BackupFile,
    into: Path | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> None:
    """Read a file that is in the listing, compare its checksum, and write it to `into` where that is given."""
    digest, done = hashlib.sha256(), 0
    with ExitStack() as stack:
        copy = None
        if into is not None:
            into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            copy = stack.enter_context(into.open("xb"))
        for piece in storage.read(backup.backup_id, file.path):
            digest.update(piece)
            done += len(piece)
            progress(done)
            if copy is not None:
                copy.write(piece)
    if digest.hexdigest() != file.sha256:
        raise _damage_error(backup, file, "has another checksum than was written")


def fetch(storage: Storage, backup: Backup, folder: Path) -> None:
    """Copy the files of a backup into a local folder, each compared with its checksum on the way.

    Raises:
        BackupError: a file is damaged, or there is no room.
    """
    needed, free = sum(file.size for file in backup.files), shutil.disk_usage(folder).free
    what = f"{backup.backup_id} could not be fetched from {storage.place} to {folder}"
    figures = f"{needed} bytes needed, {free} bytes free"
    hint = "Make room there, or set TMPDIR to a folder on a larger disk."
    if free < needed:
        raise BackupError(f"{what}: {figures}.", hint=hint)
    try:
        for file in backup.files:
            read_file(storage, backup, file, folder / file.path)
    except OSError as error:
        hint = hint if is_full(error) else "Look at both places and their rights, then run again."
        raise BackupError(f"{what}: {error.strerror or error} ({figures}).", hint=hint) from error


def most_unpacked(backup: Backup) -> int:
    """Bytes that the files may unpack to: more than that no database of the size that the manifest names can hold.

    A hundred kilobytes of zstd may be gigabytes: whoever unpacks them stops there.
    """
    return SLACK + MOST_FOR_A_BYTE * max(backup.database_size, backup.backup_size)


def _damage_error(backup: Backup, file: BackupFile, how: str) -> BackupError:
    return BackupError(f"{backup.backup_id} is damaged: {file.path} {how}.", hint=LIST)
