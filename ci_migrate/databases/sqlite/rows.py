"""What the tables of a SQLite database hold: counts, and digests that do not depend on the order of rows."""

import math
import sqlite3
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, NamedTuple

from ci_migrate.databases.digests import EMPTY_TEXTS, WHITE_SPACE
from ci_migrate.databases.sqlite.catalog import is_virtual, user_rows
from ci_migrate.databases.sqlite.stand_ins import add_stand_ins
from ci_migrate.databases.sqlite.tokens import quote
from ci_migrate.model import ColumnContent, RowCount, Sample, TableContent, sum_digest

VIRTUAL = 2
"""`hidden` of a column that is computed when it is read."""

ROW_IDS = ("rowid", "_rowid_", "oid")
"""What SQLite calls the number of a row, unless a column is called so."""

LARGE = 8 << 20
"""Bytes of a BLOB from which on it is hashed piece by piece."""

_BATCH = 1000
_BYTES = 4 << 20
_NULL = blake2b(b"n", digest_size=8).digest()
_EMPTY = {b"", *(text.encode() for text in EMPTY_TEXTS)}
_LONGEST = max(map(len, _EMPTY))
_WHITE = WHITE_SPACE.encode()


class Text(bytes):
    """TEXT as it is stored, told apart from a BLOB: text need not be valid UTF-8."""

    __slots__ = ()


def counts(connection: sqlite3.Connection, tables: Iterable[str] | None) -> dict[str, RowCount]:
    """Rows of these tables (all if None), exact; tables that do not exist are left out. `connection` writes none."""
    add_stand_ins(connection, collations=True)
    found = {}
    for name, virtual in _tables(connection, tables):
        try:
            rows = connection.execute(f"SELECT count(*) FROM main.{quote(name)}").fetchone()[0]
        except sqlite3.OperationalError:
            if not virtual:
                raise
            continue  # the module of a virtual table may live in the application
        found[name] = RowCount(rows=rows)
    return found


def contents(
    connection: sqlite3.Connection, tables: Iterable[str], *, writes: bool = False
) -> dict[str, TableContent]:
    """What these tables hold; tables that do not exist are left out, virtual ones too.

    So are VIRTUAL columns that are computed by functions of the application: they hold nothing.
    """
    add_stand_ins(connection, collations=not writes)
    wanted = [name for name, virtual in _tables(connection, tables) if not virtual]
    with bytes_of_text(connection):
        found = {name: read_content(connection, name) for name in wanted}
    return {name: content for name, content in found.items() if content is not None}


def read_samples(connection: sqlite3.Connection, samples: Mapping[str, Sample]) -> dict[str, TableContent]:
    """What these tables hold in the rows of samples; tables that do not exist are left out."""
    add_stand_ins(connection, collations=True)
    with bytes_of_text(connection):
        found = {n: read_content(connection, n, samples[n]) for n, _ in _tables(connection, samples)}
    return {name: content for name, content in found.items() if content is not None}


@contextmanager
def bytes_of_text(connection: sqlite3.Connection) -> Iterator[None]:
    """TEXT is read as it is stored, whatever its bytes, told apart from a BLOB."""
    factory, connection.text_factory = connection.text_factory, Text
    try:
        yield
    finally:
        connection.text_factory = factory


def _tables(connection: sqlite3.Connection, tables: Iterable[str] | None) -> list[tuple[str, bool]]:
    known = {name: is_virtual(sql) for kind, name, _, sql in user_rows(connection) if kind == "table"}
    if tables is None:
        return sorted(known.items())
    by_case = {name.lower(): name for name in known}
    wanted = {by_case[name.lower()] for name in tables if name.lower() in by_case}
    return [(name, known[name]) for name in sorted(wanted)]


def read_content(
    connection: sqlite3.Connection, table: str, sample: Sample | None = None, deadline: float = math.inf
) -> TableContent | None:
    """What a table holds, or a sample of it; None if the deadline came before the end.

    `deadline` is on the monotonic clock. `connection.text_factory` must be `Text`. It takes as much memory as the
    largest row; of BLOBs above `LARGE` a piece, where the rows have numbers and it is no sample.
    """
    names = _columns_of(connection, table)
    large = _find_large(connection, table, names) if sample is None else None
    found = _Sums(names)
    for batch in _batches(connection.execute(_query(table, names, sample, large))):
        if time.monotonic() > deadline:
            return None
        columns = list(zip(*batch, strict=True))
        found.add([_hash_values(column) for column in columns], [_hash_empty(column) for column in columns])
    if large is not None:
        for row in large.rows:
            if time.monotonic() > deadline:
                return None
            hashed = [_hash_in_pieces(connection, table, name, large, row) for name in names]
            found.add([[one] for one, _ in hashed], [empty for _, empty in hashed])
    return found.content()


