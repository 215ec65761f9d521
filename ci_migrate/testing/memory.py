"""The smallest implementations of the contracts, in memory: what a suite must accept, and a pattern to start from."""

import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

from ci_migrate.backups.storage import MANIFEST, MakeManifest, manifest_text, sealed
from ci_migrate.databases.base import (
    Capabilities,
    Database,
    DatabaseFactory,
    Dumped,
    Lock,
    Progress,
    SessionOptions,
    Wall,
    no_progress,
)
from ci_migrate.databases.compression import Allowance
from ci_migrate.databases.file_lock import file_lock
from ci_migrate.databases.sqlite import rows as sqlite_rows
from ci_migrate.databases.sqlite.catalog import Catalog
from ci_migrate.databases.sqlite.tokens import quote
from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.model import Backup, Identity, RowCount, Schema, TableContent, VersionTable

_PIECE = 1 << 20


@dataclass
class Shelf:
    """What a MemoryStorage holds; several of them can share one."""

    backups: dict[str, dict[str, bytes]] = field(default_factory=dict)
    claims: dict[str, bytes] = field(default_factory=dict)
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

    def claim(self, name: str, owner: bytes) -> bool:
        return self.shelf.claims.setdefault(name, owner) == owner

    def sweep(self) -> list[str]:
        dead = sorted(backup_id for backup_id, folder in self.shelf.writing.items() if folder is None)
        for backup_id in dead:
            self.delete(backup_id)
        return dead


# --------------------------------------------------------------------------- a database

PAYLOAD = "database.zlib"

_KEPT: dict[str, sqlite3.Connection] = {}
"""Of each database one connection: it ends with its last one."""


