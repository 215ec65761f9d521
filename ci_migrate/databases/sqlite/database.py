"""SQLite: one file. Sessions of our own go through sqlite3, copies through its online backup API."""

import errno
import glob
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

from ci_migrate.databases.base import (
    Capabilities,
    Database,
    Dumped,
    Lock,
    Progress,
    Unless,
    Wall,
    no_progress,
)
from ci_migrate.databases.compression import Allowance, DecompressionError, compressing_beside, decompress
from ci_migrate.databases.file_lock import file_lock, lock_holders
from ci_migrate.databases.measuring import Meter
from ci_migrate.databases.sqlite import files as sqlite_files
from ci_migrate.databases.sqlite import mark as sqlite_mark
from ci_migrate.databases.sqlite import measure as sqlite_measure
from ci_migrate.databases.sqlite import rows as sqlite_rows
from ci_migrate.databases.sqlite import tables as sqlite_tables
from ci_migrate.databases.sqlite import undo as sqlite_undo
from ci_migrate.databases.sqlite import weak_spots as sqlite_weak_spots
from ci_migrate.databases.sqlite.baseline import SQLiteBaselines
from ci_migrate.databases.sqlite.catalog import Catalog
from ci_migrate.databases.sqlite.contents import Digests
from ci_migrate.databases.sqlite.tokens import quote
from ci_migrate.databases.weak_spots import WeakSpot
from ci_migrate.errors import BackupError, DatabaseError, UsageError
from ci_migrate.model import Identity, RowCount, Sample, Schema, TableContent, VersionTable

PAYLOAD = "database.sqlite3.zst"
"""The file that `dump` writes."""


