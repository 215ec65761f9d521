"""zstd, streaming: one level that costs next to nothing, checksums on, memory constant."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader, BufferedWriter, RawIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ci_migrate.databases.base import Progress, no_progress
from ci_migrate.errors import BackupError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WORKERS = min(os.cpu_count() or 1, 4)
"""Threads that compress one file."""

_CHUNK = 1 << 20
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.checksum_flag: 1,
}


def _options(threads: int) -> dict[int, int]:
    """With threads beside the one that reads; a zstd built without them knows 0 only, and one alone is no gain."""
    most = zstd.CompressionParameter.nb_workers.bounds()[1]
    return {**_OPTIONS, zstd.CompressionParameter.nb_workers: min(most, threads if threads > 1 else 0)}


DecompressionError = (zstd.ZstdError, EOFError)
"""What `decompress` raises for a payload that is damaged or cut short."""


class Allowance:
    """How many bytes a payload may unpack to, counted where it is unpacked: a hundred kilobytes may be gigabytes.

    All files of the payload, and all threads, take from one. None: as many as there are.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.taken = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Count so many bytes more. Raises BackupError where that is too many."""
        with self._lock:
            self.taken += count
        self.check(self.taken)

    def check(self, size: int) -> None:
        """Raise BackupError where so many bytes are too many."""
        if self.most is not None and size > self.most:
            raise BackupError(
                f"The backup unpacks to more than {self.most:,} bytes, which is more than a database of the size in"
                " its manifest can hold. Either it is no backup of ours, or that database had just been filled, and its"
                " server's statistics were older.",
                hint="If you know where it comes from, restore it by hand: `howToRestore` in its manifest.json.",
            )


class _Counted(RawIOBase):
    """What is read from another file takes from an allowance."""

    def __init__(self, file: BufferedIOBase, allowance: Allowance) -> None:
        self._file = file
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        size = self._file.readinto(buffer)
        self._allowance.take(size)  # a piece too late, and no more: it is in memory, not on the disk
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def counted(file: BufferedIOBase, allowance: Allowance) -> BufferedReader:
    """The same bytes; reading raises BackupError where they are more than is allowed."""
    return BufferedReader(_Counted(file, allowance), _CHUNK)


def compress(source: Path, target: Path, progress: Progress = no_progress, *, threads: int = WORKERS) -> None:
    """Compress `source` into the new file `target`, mode 0600, flushed to disk. Raises OSError."""
    total, done = source.stat().st_size, 0
    with source.open("rb") as reader, _new(target, 0o600) as file:
        with zstd.ZstdFile(file, "wb", options=_options(threads)) as writer:
            while chunk := reader.read(_CHUNK):
                writer.write(chunk)
                done += len(chunk)
                progress(done, total)
        flush(file)


@contextmanager
def compressing_beside(source: Path, target: Path, progress: Progress = no_progress) -> Iterator[None]:
    """Compress as `compress` does, in a thread of its own while the block runs; kept where the block ends well.

    `progress` is called from this thread alone. Raises OSError.
    """
    done, stop = (0, 0), threading.Event()

    def look(taken: int, total: int) -> None:
        nonlocal done
        done = taken, total
        if stop.is_set():
            raise CancelledError

    try:
        with ThreadPoolExecutor(1) as pool:
            packing = pool.submit(compress, source, target, look)
            try:
                yield
                while wait([packing], 0.2).not_done:
                    progress(*done)
                packing.result()
            finally:
                stop.set()
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    progress(*done)


def decompress(
    source: Path,
    target: Path,
    mode: int = 0o600,
    progress: Progress = no_progress,
    allowance: Allowance | None = None,
) -> None:
    """Decompress `source` into the new file `target`, flushed to disk.

    Raises OSError, one of `DecompressionError`, or BackupError where that is more than is allowed; then `target` is to
    be removed.
    """
    total = source.stat().st_size
    with (
        source.open("rb") as packed,
        open_decompressed(packed, allowance) as reader,
        _new(target, mode) as file,
    ):
        while chunk := reader.read(_CHUNK):
            file.write(chunk)
            progress(packed.tell(), total)
        flush(file)


@contextmanager
def compressing(target: Path) -> "Iterator[zstd.ZstdFile]":
    """A stream into the new file `target`, mode 0600, flushed to disk at the end. Raises OSError."""
    with _new(target, 0o600) as file:
        with zstd.ZstdFile(file, "wb", options=_options(WORKERS)) as writer:
            yield writer
        flush(file)


def open_decompressed(source: Path | IO[bytes], allowance: Allowance | None = None) -> BufferedIOBase:
    """The decompressed bytes of a file.

    Reading raises OSError, one of `DecompressionError`, or BackupError where they are more than is allowed.
    """
    file = zstd.ZstdFile(source, "rb")
    return file if allowance is None else counted(file, allowance)


def chunks(source: Path, allowance: Allowance | None = None) -> Iterator[bytes]:
    """The same in pieces."""
    with open_decompressed(source, allowance) as reader:
        while chunk := reader.read(_CHUNK):
            yield chunk


def flush(file: BufferedWriter) -> None:
    """What was written to it reaches the disk."""
    file.flush()
    os.fsync(file.fileno())


def _new(path: Path, mode: int) -> BufferedWriter:
    # O_EXCL: never through a link that somebody left there
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb")
