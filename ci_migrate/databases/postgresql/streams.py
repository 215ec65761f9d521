"""Table files that pg_restore reads while they are unpacked: each is a named pipe, with a thread of ours behind it.

Which bytes are trusted when: the catalog has compared every stored file with its checksum in the manifest before one is
used, `toc.dat`, which holds the SQL, among them. What is left to find is a file that does not unpack to its end: of its
pipe pg_restore never sees the end, so that its COPY is never committed. Rows go by COPY alone, never as a part of a
script: `tools.connects` says where that is so.
"""

import fcntl
import os
import threading
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Self

from ci_migrate.databases.compression import Allowance, chunks
from ci_migrate.errors import BackupError

MOST = 64
"""Pipes at a time: each has a thread that waits for pg_restore."""

LEAST = 1 << 18
"""Packed bytes below which a file is better unpacked at once."""

END_OF_ROWS = b"\\.\n\n\n"
"""What each table's file ends with, written when its last row was."""

_ROOM = 1 << 20
"""Bytes that wait in a pipe; Linux gives it a sixteenth by default."""

_PATIENCE = 0.05


class Streams:
    """The pipes of one restore, which end with the block."""

    def __init__(self) -> None:
        self._failed: BackupError | None = None
        self._over = threading.Event()
        self._feeding: dict[Path, threading.Thread] = {}

    def add(self, packed: Path, pipe: Path, allowance: Allowance) -> None:
        """Let `pipe` be a new named pipe, which gives once what `packed` unpacks to. Raises OSError."""
        os.mkfifo(pipe, 0o600)
        thread = threading.Thread(target=self._feed, args=(packed, pipe, allowance), daemon=True)
        self._feeding[pipe] = thread
        thread.start()

    def check(self) -> None:
        """Raise BackupError where a file does not unpack: pg_restore waits for its rest then, and is to be ended."""
        if self._failed is not None:
            raise self._failed

    def _feed(self, packed: Path, pipe: Path, allowance: Allowance) -> None:
        try:
            with pipe.open("wb", buffering=0) as file:  # waits for a reader
                with suppress(AttributeError, OSError):  # Linux alone has it
                    fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _ROOM)
                try:
                    self._send(packed, file, allowance)
                except BrokenPipeError:
                    pass  # pg_restore has ended, and says why
                except Exception as error:  # noqa: BLE001 - whatever it is, pg_restore must not see an end
                    self._fail(packed, error)
                    self._over.wait()  # its end would be the end of the table
        except OSError as error:
            self._fail(packed, error)

    def _send(self, packed: Path, file: RawIOBase, allowance: Allowance) -> None:
        tail = b""
        for chunk in chunks(packed, allowance):
            left = memoryview(chunk)
            while left:
                if self._over.is_set():
                    return
                left = left[file.write(left) or 0 :]
            tail = (tail + chunk[-len(END_OF_ROWS) :])[-len(END_OF_ROWS) :]
        if tail != END_OF_ROWS:
            raise EOFError("it was cut short")

    def _fail(self, packed: Path, error: Exception) -> None:
        damaged = BackupError(f"The dump is damaged: {packed.name} can't be unpacked ({error}).")
        self._failed = error if isinstance(error, BackupError) else damaged

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        for pipe, thread in self._feeding.items():
            while thread.is_alive():  # pg_restore never opened it, or was ended
                reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                thread.join(_PATIENCE)
                os.close(reader)
