"""The folder that pg_dump writes: packed with zstd where pg_dump can't, proved by reading it all, unpacked again."""

import gzip
import os
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BufferedIOBase
from pathlib import Path

from ci_migrate.databases.base import Progress, no_progress
from ci_migrate.databases.compression import WORKERS, DecompressionError, compress, open_decompressed
from ci_migrate.errors import BackupError
from ci_migrate.tempdirs import private_folder

ARCHIVE = "dump"
"""The folder inside a payload that pg_dump writes."""

PACKED = ".zst"
"""What our own packing adds to a file's name; pg_dump 16 and later does the same."""

END_OF_ROWS = b"\\.\n\n\n"
"""What each table's file ends with, written when its last row was."""

_CHUNK = 1 << 20
_THREADS = 8
_DAMAGED = (*DecompressionError, gzip.BadGzipFile, zlib.error)


def pack(archive: Path, jobs: int, progress: Progress = no_progress) -> None:
    """Compress each data file of an uncompressed archive, and remove the original.

    Until version 15 pg_dump knows zlib only, which takes several times as long and makes more of it.

    Raises:
        OSError: no room.
    """
    # an empty one (a large object can be) would become no zstd frame, but nothing
    files = _largest_first(p for p in archive.glob("*.dat") if p.name != "toc.dat" and p.stat().st_size)
    total, done = sum(path.stat().st_size for path in files), 0
    # one table is often most of the database; each thread takes some megabytes, hence not more of them than these
    threads = min(WORKERS, _THREADS // jobs)
    for size in _each(partial(_pack, threads=threads), files, jobs):
        done += size
        progress(done, total)


def _pack(path: Path, threads: int) -> int:
    size = path.stat().st_size
    compress(path, path.with_name(path.name + PACKED), threads=threads)
    path.unlink()
    return size


def prove(
    archive: Path, table_of_contents: Sequence[str], jobs: int, progress: Progress = no_progress
) -> None:
    """Read an archive from its first to its last byte.

    Args:
        archive: the folder.
        table_of_contents: the lines of `pg_restore -l`, which itself reads no data.
        jobs: how many files at a time.
        progress: called after each file.

    Raises:
        BackupError: a file is damaged, cut short or missing.
    """
    # `4040; 0 16390 TABLE DATA public t postgres`
    entries = [line.split(" ", 5) for line in table_of_contents if not line.startswith(";")]
    rows = {f"{e[0].rstrip(';')}.dat" for e in entries if e[3:5] == ["TABLE", "DATA"]}
    files = _largest_first(path for path in archive.iterdir() if path.name != "toc.dat")
    there = {_plain_name(path) for path in files}
    if missing := sorted(rows - there):
        raise BackupError(f"The dump is damaged: {missing[0]} is missing.")
    total, done = sum(path.stat().st_size for path in files), 0
    for size in _each(partial(_prove, rows=rows), files, jobs):
        done += size
        progress(done, total)


def _prove(path: Path, rows: set[str]) -> int:
    tail = b""
    try:
        with _open(path) as file:
            while chunk := file.read(_CHUNK):
                tail = (tail + chunk[-len(END_OF_ROWS) :])[-len(END_OF_ROWS) :]
    except (*_DAMAGED, OSError) as error:
        raise BackupError(f"The dump is damaged: {path.name} can't be read to its end ({error}).") from error
    if _plain_name(path) in rows and tail != END_OF_ROWS:
        raise BackupError(f"The dump is damaged: {path.name} was cut short.")
    return path.stat().st_size


def _open(path: Path) -> BufferedIOBase:
    if path.suffix == PACKED:
        return open_decompressed(path)
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(PACKED).removesuffix(".gz")


@contextmanager
def unpack(archive: Path, size: int, jobs: int, progress: Progress = no_progress) -> Iterator[Path]:
    """The archive as any pg_restore reads it: itself, or where it is packed a copy that is gone at the end.

    Args:
        archive: the folder.
        size: bytes that it has unpacked.
        jobs: how many files at a time.
        progress: called after each file.

    Raises:
        BackupError: it is damaged, or there is no room for the copy.
    """
    packed = _largest_first(archive.glob("*" + PACKED))
    if not packed:
        yield archive
        return
    with private_folder() as folder:
        free = shutil.disk_usage(folder).free
        hint = f"{size:,} bytes needed, {free:,} free in {tempfile.gettempdir()}; TMPDIR names another place."
        if free < size:
            raise BackupError("There is no room to unpack the dump.", hint=hint)
        total, done = sum(path.stat().st_size for path in packed), 0
        try:
            for path in archive.iterdir():
                if path.suffix != PACKED:
                    shutil.copyfile(path, folder / path.name)
            for read in _each(partial(_unpack, folder=folder), packed, jobs):
                done += read
                progress(done, total)
        except DecompressionError as error:
            raise BackupError(f"The dump in {archive.parent.name} is damaged: {error}") from error
        except OSError as error:
            what = f"The dump could not be unpacked: {error.strerror or error}."
            raise BackupError(what, hint=hint) from error
        yield folder


def _unpack(path: Path, folder: Path) -> int:
    with open_decompressed(path) as reader, (folder / path.name.removesuffix(PACKED)).open("wb") as file:
        shutil.copyfileobj(reader, file, _CHUNK)
    return path.stat().st_size


def _largest_first(paths: Iterator[Path]) -> list[Path]:
    """So that no worker is left with the biggest file at the end."""
    return sorted(paths, key=lambda path: (-path.stat().st_size, path.name))


def _each(work: Callable[[Path], int], paths: Sequence[Path], jobs: int) -> Iterator[int]:
    """Each file's result, by threads: the codecs don't hold the interpreter's lock. A failure stops the rest."""
    pool = ThreadPoolExecutor(jobs)
    try:
        waiting = deque(pool.submit(work, path) for path in paths)
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def default_jobs() -> int:
    """As many as there are cores, at most four: the server has other work too."""
    return min(os.cpu_count() or 1, 4)