class MemoryDatabase:
    """A database `memory:///NAME` of this process; it begins empty.

    Args:
        url: its name; without one it leads nowhere.
    """

    dialect = "memory"
    capabilities = Capabilities(
        transactional_ddl=True,
        lock_is_file=True,
        scratch_on_server=False,
        remote=False,
        stable_definitions=True,
    )

    def __init__(self, url: URL) -> None:
        self.url = url
        self.name = url.database or ""

    def __repr__(self) -> str:
        return f"MemoryDatabase({self.name!r})"

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:/{self.name}?vfs=memdb", uri=True, check_same_thread=False)

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        if self.name not in _KEPT:
            _KEPT[self.name] = self._open()
        with closing(self._open()) as connection:
            yield connection

    def forget(self) -> None:
        """Drop it with all that is in it."""
        if self.name in _KEPT:
            _KEPT.pop(self.name).close()
        self.lock_file.unlink(missing_ok=True)

    def _beside(self, name: str) -> "MemoryDatabase":
        return MemoryDatabase(self.url.set(database=name))

    def engine(self, *, read_only: bool = False) -> Engine:
        def connect() -> sqlite3.Connection:
            with self._session():
                connection = self._open()
            connection.execute(f"PRAGMA query_only={read_only:d}")
            return connection

        return create_engine("sqlite://", creator=connect, poolclass=NullPool)

    def ping(self) -> None:
        if not self.name:
            raise DatabaseError("The URL names no database.", hint="Write memory:///NAME.")

    def identity(self) -> Identity:
        return Identity(dialect=self.dialect, place=f"memory/{self.name}", facts={"name": self.name})

    def heads(self, tables: Sequence[VersionTable]) -> tuple[tuple[str, ...], ...]:
        with self._session() as connection:
            return tuple(tuple(sorted(_versions(connection, table.name))) for table in tables)

    def schema(self) -> Schema:
        with self._session() as connection:
            return Catalog().schema(connection, None)

    def counts(self, tables: Iterable[str] | None = None, *, exact: bool = False) -> dict[str, RowCount]:  # noqa: ARG002 - always exact
        with self._session() as connection:
            return sqlite_rows.counts(connection, tables)

    def contents(self, tables: Iterable[str]) -> dict[str, TableContent]:
        with self._session() as connection:
            return sqlite_rows.contents(connection, tables)

    def size(self) -> int:
        with self._session() as connection:
            pages, bytes_each = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
            )
        return int(pages * bytes_each)

    @property
    def lock_file(self) -> Path:
        """What the run lock is held on."""
        name = sha256(self.name.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"ci-migrate-memory-{name}.lock"

    def lock(self, run_id: str, timeout: float) -> AbstractContextManager[Lock]:
        return file_lock(self.lock_file, run_id, timeout)

    def sessions_of(self, application_prefix: str) -> list[str]:  # noqa: ARG002 - sessions have no names
        return []

    def blockers(self) -> list[str]:
        return []

    def commit_outcome(self, transaction: str) -> bool | None:  # noqa: ARG002 - transactions have no ids
        return None

    def wall(self) -> Wall:
        facts = {"name": self.name}
        return Wall(dialect=self.dialect, match=facts, connect=facts, identity=facts)

    def dump(
        self, into: Path, version_tables: Sequence[VersionTable], progress: Progress = no_progress
    ) -> Dumped:
        with self._session() as source, closing(sqlite3.connect(":memory:")) as copy:
            source.backup(copy)
            data = copy.serialize()
            (into / PAYLOAD).write_bytes(zlib.compress(data, 1))
            progress(len(data), len(data))
            counted = sqlite_rows.counts(copy, None)
            return Dumped(
                schema=Catalog().schema(copy, None),
                row_counts=counted,
                contents=sqlite_rows.contents(copy, counted),
                heads=tuple(tuple(sorted(_versions(copy, table.name))) for table in version_tables),
                engine_version=f"SQLite {sqlite3.sqlite_version}",
                tool_version="serialize",
                how_to_restore=f"zlib.decompress({PAYLOAD}) is a SQLite file",
            )

    def load(self, payload: Path, progress: Progress = no_progress, *, most: int | None = None) -> None:
        if self.schema():
            raise BackupError(f"{self!r} is not empty: a backup is never restored over other tables.")
        try:
            unpacking = zlib.decompressobj()
            data = unpacking.decompress((payload / PAYLOAD).read_bytes(), most or 0)
            Allowance(most).check(len(data) + len(unpacking.unconsumed_tail))
        except (OSError, zlib.error) as error:
            raise BackupError(f"{payload / PAYLOAD} is damaged or missing: {error}.") from error
        if not unpacking.eof:
            raise BackupError(f"{payload / PAYLOAD} is damaged: it was cut short.")
        progress(len(data), len(data))
        with closing(sqlite3.connect(":memory:")) as copy, self._session() as target:
            copy.deserialize(data)
            copy.backup(target)

    @contextmanager
    def scratch(self, run_id: str, folder: Path) -> Iterator[Database]:  # noqa: ARG002 - no files
        copy = self._beside(f"ci_migrate_scratch_{run_id}")
        try:
            yield copy
        finally:
            copy.forget()

    def sweep(self, keep: Iterable[str] = ()) -> list[str]:  # noqa: ARG002 - they end with their process
        return []

    def replace(
        self, payload: Path, check: Callable[[Database], None], label: str, *, most: int | None = None
    ) -> str:
        kept = self._beside(f"{self.name}_before_{label}")
        with self.scratch(f"new_{label}", payload) as restored:
            restored.load(payload, most=most)
            check(restored)
            assert isinstance(restored, MemoryDatabase)
            self._copy_into(kept)
            restored._copy_into(self)  # noqa: SLF001
        return f"The replaced database is kept as {kept.name}"

    def _copy_into(self, other: "MemoryDatabase") -> None:
        with self._session() as source, other._session() as target:  # noqa: SLF001
            source.backup(target)

    def explain(self, error: BaseException) -> str:
        return str(getattr(error, "orig", None) or error).partition("\n")[0]


def _versions(connection: sqlite3.Connection, table: str) -> list[Any]:
    if table not in sqlite_rows.counts(connection, [table]):
        return []
    return [row[0] for row in connection.execute(f"SELECT version_num FROM {quote(table)}")]


def _make(url: URL, _options: SessionOptions) -> Database:
    return MemoryDatabase(url)


MEMORY = DatabaseFactory(backends=("memory",), make=_make)
"""What a plugin's `ci_migrate_databases` would return."""
