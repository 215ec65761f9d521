"""Where backups are kept: the contract, and a folder. A backup is published by its manifest, written last."""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shlex
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from ci_migrate.errors import BackupError, SettingsError
from ci_migrate.model import Backup, BackupFile
from ci_migrate.tempdirs import make_folder

MANIFEST = "manifest.json"

_CHUNK = 1 << 20

MANIFEST_LIMIT = 256 * 1024 * 1024
"""Bytes that a manifest may have, which is held in memory: 20,000 tables of 20 columns each need 102 MB."""
CLAIMS = "claims"
WRITING = ".writing"
_DELETED = ".deleted-"
_YOUNG = 60.0
"""Seconds in which a folder without a lock may belong to a process that is about to lock it."""

_ID = re.compile(r"backup_[A-Za-z0-9_.+-]+_([0-9]{8}_[0-9]{6})(_[0-9]+)?")
_ID_LENGTH = 120

MakeManifest = Callable[[tuple[BackupFile, ...]], Backup]
"""Gets the files of a backup, gives its manifest."""


def written_at(backup_id: str) -> str | None:
    """The time in a backup id (`20260131_235959`, UTC); None where this is no backup id."""
    match = _ID.fullmatch(backup_id) if len(backup_id) <= _ID_LENGTH else None
    return match[1] if match else None


class Storage(Protocol):
    """What a catalog asks of the place where backups are. Ids were checked before they come here.

    Where the place refuses or can't be reached, every method raises OSError or BackupError, without secrets.
    Implementations prove themselves with `ci_migrate.testing.storages`.
    """

    place: str
    """For people; holds no secret."""
    remote: bool
    """Whether backups leave this machine."""

    room: str
    """The local folder that `free` is about, for people: where the files of a new backup are written first."""

    def ids(self) -> list[str]:
        """Every backup that is there, half-written ones too, sorted. What is named otherwise is none of ours."""

    def path(self, backup_id: str) -> str:
        """Where a backup is, for people."""

    def manifest(self, backup_id: str) -> bytes | None:
        """The manifest of a backup; None where it has none."""

    def sizes(self, backup_id: str) -> dict[str, int]:
        """Each file of a backup but the manifest, with its size in bytes."""

    def busy(self, backup_id: str) -> bool:
        """Whether a process is writing it now."""

    def free(self) -> int | None:
        """Bytes that there is room for in `room`; None where that has no answer."""

    def writing(self, backup_id: str) -> AbstractContextManager[Path]:
        """An empty local folder for the files of a new backup.

        Raises FileExistsError if the id is taken. A block that is left by an exception leaves nothing behind.
        """

    def publish(self, backup_id: str, make_manifest: MakeManifest) -> Backup:
        """Flush the files of a backup that is being written, and write its manifest last.

        Returns the manifest.
        """

    def folder(self, backup_id: str) -> Path | None:
        """The local folder where the files of a backup lie; None where they lie elsewhere (see `read`)."""

    def read(self, backup_id: str, name: str) -> Iterator[bytes]:
        """A file of a backup, in pieces of at most some megabytes. Raises FileNotFoundError."""

    def delete(self, backup_id: str) -> None:
        """Remove a backup, complete or not. Killed in between: it is not listed, and `sweep` ends it."""

    def sweep(self) -> list[str]:
        """Remove what killed processes left behind, and nothing else; returns the ids."""

    def claim(self, name: str, owner: bytes) -> bool:
        """Note for good, create-only, who has used an approval: whether it is this owner's. Nothing removes it."""


@dataclass(frozen=True)
class StorageFactory:
    """Makes the Storage for a `backup-dir` of one of these URL schemes ("" is a plain folder).

    `make` gets the setting and the project's folder, from which a relative one starts.
    """

    schemes: tuple[str, ...]
    make: Callable[[str, Path], Storage]