class _Sums:
    """Sums of hashes over rows: by column, and of whole rows."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._header = "\0".join(names).encode()
        self._rows, self._total = 0, 0
        self._present, self._sums = [0] * len(names), [0] * len(names)
        self._empty, self._empty_sums = [0] * len(names), [0] * len(names)

    def add(self, hashed: Sequence[Sequence[bytes]], empty: Sequence[Sequence[bytes]]) -> None:
        """Take rows, column by column; `empty` are the hashes of those values that hold nothing."""
        for position, digests in enumerate(hashed):
            nulls = digests.count(_NULL)
            self._present[position] += len(digests) - nulls
            self._sums[position] += _sum(digests) - nulls * _sum([_NULL])
        for position, digests in enumerate(empty):
            self._empty[position] += len(digests)
            self._empty_sums[position] += _sum(digests)
        whole = [
            blake2b(self._header + b"".join(row), digest_size=8).digest() for row in zip(*hashed, strict=True)
        ]
        self._total += _sum(whole)
        self._rows += len(whole)

    def content(self) -> TableContent:
        """What was taken."""
        columns = {
            name: ColumnContent(
                values=values,
                digest=sum_digest(hashed),
                filled=values - empty,
                filled_digest=sum_digest(hashed - hashed_empty),
            )
            for name, values, hashed, empty, hashed_empty in zip(
                self._names, self._present, self._sums, self._empty, self._empty_sums, strict=True
            )
        }
        return TableContent(rows=self._rows, digest=sum_digest(self._total), columns=columns)


class _Large(NamedTuple):
    """Rows with BLOBs that are not read at once: the name of their numbers, these, and the condition."""

    key: str
    rows: list[int]
    condition: str


def _find_large(connection: sqlite3.Connection, table: str, names: Sequence[str]) -> _Large | None:
    taken = {name.lower() for name in names}
    key = next((key for key in ROW_IDS if key not in taken), None)
    if key is None:
        return None
    # of a column as it stands neither function reads more than the head of the row
    condition = " OR ".join(f"typeof({c}) = 'blob' AND length({c}) > {LARGE}" for c in map(quote, names))
    try:
        found = connection.execute(f"SELECT {key} FROM main.{quote(table)} WHERE {condition}").fetchall()
    except sqlite3.OperationalError:  # WITHOUT ROWID
        return None
    return _Large(key, [row for (row,) in found], condition) if found else None


def _batches(cursor: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    batch: list[tuple[Any, ...]] = []
    size = 0
    for row in cursor:
        batch.append(row)
        for value in row:
            if type(value) is Text or type(value) is bytes:
                size += len(value)
        if len(batch) == _BATCH or size > _BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _hash_in_pieces(
    connection: sqlite3.Connection, table: str, name: str, large: _Large, row: int
) -> tuple[bytes, list[bytes]]:
    """The hash of one value, and what `_hash_empty` says of it."""
    column, place = quote(name), f"FROM main.{quote(table)} WHERE {large.key} = ?"
    kind, size = connection.execute(f"SELECT typeof({column}), length({column}) {place}", (row,)).fetchone()
    if kind == b"blob" and size > LARGE:
        digest = blake2b(b"b", digest_size=8)
        try:
            with connection.blobopen(table, name, row, readonly=True) as blob:
                while piece := blob.read(_BYTES):
                    digest.update(piece)
        except sqlite3.OperationalError:  # a column that is computed can't be opened so
            pass
        else:
            return digest.digest(), []
    value = connection.execute(f"SELECT {column} {place}", (row,)).fetchone()
    return _hash_values(value)[0], _hash_empty(value)


def _columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """Without those that the application's functions compute when they are read, where they are not known here."""
    names, stored = _columns(connection, table, 1), _columns(connection, table, VIRTUAL)
    computed = [quote(name) for name in names if name not in stored]
    if computed:
        try:
            connection.execute(f"SELECT {', '.join(computed)} FROM main.{quote(table)} LIMIT 1").fetchone()
        except sqlite3.OperationalError:
            return stored
    return names


def _columns(connection: sqlite3.Connection, table: str, but: int) -> list[str]:
    listed = "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden NOT IN (1, ?)"
    return sorted(row[0].decode() for row in connection.execute(listed, (table, but)))


def _query(table: str, names: Sequence[str], sample: Sample | None, large: _Large | None) -> str:
    whole = f"SELECT {', '.join(map(quote, names))} FROM main.{quote(table)}"
    if sample is None:
        return whole if large is None else f"{whole} WHERE NOT ({large.condition})"
    if sample.key not in ROW_IDS:  # what a manifest says is an outsider's word
        raise ValueError(f"{sample.key!r} is no name of a rowid")
    ends = [*(f" AND {sample.key} < {int(start)}" for start in sample.starts[1:]), ""]
    return " UNION ALL ".join(
        f"SELECT * FROM ({whole} WHERE {sample.key} >= {int(start)}{end}"
        f" ORDER BY {sample.key} LIMIT {int(sample.rows)})"
        for start, end in zip(sample.starts, ends, strict=True)
    )


def _hash_values(values: Iterable[Any]) -> list[bytes]:
    """A hash of each value with its storage class: 1, 1.0, '1' and x'31' differ."""
    found = []
    for value in values:
        kind = type(value)
        if kind is Text:
            data = b"t" + value
        elif kind is int:
            data = b"i%d" % value
        elif value is None:
            found.append(_NULL)
            continue
        elif kind is float:
            data = b"f" + struct.pack(">d", value)
        else:
            data = b"b" + bytes(value)
        found.append(blake2b(data, digest_size=8).digest())
    return found


def _hash_empty(values: Iterable[Any]) -> list[bytes]:
    """The hashes of those values that hold nothing, NULL aside."""
    texts = [value for value in values if isinstance(value, bytes)]
    return _hash_values(
        t for t in texts if (len(t) <= _LONGEST and t in _EMPTY) or (t[0] in _WHITE and not t.strip(_WHITE))
    )


def _sum(digests: Sequence[bytes]) -> int:
    return sum(struct.unpack(f">{len(digests)}Q", b"".join(digests)))
