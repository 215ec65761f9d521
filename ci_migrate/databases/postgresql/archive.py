"""The folder that pg_dump writes: packed with zstd where pg_dump can't, proved by reading it all, unpacked again."""

import gzip
import os
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import TypeVar

from ci_migrate.databases.base import Progress, no_progress
from ci_migrate.databases.compression import (
    WORKERS,
    Allowance,
    DecompressionError,
    compress,
    open_decompressed,
)
from ci_migrate.databases.postgresql import large_objects
from ci_migrate.databases.postgresql.streams import END_OF_ROWS, LEAST, MOST, Streams
from ci_migrate.errors import BackupError
from ci_migrate.tempdirs import private_folder

ARCHIVE = "dump"
"""The folder inside a payload that pg_dump writes."""

PACKED = ".zst"
"""What our own packing adds to a file's name; pg_dump 16 and later does the same."""

_CHUNK = 1 << 20
_THREADS = 8
_AHEAD = 8
"""Files that wait for each thread."""
_DAMAGED = (*DecompressionError, gzip.BadGzipFile, zlib.error)

Done = TypeVar("Done")


def pack(archive: Path, jobs: int, progress: Progress = no_progress) -> None:
    """Compress each data file of an uncompressed archive, and remove the original.

    Until version 15 pg_dump knows zlib only, which takes several times as long and makes more of it.

    Raises:
        OSError: no room.
    """
    # an empty one would become no zstd frame, but nothing
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
    parts = (line.split(" ", 5) for line in table_of_contents if " TABLE DATA " in line)
    rows = {f"{e[0].rstrip(';')}.dat" for e in parts if e[3:5] == ["TABLE", "DATA"]}
    files = _largest_first(path for path in archive.iterdir() if path.name != "toc.dat")
    there = {_plain_name(path) for path in files}
    if missing := sorted(rows - there):
        raise BackupError(f"The dump is damaged: {missing[0]} is missing.")
    if any(" BLOBS " in line for line in table_of_contents) and not any(
        large_objects.is_tar(path) or path.suffix == ".toc" for path in files
    ):
        raise BackupError("The dump is damaged: its large objects are missing.")
    total, done, missing_objects = sum(path.stat().st_size for path in files), 0, 0
    for size, missing_here in _each(partial(_prove, rows=rows), files, jobs):
        done += size
        missing_objects += missing_here
        progress(done, total)
    if missing_objects:
        raise BackupError("The dump is damaged: it does not have all the large objects that it lists.")


def _prove(path: Path, rows: set[str]) -> tuple[int, int]:
    """Its size, and how many more large objects it lists than it has."""
    tail = b""
    try:
        if large_objects.is_tar(path):
            return path.stat().st_size, large_objects.read(path)
        with _open(path) as file:
            while chunk := file.read(_CHUNK):
                tail = (tail + chunk[-len(END_OF_ROWS) :])[-len(END_OF_ROWS) :]
    except (*_DAMAGED, OSError) as error:
        raise BackupError(f"The dump is damaged: {path.name} can't be read to its end ({error}).") from error
    if _plain_name(path) in rows and tail != END_OF_ROWS:
        raise BackupError(f"The dump is damaged: {path.name} was cut short.")
    return path.stat().st_size, 0


def _open(path: Path) -> BufferedIOBase:
    if path.suffix == PACKED:
        return open_decompressed(path)
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(PACKED).removesuffix(".gz")


@contextmanager
def unpack(
    archive: Path,
    size: int,
    jobs: int,
    progress: Progress = no_progress,
    allowance: Allowance | None = None,
    streams: Streams | None = None,
) -> Iterator[Path]:
    """The archive as any pg_restore reads it: itself, or where it is packed a private copy that is gone at the end.

    Args:
        archive: the folder.
        size: bytes that it has unpacked.
        jobs: how many files at a time.
        progress: called after each file.
        allowance: what all that is unpacked takes from; None: there is no limit.
        streams: unpack the largest tables while they are read, once and to the end; None: all of it at once.

    Raises:
        BackupError: it is damaged, there is no room for the copy, or it unpacks to more than is allowed.
    """
    packed = _largest_first(archive.glob("*" + PACKED))
    # a table without rows has its end there: pg_restore reads an empty file of zlib as such a table
    if emptied := [path.name for path in archive.glob("*.gz") if not path.stat().st_size]:
        raise BackupError(f"The dump in {archive.parent.name} is damaged: {emptied[0]} is empty.")
    if not packed:
        yield archive
        return
    allowance = allowance or Allowance()
    large = [path for path in packed if path.stat().st_size >= LEAST and not large_objects.is_tar(path)]
    streamed = [] if streams is None else large[:MOST]
    total = sum(path.stat().st_size for path in packed)
    done = sum(path.stat().st_size for path in streamed)
    with private_folder() as folder, streams or nullcontext():
        free, needed = shutil.disk_usage(folder).free, size * (total - done) // (total or 1)
        hint = (
            f"{needed:,} bytes needed, {free:,} free in {tempfile.gettempdir()}; TMPDIR names another place."
        )
        if free < needed:
            raise BackupError("There is no room to unpack the dump.", hint=hint)
        work = partial(_unpack, folder=folder, allowance=allowance)
        try:
            link(archive, folder, lambda path: path.suffix != PACKED)
            for read in _each(work, [path for path in packed if path not in streamed], jobs):
                done += read
                progress(done, total)
            for path in streamed:
                assert streams is not None
                try:
                    streams.add(path, folder / path.name.removesuffix(PACKED), allowance)
                except OSError:  # not each file system has pipes
                    work(path)
        except _DAMAGED as error:
            raise BackupError(f"The dump in {archive.parent.name} is damaged: {error}") from error
        except OSError as error:
            what = f"The dump could not be unpacked: {error.strerror or error}."
            raise BackupError(what, hint=hint) from error
        yield folder


def link(archive: Path, folder: Path, wanted: Callable[[Path], bool]) -> None:
    """Let files of an archive be in another folder too."""
    whole = archive.resolve()
    for path in archive.iterdir():
        if wanted(path):
            (folder / path.name).symlink_to(whole / path.name)


def _unpack(path: Path, folder: Path, allowance: Allowance) -> int:
    if large_objects.is_tar(path):
        large_objects.scatter(path, folder, allowance)
    else:
        with (
            open_decompressed(path, allowance) as reader,
            (folder / path.name.removesuffix(PACKED)).open("xb") as file,
        ):
            shutil.copyfileobj(reader, file, _CHUNK)
    return path.stat().st_size


def _largest_first(paths: Iterator[Path]) -> list[Path]:
    """So that no worker is left with the biggest file at the end."""
    return sorted(paths, key=lambda path: (-path.stat().st_size, path.name))


def _each(work: "Callable[[Path], Done]", paths: Sequence[Path], jobs: int) -> "Iterator[Done]":
    """Each file's result, by threads: the codecs don't hold the interpreter's lock. A failure stops the rest."""
    pool, waiting = ThreadPoolExecutor(jobs), deque[Future[Done]]()
    try:
        for path in paths:
            waiting.append(pool.submit(work, path))
            if len(waiting) > _AHEAD * jobs:  # not all at once: there may be a hundred thousand
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def default_jobs() -> int:
    """As many as there are cores, at most four: the server has other work too."""
    return min(os.cpu_count() or 1, 4)
