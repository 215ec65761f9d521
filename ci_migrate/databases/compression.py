"""zstd, streaming: one level that costs next to nothing, checksums on, memory constant."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedWriter
from pathlib import Path

from ci_migrate.databases.base import Progress, no_progress

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


def decompress(source: Path, target: Path, mode: int = 0o600, progress: Progress = no_progress) -> None:
    """Decompress `source` into the new file `target`, flushed to disk.

    Raises OSError, or one of `DecompressionError`; then `target` is to be removed.
    """
    total = source.stat().st_size
    with source.open("rb") as packed, zstd.ZstdFile(packed, "rb") as reader, _new(target, mode) as file:
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


def open_decompressed(source: Path) -> BufferedIOBase:
    """The decompressed bytes of a file; reading raises OSError, or one of `DecompressionError`."""
    return zstd.ZstdFile(source, "rb")


def chunks(source: Path) -> Iterator[bytes]:
    """The same in pieces."""
    with open_decompressed(source) as reader:
        while chunk := reader.read(_CHUNK):
            yield chunk


def flush(file: BufferedWriter) -> None:
    """What was written to it reaches the disk."""
    file.flush()
    os.fsync(file.fileno())


def _new(path: Path, mode: int) -> BufferedWriter:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb")
