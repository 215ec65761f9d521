"""The smallest implementations of the contracts, in memory: what a suite must accept, and a pattern to start from."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ci_migrate.backups.storage import MANIFEST, MakeManifest, manifest_text, sealed
from ci_migrate.model import Backup

_PIECE = 1 << 20


@dataclass
class Shelf:
    """What a MemoryStorage holds; several of them can share one."""

    backups: dict[str, dict[str, bytes]] = field(default_factory=dict)
    writing: dict[str, Path | None] = field(default_factory=dict)
    """Who is being written, and where; None: its process is dead."""


class MemoryStorage:
    """Backups in this process's memory.

    Args:
        shelf: what is in it; by default nothing.
    """

    place = "memory"
    remote = False

    def __init__(self, shelf: Shelf | None = None) -> None:
        self.shelf = shelf or Shelf()
        self.room = tempfile.gettempdir()

    def ids(self) -> list[str]:
        return sorted({*self.shelf.backups, *self.shelf.writing})

    def path(self, backup_id: str) -> str:
        return f"{self.place}/{backup_id}"

    def manifest(self, backup_id: str) -> bytes | None:
        return self.shelf.backups.get(backup_id, {}).get(MANIFEST)

    def sizes(self, backup_id: str) -> dict[str, int]:
        files = self.shelf.backups.get(backup_id, {})
        return {name: len(data) for name, data in files.items() if name != MANIFEST}

    def busy(self, backup_id: str) -> bool:
        return self.shelf.writing.get(backup_id) is not None

    def free(self) -> int | None:
        return shutil.disk_usage(self.room).free

    @contextmanager
    def writing(self, backup_id: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="ci-migrate-") as folder:
            here = Path(folder)
            if backup_id in self.shelf.backups or self.shelf.writing.setdefault(backup_id, here) is not here:
                raise FileExistsError(17, "taken", self.path(backup_id))
            try:
                yield here
            finally:
                self.shelf.writing.pop(backup_id, None)

    def publish(self, backup_id: str, make_manifest: MakeManifest) -> Backup:
        folder = self.shelf.writing[backup_id]
        assert folder is not None
        paths = sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
        files = tuple(sealed(path.relative_to(folder).as_posix(), path) for path in paths)
        backup = make_manifest(files)
        stored = {file.path: (folder / file.path).read_bytes() for file in files}
        self.shelf.backups[backup_id] = {**stored, MANIFEST: manifest_text(backup)}
        return backup

    def folder(self, backup_id: str) -> Path | None:  # noqa: ARG002 - the protocol's
        return None

    def read(self, backup_id: str, name: str) -> Iterator[bytes]:
        data = self.shelf.backups.get(backup_id, {}).get(name)
        if data is None:
            raise FileNotFoundError(2, "No such file", f"{self.path(backup_id)}/{name}")
        for start in range(0, len(data), _PIECE):
            yield data[start : start + _PIECE]

    def delete(self, backup_id: str) -> None:
        self.shelf.writing.pop(backup_id, None)
        self.shelf.backups.pop(backup_id, None)

    def sweep(self) -> list[str]:
        dead = sorted(backup_id for backup_id, folder in self.shelf.writing.items() if folder is None)
        for backup_id in dead:
            self.delete(backup_id)
        return dead
