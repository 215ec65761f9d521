"""What the tables of a SQLite database hold: counts, and digests that do not depend on the order of rows."""

import math
import sqlite3
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

from ci_migrate.databases.sqlite.catalog import is_virtual, user_rows
from ci_migrate.databases.sqlite.stand_ins import add_stand_ins
from ci_migrate.databases.sqlite.tokens import quote
from ci_migrate.model import ColumnContent, RowCount, Sample, TableContent

VIRTUAL = 2
"""`hidden` of a column that is computed when it is read."""

ROW_IDS = ("rowid", "_rowid_", "oid")
"""What SQLite calls the number of a row, unless a column is called so."""

_BATCH = 1000
_MODULUS = 1 << 64
_NULL = blake2b(b"n", digest_size=8).digest()


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
    """What a table holds, or a sample of it, in constant memory; None if the deadline came before the end.

    `deadline` is on the monotonic clock. `connection.text_factory` must be `Text`.
    """
    names = _columns_of(connection, table)
    header = "\0".join(names).encode()
    cursor = connection.execute(_query(table, names, sample))
    rows, total, present, sums = 0, 0, [0] * len(names), [0] * len(names)
    while batch := cursor.fetchmany(_BATCH):
        if time.monotonic() > deadline:
            return None
        hashed = [_hash_values(column) for column in zip(*batch, strict=True)]
        for position, digests in enumerate(hashed):
            empty = digests.count(_NULL)
            present[position] += len(batch) - empty
            sums[position] += _sum(digests) - empty * _sum([_NULL])
        whole = [blake2b(header + b"".join(row), digest_size=8).digest() for row in zip(*hashed, strict=True)]
        total += _sum(whole)
        rows += len(batch)
    columns = {
        name: ColumnContent(values=n, digest=f"{s % _MODULUS:016x}")
        for name, n, s in zip(names, present, sums, strict=True)
    }
    return TableContent(rows=rows, digest=f"{total % _MODULUS:016x}", columns=columns)


def _columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """Without those that the application's functions compute when they are read, where they are not known here."""
    names = _columns(connection, table, 1)
    try:
        connection.execute(
            f"SELECT {', '.join(map(quote, names))} FROM main.{quote(table)} LIMIT 1"
        ).fetchone()
    except sqlite3.OperationalError:
        return _columns(connection, table, VIRTUAL)
    return names


def _columns(connection: sqlite3.Connection, table: str, but: int) -> list[str]:
    listed = "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden NOT IN (1, ?)"
    return sorted(row[0].decode() for row in connection.execute(listed, (table, but)))


def _query(table: str, names: Sequence[str], sample: Sample | None) -> str:
    whole = f"SELECT {', '.join(map(quote, names))} FROM main.{quote(table)}"
    if sample is None:
        return whole
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


def _sum(digests: Sequence[bytes]) -> int:
    return sum(struct.unpack(f">{len(digests)}Q", b"".join(digests)))