def open_storage(
    place: str, base: Path, factories: Iterable[StorageFactory], *, called: str = "backup-dir"
) -> Storage:
    """The storage of a place.

    Args:
        place: a folder (relative to `base`), or a URL.
        base: the project's folder.
        factories: of all plugins.
        called: the place, in messages: the setting, or an argument.

    Raises:
        SettingsError: nothing here can write to such a URL, or two plugins claim its scheme.
    """
    scheme = urlsplit(place).scheme if "://" in place else ""
    fitting = [f for f in factories if scheme in f.schemes]
    if len(fitting) == 1:
        return fitting[0].make(place, base)
    # The rest of the URL may hold a key: only the scheme is shown.
    raise SettingsError(
        f"{called} is a {scheme}:// URL: {'two plugins claim it' if fitting else 'no plugin writes there'}.",
        hint=f"Let {called} be a folder, on a disk that outlives the CI job, or s3://bucket/prefix.",
    )


class LocalStorage:
    """Backups in a folder: a folder each, mode 0700, files 0600. Raises OSError where the system refuses."""

    remote = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.place = self.room = str(self._folder)

    def ids(self) -> list[str]:
        try:
            return sorted(p.name for p in self._folder.iterdir() if written_at(p.name) and p.is_dir())
        except FileNotFoundError:
            return []

    def path(self, backup_id: str) -> str:
        return str(self._folder / backup_id)

    def manifest(self, backup_id: str) -> bytes | None:
        try:
            # not blocking: a pipe of this name would wait for ever
            descriptor = os.open(
                self._folder / backup_id / MANIFEST, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            )
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is no plain file")
            refuse_long_manifest(status.st_size)
            return file.read(status.st_size)  # and no more, if it grows meanwhile

    def sizes(self, backup_id: str) -> dict[str, int]:
        return {name: path.lstat().st_size for name, path in self._files(backup_id)}

    def _files(self, backup_id: str) -> list[tuple[str, Path]]:
        folder = self._folder / backup_id
        found = (
            (p.relative_to(folder).as_posix(), p)
            for p in folder.rglob("*")
            if p.is_symlink() or not p.is_dir()
        )
        return sorted((name, path) for name, path in found if name not in (MANIFEST, WRITING))

    def busy(self, backup_id: str) -> bool:
        try:
            with (self._folder / backup_id / WRITING).open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def free(self) -> int | None:
        folder = next(p for p in (self._folder, *self._folder.parents) if p.exists())
        return shutil.disk_usage(folder).free

    @contextmanager
    def writing(self, backup_id: str) -> Iterator[Path]:
        self._prepare()
        folder = self._folder / backup_id
        folder.mkdir(mode=0o700)
        try:
            with os.fdopen(
                os.open(folder / WRITING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b"
            ) as lock:
                with suppress(OSError):  # a file system without locks: its age alone protects the folder
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _prepare(self) -> None:
        make_folder(self._folder.parent)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._refuse_shared()
        # Only in a folder that is ours: `*` in a project's own .gitignore would hide the project.
        if not any(self._folder.iterdir()):
            (self._folder / ".gitignore").write_text("*\n")

    def _refuse_shared(self) -> None:
        """Raise BackupError where another user could put a backup of theirs into the place of ours.

        A group that may write was chosen by somebody. As root the owner is not looked at: in a container's volume they
        are some number of the machine outside.
        """
        status = self._folder.stat()
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            raise BackupError(
                f"Everybody may write into the backup folder {self._folder}, and so replace what is restored.",
                hint=f"chmod o-w {shlex.quote(str(self._folder))}",
            )
        if os.geteuid() and status.st_uid not in (0, os.geteuid()):
            raise BackupError(
                f"The backup folder {self._folder} belongs to another user, who may replace what is restored.",
                hint="Set backup-dir to a folder of the user that this runs as.",
            )

    def publish(self, backup_id: str, make_manifest: MakeManifest) -> Backup:
        folder = self._folder / backup_id
        files = tuple(sealed(name, path) for name, path in self._files(backup_id))
        for inner in (p for p in folder.rglob("*") if p.is_dir()):
            inner.chmod(0o700)
            _flush(inner)
        temporary = folder / f".{MANIFEST}"
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as file:
            backup = make_manifest(files)
            file.write(manifest_text(backup))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / MANIFEST)
        (folder / WRITING).unlink(missing_ok=True)
        _flush(folder)
        _flush(self._folder)
        return backup

    def folder(self, backup_id: str) -> Path | None:
        return self._folder / backup_id

    def read(self, backup_id: str, name: str) -> Iterator[bytes]:
        with (self._folder / backup_id / name).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def delete(self, backup_id: str) -> None:
        _refuse_undeletable(self._folder / backup_id)  # before it stops being a backup
        # Renamed first: a process that is killed in between leaves nothing that looks like a backup.
        doomed = self._folder / f"{_DELETED}{backup_id}"
        if doomed.exists():
            shutil.rmtree(doomed)
        (self._folder / backup_id).rename(doomed)
        _flush(self._folder)
        shutil.rmtree(doomed)

    def sweep(self) -> list[str]:
        swept = []
        for backup_id in self.ids():
            with suppress(OSError):  # what this user can't read or remove stays, and hinders nobody
                if self._left_over(backup_id):
                    self.delete(backup_id)
                    swept.append(backup_id)
        for doomed in self._folder.glob(f"{_DELETED}*"):
            with suppress(OSError):
                if doomed.is_symlink():
                    doomed.unlink()
                else:
                    shutil.rmtree(doomed)
                swept.append(doomed.name.removeprefix(_DELETED))
        return swept

    def _left_over(self, backup_id: str) -> bool:
        """Whether a killed process of ours left it. Raises OSError where that can't be seen."""
        folder = self._folder / backup_id
        # A folder without the mark lost its manifest in another way: that is for a person to look at.
        ours = (folder / WRITING).exists() or not any(folder.iterdir())
        old = time.time() - folder.stat().st_mtime > _YOUNG
        return self.manifest(backup_id) is None and ours and old and not self.busy(backup_id)

    def claim(self, name: str, owner: bytes) -> bool:
        self._prepare()
        folder = self._folder / CLAIMS
        folder.mkdir(mode=0o700, exist_ok=True)
        # Written whole and then linked, which fails where the name is taken: nobody ever reads half a note.
        path, own = folder / name, folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            with os.fdopen(
                os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
            ) as file:
                file.write(owner)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                path.hardlink_to(own)
        finally:
            own.unlink(missing_ok=True)
        _flush(folder)
        _flush(self._folder)
        return path.read_bytes() == owner


