"""What the tables of a SQLite database hold: counts, and digests that do not depend on the order of rows."""

import sqlite3
import struct
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from ci_migrate.databases.sqlite.catalog import is_virtual, user_rows
from ci_migrate.databases.sqlite.stand_ins import add_stand_ins
from ci_migrate.databases.sqlite.tokens import quote
from ci_migrate.model import ColumnContent, RowCount, TableContent

DIGEST_LIMIT = 1_000_000
"""Rows above which a table is only counted."""

VIRTUAL = 2
"""`hidden` of a column that is computed when it is read."""

_BATCH = 1000
_MODULUS = 1 << 64


class _Text(bytes):
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
    factory, connection.text_factory = connection.text_factory, _Text
    try:
        return {name: _content(connection, name) for name in wanted}
    finally:
        connection.text_factory = factory


def _tables(connection: sqlite3.Connection, tables: Iterable[str] | None) -> list[tuple[str, bool]]:
    known = {name: is_virtual(sql) for kind, name, _, sql in user_rows(connection) if kind == "table"}
    if tables is None:
        return sorted(known.items())
    by_case = {name.lower(): name for name in known}
    wanted = {by_case[name.lower()] for name in tables if name.lower() in by_case}
    return [(name, known[name]) for name in sorted(wanted)]


def _content(connection: sqlite3.Connection, table: str) -> TableContent:
    names = _columns(connection, table, 1)
    try:
        connection.execute(
            f"SELECT {', '.join(map(quote, names))} FROM main.{quote(table)} LIMIT 1"
        ).fetchone()
    except sqlite3.OperationalError:
        names = _columns(connection, table, VIRTUAL)
    source = f"FROM main.{quote(table)}"
    rows = int(connection.execute(f"SELECT count(*) {source}").fetchone()[0])
    if rows > DIGEST_LIMIT:
        every = ", ".join(f"count({quote(name)})" for name in names)
        values = connection.execute(f"SELECT {every} {source}").fetchone()
        columns = {n: ColumnContent(values=v) for n, v in zip(names, values, strict=True)}
        return TableContent(rows=rows, columns=columns)
    cursor = connection.execute(f"SELECT {', '.join(map(quote, names))} {source}")
    present, sums, total = [0] * len(names), [0] * len(names), 0
    header = "\0".join(names).encode()
    while batch := cursor.fetchmany(_BATCH):
        for row in batch:
            whole = blake2b(header, digest_size=8)
            for position, value in enumerate(row):
                digest = blake2b(_tag(value), digest_size=8).digest()
                whole.update(digest)
                if value is not None:
                    present[position] += 1
                    sums[position] += int.from_bytes(digest, "big")
            total += int.from_bytes(whole.digest(), "big")
    columns = {
        name: ColumnContent(values=n, digest=f"{s % _MODULUS:016x}")
        for name, n, s in zip(names, present, sums, strict=True)
    }
    return TableContent(rows=rows, digest=f"{total % _MODULUS:016x}", columns=columns)


def _columns(connection: sqlite3.Connection, table: str, but: int) -> list[str]:
    listed = "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden NOT IN (1, ?)"
    return sorted(row[0].decode() for row in connection.execute(listed, (table, but)))


def _tag(value: Any) -> bytes:
    """A value with its storage class: 1, 1.0, '1' and x'31' differ."""
    if value is None:
        return b"n"
    if isinstance(value, int):
        return b"i%d" % value
    if isinstance(value, float):
        return b"f" + struct.pack(">d", value)
    return b"t" + value if isinstance(value, _Text) else b"b" + bytes(value)