class SQLite:
    """The database in one file. See `base.Database` for what each method promises.

    Args:
        url: `sqlite://`, with any driver of SQLite's; a `file:` URI with `uri=true` too.
        application_name: not used; SQLite has no sessions with names.
        lock_timeout: seconds to wait for other connections' locks.
        compare_budget: seconds that digests may take after a dump; None: see `digests.seconds_for`.

    Raises:
        UsageError: the URL names no file.
    """

    dialect = "sqlite"
    capabilities = Capabilities(
        transactional_ddl=True,
        lock_is_file=True,
        scratch_on_server=False,
        remote=False,
        tables=True,
        dump_copies=True,
        stable_definitions=True,
    )

    def __init__(
        self,
        url: URL,
        *,
        application_name: str = "ci-migrate",
        lock_timeout: float = 5.0,
        compare_budget: float | None = None,
    ) -> None:
        self.file = sqlite_files.file_of(url)
        """The file, absolute, without symbolic links."""
        # env.py needs the driver that it named
        self.url = URL.create(url.drivername, database=str(self.file))
        self.application_name = application_name
        self.lock_timeout = lock_timeout
        self._compare_budget = compare_budget
        self._catalog = Catalog()

    def __repr__(self) -> str:
        return f"SQLite({str(self.file)!r})"

    def engine(self, *, read_only: bool = False) -> Engine:
        def connect() -> sqlite3.Connection:
            connection = self._open(read_only=read_only)
            connection.isolation_level = "DEFERRED"  # as SQLAlchemy expects it
            return connection

        return create_engine("sqlite://", creator=connect, poolclass=NullPool)

    def limit_statements(self, connection: Any, seconds: float) -> None:
        end = time.monotonic() + seconds  # of all of them together: SQLite does not say where one begins
        driver = connection.connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > end, 10_000)

    def _open(self, *, read_only: bool = True) -> sqlite3.Connection:
        return sqlite_files.open_file(self.file, read_only=read_only, timeout=self.lock_timeout)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection in one read transaction: all that is read is of one moment."""
        with self._explain_errors(), closing(self._open()) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DatabaseError(f"{self.file}: {self.explain(error)}.", hint=_hint(error)) from error

    def ping(self) -> None:
        path, folder = self.file, self.file.parent
        if not folder.is_dir():
            raise DatabaseError(f"The folder of {path} does not exist.", hint=f"Make it: mkdir -p {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DatabaseError(
                f"The folder {folder} is not writable: SQLite keeps its journal beside the database.",
                hint="Run as the user that owns it, or grant this one the right to write.",
            )
        if not path.exists():
            return
        if not path.is_file():
            raise DatabaseError(f"{path} is not a file.", hint="Look at the target's url.")
        if not os.access(path, os.R_OK | os.W_OK):
            raise DatabaseError(
                f"{path} can't be read and written by this user.",
                hint="Run as the user that owns it, or grant this one both rights.",
            )
        with self._reading() as connection:
            connection.execute("SELECT count(*) FROM main.sqlite_master").fetchone()

    def identity(self) -> Identity:
        return Identity(dialect=self.dialect, place=str(self.file), facts={"file": str(self.file)})

    def heads(self, tables: Sequence[VersionTable]) -> tuple[tuple[str, ...], ...]:
        with self._reading() as connection:
            return _heads(connection, tables)

    def schema(self) -> Schema:
        with self._reading() as connection:
            return self._catalog.schema(connection, self._place())

    def _place(self) -> tuple[int, int] | None:
        try:
            found = self.file.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def counts(self, tables: Iterable[str] | None = None, *, exact: bool = False) -> dict[str, RowCount]:  # noqa: ARG002 - always exact
        with self._reading() as connection:
            return sqlite_rows.counts(connection, tables)

    def weak_spots(self) -> list[WeakSpot]:
        with self._reading() as connection:
            return list(sqlite_weak_spots.weak_spots(connection))

    def contents(self, tables: Iterable[str]) -> dict[str, TableContent]:
        with self._reading() as connection:
            return sqlite_rows.contents(connection, tables)

    def sample(self, samples: Mapping[str, Sample]) -> dict[str, TableContent]:
        with self._reading() as connection:
            return sqlite_rows.read_samples(connection, samples)

    def baseline_reader(self) -> SQLiteBaselines:
        return SQLiteBaselines(self._reading)

    def size(self) -> int:
        wal = self.file.with_name(self.file.name + "-wal")
        return sum(path.stat().st_size for path in (self.file, wal) if path.exists())

    def meter(self) -> AbstractContextManager[Meter]:
        return sqlite_measure.meter(self.counts())

    def lock(self, run_id: str, timeout: float) -> AbstractContextManager[Lock]:
        return file_lock(self.file.with_name(self.file.name + ".ci-migrate.lock"), run_id, timeout)

    def sessions_of(self, application_prefix: str) -> list[str]:  # noqa: ARG002 - sessions have no names
        return []

    def blockers(self) -> list[str]:
        shm = self.file.with_name(self.file.name + "-shm")  # WAL locks lie on it
        return lock_holders(self.file, shm)

    def commit_outcome(self, transaction: str) -> bool | None:  # noqa: ARG002 - transactions have no ids
        return None

    def read_mark(self) -> str:
        with self._reading() as connection:
            return sqlite_mark.read(connection)

    def write_mark(self, text: str) -> None:
        with self._explain_errors(), closing(self._open(read_only=False)) as connection:
            sqlite_mark.write(connection, text)

    def match(self) -> dict[str, str]:
        return {"file": str(self.file)}

    def wall(self) -> Wall:
        facts, place = self.match(), self._place()
        inode = {"inode": "{}:{}".format(*place)} if place else {}
        return Wall(dialect=self.dialect, match=facts, connect=facts, identity={**facts, **inode})

    def dump(
        self,
        into: Path,
        version_tables: Sequence[VersionTable],
        progress: Progress = no_progress,
        only: Sequence[str] | None = None,
    ) -> Dumped:
        copied, started = into / "database.sqlite3", time.monotonic()
        try:
            with self._explain_errors(), _space(into):
                # Journal and sync off: a copy that is cut short is thrown away.
                with closing(self._open()) as source, closing(sqlite3.connect(copied)) as target:
                    copied.chmod(0o600)
                    target.execute("PRAGMA synchronous=OFF")
                    sqlite_files.copy(source, target, self.lock_timeout)
                with closing(sqlite3.connect(copied, isolation_level=None)) as copy:
                    sqlite_mark.write(copy, "")
                if only is not None:
                    with closing(sqlite3.connect(copied, isolation_level=None)) as copy:
                        sqlite_tables.keep_rows(copy, {*only, *(table.name for table in version_tables)})
                # nobody writes the copy any more: it is packed while it is checked and digested
                with compressing_beside(copied, into / PAYLOAD, progress):
                    sqlite_files.check(copied, str(self.file))
                    with closing(sqlite_files.open_finished(copied)) as copy:
                        counted = sqlite_rows.counts(copy, only)
                        digests = Digests(copy, counted, self._compare_budget, time.monotonic() - started)
                        dumped = Dumped(
                            schema=Catalog().schema(copy, None),
                            row_counts=counted,
                            contents=digests.contents,
                            samples=digests.samples,
                            not_digested=digests.reasons,
                            heads=_heads(copy, version_tables),
                            engine_version=f"SQLite {sqlite3.sqlite_version}",
                            tool_version=f"SQLite {sqlite3.sqlite_version} online backup API, zstd",
                            how_to_restore=(
                                "Stop what uses the database, move the old file and its -wal and -shm away, then:"
                                f" zstd -d {PAYLOAD} -o {self.file.name}"
                            ),
                        )
        finally:
            sqlite_files.remove(copied)
        return dumped

    def dump_tables(
        self,
        into: Path,
        version_tables: Sequence[VersionTable],
        tables: Sequence[str],
        progress: Progress = no_progress,
    ) -> Dumped:
        return self.dump(into, version_tables, progress, only=tables)

    def scratch_room(self, folder: Path) -> tuple[str, int] | None:
        return str(folder), shutil.disk_usage(folder).free

    def take_tables(self, source: Database, tables: Sequence[str], unless: Unless | None = None) -> None:
        assert isinstance(source, SQLite)
        with self._explain_errors(), closing(self._open(read_only=False)) as connection:
            sqlite_tables.replace_rows(connection, source.file, tables, unless)

    def renew_statistics(self) -> None:
        with self._explain_errors(), closing(self._open(read_only=False)) as connection:
            sqlite_tables.drop_samples(connection)

    def undo_statements(self, added: Sequence[Collection[str]]) -> list[str]:
        return sqlite_undo.undo_statements(added)

    def undo(
        self, statements: Sequence[str], before: Callable[[str], None], check: Callable[[Schema], None]
    ) -> None:
        with self._explain_errors(), closing(self._open(read_only=False)) as connection:
            sqlite_undo.run(connection, statements, before, lambda: check(Catalog().schema(connection, None)))

    def beyond_default(self, table: str, column: str) -> int:
        with self._reading() as connection:
            return sqlite_undo.beyond_default(connection, table, column)

    def load(self, payload: Path, progress: Progress = no_progress, *, most: int | None = None) -> None:
        if self.schema():
            raise BackupError(
                f"{self.file} is not empty: a backup is never restored over other tables.",
                hint="Restore it into a file that does not exist.",
            )
        with self._unpack(payload, progress, most) as copied:
            self._take(copied)

    @contextmanager
    def _unpack(self, payload: Path, progress: Progress, most: int | None) -> Iterator[Path]:
        """The dump as a checked database file beside this one, with the mode that this one has."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        mode = self.file.stat().st_mode & 0o777 if self.file.exists() else 0o666
        with tempfile.TemporaryDirectory(prefix=self._beside, dir=self.file.parent) as folder:
            copied = Path(folder) / "restored.sqlite3"
            with self._explain_errors(), _space(self.file.parent):
                try:
                    decompress(payload / PAYLOAD, copied, mode, progress, Allowance(most))
                    sqlite_files.check(copied, f"{payload / PAYLOAD}")
                except (*DecompressionError, FileNotFoundError, sqlite3.DatabaseError) as error:
                    raise BackupError(
                        f"{payload / PAYLOAD} is damaged or missing: {error}.",
                        hint="Take another backup: `ci-migrate backup list`",
                    ) from error
            yield copied

    def _take(self, copied: Path) -> None:
        """Let the content of a finished copy be this database's."""
        with self._explain_errors(), _space(self.file.parent):
            if self.file.exists() or sqlite_files.has_companions(self.file):
                sqlite_files.overwrite(copied, self.file, self.lock_timeout)
            else:
                copied.rename(self.file)
                sqlite_files.flush_folder(self.file.parent)
        self._catalog = Catalog()

    @contextmanager
    def scratch(self, run_id: str, folder: Path) -> Iterator[Database]:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", run_id):
            raise UsageError(f"{run_id!r} is no run id.")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy = SQLite(
            URL.create(self.url.drivername, database=str(folder / f"ci_migrate_scratch_{run_id}.sqlite3")),
            lock_timeout=self.lock_timeout,
        )
        sqlite_files.remove(copy.file)
        try:
            yield copy
        finally:
            sqlite_files.remove(copy.file)

    def sweep(self, keep: Iterable[str] = ()) -> list[str]:  # noqa: ARG002 - scratch copies live in the run's folder
        # Only what a killed restore left beside the database; a restore does not take a day.
        old = time.time() - 86_400
        left = [
            p
            for p in self.file.parent.glob(f"{glob.escape(self._beside)}*")
            if p.is_dir() and p.stat().st_mtime < old
        ]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return [folder.name for folder in left]

    @property
    def _beside(self) -> str:
        """How the folders begin in which a restore is prepared, on the database's own file system."""
        return f".{self.file.name}.ci-migrate-"

    def replace(
        self, payload: Path, check: Callable[[Database], None], label: str, *, most: int | None = None
    ) -> str:
        with self._unpack(payload, no_progress, most) as copied:
            check(SQLite(URL.create("sqlite", database=str(copied)), lock_timeout=self.lock_timeout))
            if not self.file.exists():
                self._take(copied)
                return f"{self.file} was restored; there was no file before."
            kept = self._keep(label)
            found = ""
            with suppress(DatabaseError):  # that it can't be read may be why it is replaced
                found = self.read_mark()
            if found:
                with self._explain_errors(), closing(sqlite3.connect(copied, isolation_level=None)) as copy:
                    sqlite_mark.write(copy, found)
            self._take(copied)
        return f"{self.file} was restored; its content before is in {kept}."

    def replaced(self) -> list[str]:
        pattern = re.compile(re.escape(f"{self.file.name}.before_") + r"[0-9]{8}_[0-9]{6}(_[0-9]+)?")
        return sorted(p.name for p in self.file.parent.iterdir() if p.is_file() and pattern.fullmatch(p.name))

    def drop_replaced(self, name: str) -> None:
        if name not in self.replaced():
            raise DatabaseError(f"No restore of {self.file} kept {name}.")
        with self._explain_errors():
            try:
                sqlite_files.remove(self.file.with_name(name))
            except OSError as error:
                raise DatabaseError(f"{name} could not be removed: {error.strerror or error}.") from error

    def _keep(self, label: str) -> Path:
        """Copy the current content to a new file beside; what is no database any more is moved there."""
        name = f"{self.file.name}.before_{re.sub(r'[^A-Za-z0-9_.-]', '_', label)[:100]}"
        kept = self.file.with_name(name)
        number = 1
        while kept.exists():
            number += 1
            kept = self.file.with_name(f"{name}_{number}")
        with self._explain_errors():
            if not sqlite_files.is_database(self.file, self.lock_timeout):
                sqlite_files.move(self.file, kept)
                return kept
        try:
            with self._explain_errors(), _space(kept.parent):
                os.close(
                    os.open(kept, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self.file.stat().st_mode & 0o777)
                )
                with closing(self._open()) as source, closing(sqlite3.connect(kept)) as target:
                    sqlite_files.copy(source, target, self.lock_timeout)
        except BaseException:
            sqlite_files.remove(kept)
            raise
        sqlite_files.flush_folder(kept.parent)
        return kept

    def explain(self, error: BaseException) -> str:
        cause = getattr(error, "orig", None) or error  # SQLAlchemy's own text has the bound values in it
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        return lines[0].rstrip(".")