def _refuse_undeletable(folder: Path) -> None:
    """Raise OSError where this user could remove only a part of it, or it is a link to what lies elsewhere."""
    if folder.is_symlink():
        raise OSError(errno.ELOOP, f"it is a link to {folder.resolve()}", str(folder))

    def fail(error: OSError) -> None:
        raise error

    for inner, _, _ in os.walk(folder, onerror=fail):
        if not os.access(
            inner, os.R_OK | os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
        ):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), inner)


def refuse_long_manifest(size: int) -> None:
    """Raise OSError where a manifest that is there has more bytes than any that was written by us."""
    if size > MANIFEST_LIMIT:
        raise OSError(errno.EFBIG, f"it has {size} bytes, more than {MANIFEST_LIMIT}")


def manifest_text(backup: Backup) -> bytes:
    """A manifest as it is written. Raises BackupError where it is longer than one may be that is read again."""
    text = msgspec.json.format(msgspec.json.encode(backup), indent=2) + b"\n"
    if len(text) > MANIFEST_LIMIT:
        raise BackupError(
            f"The manifest of {len(backup.tables):,} tables has {len(text):,} bytes, more than {MANIFEST_LIMIT:,}: "
            "nothing was kept of the backup.",
            hint="Digests take most of it; a backup by `provider-create` has none: see docs/backups.md",
        )
    return text


def sealed(name: str, path: Path) -> BackupFile:
    """Hash a file that is about to be published, and flush it to disk.

    Raises:
        BackupError: it is a link, or no file.
    """
    if path.is_symlink() or not path.is_file():
        raise BackupError(f"{name} in the backup is not a plain file.")
    path.chmod(0o600)
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        os.fsync(file.fileno())
    return BackupFile(path=name, size=size, sha256=digest.hexdigest())


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_local(place: str, base: Path) -> LocalStorage:
    """The storage for a folder, relative to `base`, or a `file://` URL."""
    if "://" in place:
        return LocalStorage(Path(unquote(urlsplit(place).path)))
    return LocalStorage(base / Path(place).expanduser())
