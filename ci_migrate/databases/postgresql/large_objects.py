"""Large objects in the folder that pg_dump writes: a file each there, kept together in a few tars here.

A tar is what a person without ci-migrate can unpack. Its headers are written and read one by one: `tarfile` remembers
each member, and there may be millions.
"""

import gzip
import os
import re
from collections.abc import Iterator
from io import BufferedIOBase, BufferedReader, RawIOBase
from pathlib import Path
from tarfile import BLOCKSIZE, GNU_FORMAT, REGTYPE, HeaderError, TarInfo
from typing import TYPE_CHECKING, BinaryIO, cast

from ci_migrate.databases.compression import Allowance, compressing, counted, open_decompressed
from ci_migrate.errors import BackupError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TAR = "large-objects-{}.tar.zst"
"""The name of each; a number is put in."""

PIECE = 256 * 1024 * 1024
"""Bytes after which the next tar begins: one thread unpacks each."""

_TARS = re.compile(r"large-objects-[0-9]+\.tar\.zst")
_LIST = re.compile(r"blobs(_[0-9]+)?\.toc")
_OBJECT = re.compile(r"blob_[0-9]+\.dat")
_PACKED = ("", ".zst", ".gz")
_CHUNK = 1 << 20
_END = bytes(BLOCKSIZE)


def is_tar(path: Path) -> bool:
    """Whether a file of an archive is one of these tars."""
    return _TARS.fullmatch(path.name) is not None


def gather(archive: Path) -> int:
    """Put the files of large objects, and pg_dump's lists of them, into tars, and remove them.

    Returns:
        how many tars.

    Raises:
        BackupError: a file that a list names is not there.
        OSError: no room.
    """
    waiting = _files(archive)
    path = next(waiting, None)
    number = 0
    while path is not None:
        number, size = number + 1, 0
        with compressing(archive / TAR.format(number)) as tar:
            while path is not None and size < PIECE:
                size += _add(path, cast("BinaryIO", tar))
                path = next(waiting, None)
            tar.write(2 * _END)
    return number


def _files(archive: Path) -> Iterator[Path]:
    """Each large object in the order of the lists, and each list behind its own."""
    suffixes: tuple[str, ...] = _PACKED
    for listed in sorted(path for path in archive.glob("blobs*.toc") if _LIST.fullmatch(path.name)):
        with listed.open() as lines:
            for line in lines:  # `16390 blob_16390.dat`
                name = line.split()[1]
                found = next((s for s in suffixes if (archive / f"{name}{s}").exists()), None)
                if found is None:
                    raise BackupError(f"The dump is damaged: {name} is missing.")
                suffixes = (found, *(s for s in _PACKED if s != found))  # mostly all have the same
                yield archive / f"{name}{found}"
        yield listed


def _add(path: Path, tar: BinaryIO) -> int:
    with path.open("rb") as file:
        header = TarInfo(path.name)
        header.size, header.mode = os.fstat(file.fileno()).st_size, 0o600
        tar.write(header.tobuf(GNU_FORMAT))
        left = header.size
        while left and (data := file.read(min(left, _CHUNK))):
            tar.write(data)
            left -= len(data)
        tar.write(bytes(-header.size % BLOCKSIZE))
    path.unlink()
    return header.size


def scatter(tar: Path, folder: Path, allowance: Allowance) -> None:
    """Put what is in a tar into a folder, unpacked, as any pg_restore reads it.

    Raises:
        BackupError: it holds something else than large objects, or more than is allowed.
        OSError: no room. What `open_decompressed` and gzip raise: it is damaged.
    """
    for name, file in _members(tar, allowance):
        with (folder / name).open("xb") as target:
            while data := file.read(_CHUNK):
                target.write(data)


def read(tar: Path) -> int:
    """Read a tar from its first to its last byte.

    Returns:
        how many large objects its lists name, less those that are in it: 0 in sum over all tars of an archive.

    Raises:
        as `scatter`.
    """
    missing = 0
    for name, file in _members(tar, Allowance()):
        listed = bool(_LIST.fullmatch(name))
        while data := file.read(_CHUNK):
            missing += data.count(b"\n") if listed else 0
        missing -= not listed
    return missing


def _members(tar: Path, allowance: Allowance) -> Iterator[tuple[str, BufferedIOBase]]:
    """The name that each member has unpacked, and its unpacked bytes, to be read before the next."""
    with open_decompressed(tar, allowance) as reader:
        while (block := reader.read(BLOCKSIZE)) != _END:
            try:
                header = TarInfo.frombuf(block, "utf-8", "strict")
            except (HeaderError, ValueError) as error:
                raise BackupError(f"The dump is damaged: {tar.name} is no tar of large objects.") from error
            name = header.name.removesuffix(".zst").removesuffix(".gz")
            plain = name == header.name
            if header.type != REGTYPE or not ((_LIST.fullmatch(name) and plain) or _OBJECT.fullmatch(name)):
                raise BackupError(f"The dump is damaged: {tar.name} holds {header.name[:80]!r}.")
            inner = BufferedReader(_Inner(reader, header.size), _CHUNK if header.size > _CHUNK else BLOCKSIZE)
            if plain or not header.size:
                yield name, inner
            elif header.name.endswith(".gz"):
                yield name, counted(cast("BufferedIOBase", gzip.GzipFile(fileobj=inner)), allowance)
            else:
                yield name, open_decompressed(inner, allowance)
            while inner.read(_CHUNK):  # whatever its reader left
                pass
            reader.read(-header.size % BLOCKSIZE)
        while reader.read(_CHUNK):  # the checksum comes last
            pass


class _Inner(RawIOBase):
    """The next so many bytes of another file. Raises EOFError where it has less."""

    def __init__(self, file: BufferedIOBase, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)[: self._left]
        size = self._file.readinto(view)
        if self._left and not size:
            raise EOFError("it was cut short")
        self._left -= size
        return size