def _heads(connection: sqlite3.Connection, tables: Sequence[VersionTable]) -> tuple[tuple[str, ...], ...]:
    # Without the database's name in front an ATTACHed one would be read; SQLite has no schemas.
    return tuple(tuple(sorted(_versions(connection, table.name))) for table in tables)


def _versions(connection: sqlite3.Connection, table: str) -> list[str]:
    there = connection.execute(
        "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE", (table,)
    ).fetchone()
    if there is None:
        return []
    rows = connection.execute(f"SELECT version_num FROM main.{quote(table)}")
    return [str(row[0]) for row in rows]


def _hint(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return "It is not a SQLite database, or it is encrypted: look at the target's url."
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "Another connection holds it: end what writes to it, then run again."
    if code == sqlite3.SQLITE_CORRUPT:
        return "It is damaged: `.recover` of the sqlite3 shell may save what is left."
    if code == sqlite3.SQLITE_FULL:
        return "Make room there, then run again."
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return "Look at the file, its folder and their rights, then run again."
    return ""


@contextmanager
def _space(folder: Path) -> Iterator[None]:
    """Say in words what the operating system refused while copying."""
    try:
        yield
    except OSError as error:
        raise BackupError(
            f"Writing in {folder} failed: {error.strerror or error}.",
            hint="Make room there, then run again."
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "Look at the folder and its rights, then run again.",
        ) from error
