"""SQLite files: opening, copying and checking them through sqlite3.

A connection must be closed by name: a `with` on one only ends its transaction.
"""

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from sqlalchemy import URL

from ci_migrate.databases.sqlite.stand_ins import add_stand_ins
from ci_migrate.errors import BackupError, DatabaseError, UsageError

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_COMPANIONS = ("-wal", "-shm", "-journal")


def file_of(url: URL) -> Path:
    """The file that a URL names, absolute, without symbolic links. Raises UsageError if it names none."""
    if url.get_backend_name() != "sqlite" or "cipher" in url.drivername:
        raise UsageError(
            f"{url.drivername} is not a URL of a plain SQLite file.", hint="Write sqlite:///FILE."
        )
    name = url.database or ""
    query = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
    if name.startswith("file:") and query.get("uri", "").lower() in ("true", "1", "yes", "on", "t", "y"):
        # by hand, as https://sqlite.org/uri.html has it: urlsplit leaves tabs and line breaks out of a path
        path, _, inner = name[5:].partition("#")[0].partition("?")
        if path.startswith("//"):  # an authority: SQLite takes none but localhost
            path = "/" + path[2:].partition("/")[2]
        name = os.fsdecode(unquote_to_bytes(os.fsencode(path)))
        if {**dict(parse_qsl(inner)), **query}.get("mode") == "memory":  # SQLAlchemy adds its own behind
            name = ""
    if name in ("", ":memory:"):
        raise UsageError(
            "A SQLite database in memory ends with its process: there is nothing to migrate.",
            hint="Write sqlite:///FILE as the target's url.",
        )
    return Path(os.path.realpath(name))


def open_file(path: Path, *, read_only: bool, timeout: float) -> sqlite3.Connection:
    """A connection in autocommit mode. A file that does not exist is read as an empty database, and not made.

    Raises sqlite3.Error.
    """
    if not read_only:
        return sqlite3.connect(path, timeout=timeout, isolation_level=None)
    if not path.exists():
        return sqlite3.connect(":memory:", isolation_level=None)
    connection = _open_uri(path, "mode=ro", timeout)
    try:
        connection.execute("PRAGMA schema_version")
    except sqlite3.OperationalError as error:
        connection.close()
        if _code(error) in _BUSY:
            raise
        # A WAL whose -shm can't be made, or the journal of a killed process: reading has to recover first.
        connection = _open_uri(path, "mode=rw", timeout)
    except BaseException:
        connection.close()
        raise
    connection.execute("PRAGMA query_only=ON")
    return connection


def _open_uri(path: Path, mode: str, timeout: float) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?{mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)


def open_finished(path: Path) -> sqlite3.Connection:
    """Read a copy that nobody writes any more, without making a -wal beside it."""
    return _open_uri(path, "immutable=1", 0)


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where the error is not SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def copy(source: sqlite3.Connection, into: sqlite3.Connection, timeout: float) -> None:
    """Copy a database over another one, in one step, so that writers can't make it start again and again.

    Raises:
        DatabaseError: one of both was locked for `timeout` seconds; `into` is as it was.
        sqlite3.Error: `into` is as it was.
    """
    started = time.monotonic()

    def look(status: int, _remaining: int, _total: int) -> None:
        if status in _BUSY and time.monotonic() - started >= timeout:
            raise DatabaseError(
                f"The SQLite database was locked by another connection for {timeout:g} s.",
                hint="End what writes to it (or wait for it), then run again.",
            )

    source.backup(into, pages=-1, progress=look, sleep=0.05)


def overwrite(copied: Path, live: Path, timeout: float) -> None:
    """Put the content of a finished copy into a live file.

    Open connections see it, and a leftover WAL can't undo it, as it would undo a rename.

    Raises DatabaseError or sqlite3.Error; then the live file is as it was.
    """
    into = open_file(live, read_only=False, timeout=timeout)
    with closing(into), closing(open_finished(copied)) as source:
        try:
            copy(source, into, timeout)
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_READONLY:
                raise
            into.execute("PRAGMA journal_mode=DELETE")  # in WAL mode the page size can't change
            copy(source, into, timeout)


def check(path: Path, what: str) -> None:
    """Raise BackupError if a finished copy is damaged. `what` names it in the message."""
    with closing(open_finished(path)) as connection:
        # A CHECK that the rows break, or one that calls the application's functions, is no damage.
        connection.execute("PRAGMA ignore_check_constraints=ON")
        add_stand_ins(connection, collations=False)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_ERROR:
                raise
            return  # a collation or function of the application's; every page was read by the copy
    if found != "ok":
        raise BackupError(
            f"{what} is damaged: {str(found).splitlines()[-1]}.",
            hint="`PRAGMA integrity_check` tells more, `.recover` of the sqlite3 shell may save the rest.",
        )


def remove(path: Path) -> None:
    """Remove a database file and what SQLite keeps beside it."""
    for suffix in ("", *_COMPANIONS):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def move(path: Path, to: Path) -> None:
    """Rename a database file and what SQLite keeps beside it."""
    for suffix in (*_COMPANIONS, ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(to.with_name(to.name + suffix))


def is_database(path: Path, timeout: float) -> bool:
    """Whether SQLite knows the file as its own. Raises sqlite3.Error where it can't tell."""
    with closing(open_file(path, read_only=False, timeout=timeout)) as connection:
        try:
            connection.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            if _code(error) == sqlite3.SQLITE_NOTADB:
                return False
            raise
    return True


def has_companions(path: Path) -> bool:
    """Whether a WAL or journal lies beside a file, which SQLite would play back into it."""
    return any(path.with_name(path.name + suffix).exists() for suffix in _COMPANIONS)


def flush_folder(folder: Path) -> None:
    """A rename in this folder reaches the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
