"""How large a backup will be, how long it will take, and whether there is room: told from the last ones."""

import errno
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ci_migrate.backups.storage import Storage
from ci_migrate.databases.base import Database, KnowsRoom
from ci_migrate.errors import BackupError, DatabaseError, ToolError
from ci_migrate.model import Backup, BackupStatus

_LAST = 5
"""How many backups an estimate is made of."""

_MARGIN = 1.2
"""A backup may become so much larger than the last ones say."""

_HINT = "Make room (`ci-migrate backup prune`) or set backup-dir to another place."


@dataclass(frozen=True)
class Estimate:
    """What a backup will take. Bytes and seconds; `seconds` is None where no earlier backup tells.

    `stored` is the size that it will have, `needed` the room that it takes while it is written; without an earlier
    backup both are the database's size.
    """

    stored: int
    needed: int
    seconds: float | None = None


def estimate(database: Database, earlier: Iterable[Backup], *, partial: bool = False) -> Estimate:
    """Tell it from the last backups of the same target, the oldest first."""
    size, copies = database.size(), database.capabilities.dump_copies
    if partial:
        return Estimate(stored=0, needed=size if copies else 0)
    known = [
        b
        for b in earlier
        if b.status is BackupStatus.SUCCESS
        and b.database_size
        and b.backup_size
        and not b.partial
        and b.provider_id is None
    ][-_LAST:]
    if not known:
        return Estimate(stored=size, needed=size)
    stored = int(size * median(b.backup_size / b.database_size for b in known))
    seconds = size * median(b.seconds / b.database_size for b in known)
    return Estimate(stored, needed=int(stored * _MARGIN) + (size if copies else 0), seconds=seconds)


@contextmanager
def room_for(expected: Estimate, storage: Storage, *, encrypted: bool) -> Iterator[None]:
    """Refuse where there is no room, and give the figures where room may be what was missing.

    Raises:
        BackupError: there is none, or it could not be written.
    """
    free, needed = storage.free(), expected.needed
    if encrypted:  # the dump itself lies in the folder for temporary files
        temporary = Path(tempfile.gettempdir())
        _refuse(
            needed,
            shutil.disk_usage(temporary).free,
            str(temporary),
            "Set TMPDIR to a folder on a larger disk.",
        )
        needed = expected.stored
    figures = f"about {needed} bytes needed, {free} bytes free"
    _refuse(needed, free, storage.room, _HINT)
    try:
        yield
    except OSError as error:
        what = f"Writing the backup in {storage.room} failed: {error.strerror or error} ({figures})."
        hint = _HINT if is_full(error) else f"Look at {storage.room} and its rights, then run again."
        raise BackupError(what, hint=hint) from error
    except (BackupError, DatabaseError, ToolError) as error:
        # A dump may need twice its database: the copy, and what it is compressed to.
        if free is None or free >= 2 * needed:
            raise
        raise BackupError(f"{error.what} In {storage.room}: {figures}.", hint=error.hint or _HINT) from error


def is_full(error: OSError) -> bool:
    """Whether the operating system says that there is no room, rather than something else."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _refuse(needed: int, free: int | None, place: str, hint: str) -> None:
    if free is not None and free < needed:
        raise BackupError(
            f"No room for a backup in {place}: about {needed} bytes needed, {free} bytes free.", hint=hint
        )


def refuse_scratch_without_room(copies: Database, folder: Path, needed: int) -> None:
    """Raise DatabaseError where a scratch copy of so many bytes can't fit; nothing where that is not known."""
    found = copies.scratch_room(folder) if isinstance(copies, KnowsRoom) else None
    if found is not None and found[1] < needed:
        place, free = found
        raise DatabaseError(
            f"No room for a scratch copy in {place}: about {needed} bytes needed, {free} bytes free.",
            hint="Make room there, or let it live elsewhere: `scratch` (a server), TMPDIR (SQLite).",
        )
