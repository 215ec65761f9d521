"""Rows as SQL that a client takes and that holds nothing but rows: written, and read back strictly.

A file begins with `HEAD` and ends with `END`. In between each statement stands on its own behind a comment that says
how many bytes it has: names may hold line breaks and semicolons. What is read back is a statement of the two kinds
below with constants alone, into a table of the database that the session is in; anything else is refused.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BufferedIOBase

from ci_migrate.databases.mysql.catalog import quote_name

_MODE = "'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'"
SESSION = (
    "SET NAMES utf8mb4",
    f"SET SESSION sql_mode = {_MODE}, time_zone = '+00:00', foreign_key_checks = 0",
)
"""What a session must be set to for rows to come back as they were."""

MARIADB = (
    "SET SESSION check_constraint_checks = 0",  # rows may be older than a constraint
    "SET SESSION system_versioning_insert_history = 1",  # from 10.11 on
)

HEAD = "".join(
    f"{one};\n" for one in (*SESSION, f"/*M! {MARIADB[0]} */", f"/*M!101100 {MARIADB[1]} */")
).encode()
END = b"-- end\n"

STATEMENT_BYTES = 1 << 19
"""About how long a statement gets; a server that takes less per packet than 1 MB has the smallest limit there is."""

SMALL = 1024
"""Bytes of a value that is written as a literal in any case."""

_NAME = rb"`(?:[^`]|``)++`"
_TEXT = rb"'(?:[^'\\]++|\\.)*+'"
_VALUE = (
    rb"(?:NULL|-?[0-9][0-9.]*+|(?:_binary|_utf8mb4)?" + _TEXT + rb"|@ci_migrate_[0-9]++"
    rb"|CONVERT\(@ci_migrate_[0-9]++ USING utf8mb4\))"
)
_ROW = rb"\((?:" + _VALUE + rb"(?:,(?!\))|(?=\))))*+\)"
_INSERT = re.compile(
    rb"INSERT INTO (?P<table>" + _NAME + rb") \((?:" + _NAME + rb"(?:,(?!\))|(?=\))))*+\) VALUES "
    rb"(?:" + _ROW + rb"(?:,(?!\Z)|\Z))++",
    re.DOTALL,
)
_SET = re.compile(
    rb"SET @ci_migrate_(?P<number>[0-9]++)=(?:NULL|_binary" + _TEXT + rb"|CONCAT\(@ci_migrate_(?P=number),_binary"
    + _TEXT + rb"\))",
    re.DOTALL,
)  # fmt: skip

LARGE = 8 << 20
"""Bytes of a row from which on it goes in pieces: whole, it would be in memory several times over."""

_PIECE = 4 << 20
"""Bytes of a piece at most. The server copies what it has for each: smaller ones take longer."""

Sink = Callable[[bytes], object]


def quote_bytes(value: bytes) -> bytes:
    """A string literal of these bytes, without an introducer, as `QUOTE()` writes it."""
    for char, written in ((b"\\", b"\\\\"), (b"'", b"\\'"), (b"\0", b"\\0"), (b"\x1a", b"\\Z")):
        value = value.replace(char, written)
    return b"'" + value + b"'"


def _cut(data: bytes, piece: int) -> Iterator[bytes]:
    for at in range(0, len(data), piece):
        yield data[at : at + piece]


class NotRowsError(Exception):
    """A file is no file of rows, or was cut."""


class InsertWriter:
    """Writes the rows of one table.

    Args:
        sink: takes the statements.
        table: its name.
        columns: the names of those that have values.
        packet: the bytes that the server takes at once.
    """

    def __init__(self, sink: Sink, table: str, columns: Sequence[str], packet: int) -> None:
        self.rows = 0
        self._sink = sink
        self._head = (
            f"INSERT INTO {quote_name(table)} ({','.join(quote_name(c) for c in columns)}) VALUES ".encode()
        )
        self._packet = packet
        self._waiting: list[bytes] = []
        self._size = 0

    def add(self, row: bytes) -> None:
        """Take a row of literals, with commas between."""
        self.rows += 1
        self._waiting.append(row)
        self._size += len(row) + 3
        if self._size >= STATEMENT_BYTES:
            self.flush()

    def add_all(self, rows: Sequence[bytes], size: int) -> None:
        """Take rows of literals, which have `size` bytes together."""
        if self._size + size >= STATEMENT_BYTES:
            self.flush()
        self.rows += len(rows)
        self._waiting += rows
        self._size += size

    def add_wide(self, values: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Take a row of literals, some of which are still bytes.

        Each value is either a literal and None, or an introducer and what is to be quoted. A row that would not go
        through in one packet is put together on the server, in variables.
        """
        size = sum(len(text) + 2 * len(raw or b"") + 3 for text, raw in values)
        if size <= min(self._packet // 2, 2 * LARGE):
            self.add(b",".join(text if raw is None else text + quote_bytes(raw) for text, raw in values))
            return
        self.add_pieces(
            [
                (text if raw is None else text + quote_bytes(raw), None)
                if raw is None or len(raw) < SMALL
                else (text, _cut(raw, self.piece))
                for text, raw in values
            ]
        )

    @property
    def piece(self) -> int:
        """Bytes that one statement can bring, written as a literal."""
        return min(_PIECE, max(STATEMENT_BYTES // 2, self._packet // 8))

    def add_pieces(self, values: Iterable[tuple[bytes, Iterable[bytes] | None]]) -> None:
        """Take a row whose large values come in pieces, of at most `piece` bytes; the server puts them together.

        Each value is either a literal and None, or an introducer and the pieces.
        """
        self.flush()
        row, variables = [], []
        for number, (text, pieces) in enumerate(values):
            if pieces is None:
                row.append(text)
                continue
            name = b"@ci_migrate_%d" % number
            variables.append(name)
            for position, piece in enumerate(pieces):
                part = b"_binary" + quote_bytes(piece)
                self._write(b"SET %b=" % name + (b"CONCAT(%b,%b)" % (name, part) if position else part))
            row.append(name if text == b"_binary" else b"CONVERT(%b USING utf8mb4)" % name)
        self.add(b",".join(row))
        self.flush()
        for name in variables:
            self._write(b"SET %b=NULL" % name)

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._write(b"(" + b"),(".join(self._waiting) + b")", self._head)
            self._waiting.clear()
            self._size = 0

    def _write(self, body: bytes, head: bytes = b"") -> None:
        # a client that reads from a pipe may take \r\n for one line break
        body = body.replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        self._sink(b"-- %d\n" % (len(head) + len(body)))
        self._sink(head + body + b";\n")


LONGEST = 1 << 30
"""Bytes of a statement: what `max_allowed_packet` is at most."""


def read_statements(file: BufferedIOBase) -> Iterator[tuple[str, bytes]]:
    """The statements of a file that `InsertWriter` wrote, each with the table that it fills ("" for a variable).

    Raises:
        NotRowsError: it has no end, or holds anything else than rows.
    """
    if file.read(len(HEAD)) != HEAD:
        raise NotRowsError("it does not begin as a file of rows")
    while (line := file.readline(40)) != END:
        if not re.fullmatch(rb"-- [0-9]{1,12}\n", line):
            raise NotRowsError("it has no end" if not line else "it holds something else than rows")
        if (size := int(line[3:])) > LONGEST:
            raise NotRowsError("it holds a statement that is longer than any server takes")
        data = file.read(size + 2)
        statement = data[:size]
        if len(data) != size + 2:
            raise NotRowsError("it has no end")
        found = _INSERT.fullmatch(statement)
        if data[size:] != b";\n" or not (found or _SET.fullmatch(statement)):
            raise NotRowsError(
                f"it holds something else than rows: {statement[:80].decode(errors='replace')!r}"
            )
        yield found["table"].decode(errors="replace") if found else "", statement
