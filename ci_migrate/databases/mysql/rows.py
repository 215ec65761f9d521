"""What MySQL's and MariaDB's tables hold: rows, values per column, digests. All of it is counted on the server."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, NamedTuple

from ci_migrate.databases.digests import EMPTY_TEXTS, WHITE_SPACE
from ci_migrate.databases.mysql.catalog import quote_name, read_flavour, tables_of
from ci_migrate.databases.mysql.rows_dump import CUT, NUMBERS
from ci_migrate.model import ColumnContent, RowCount, Sample, TableContent, VersionTable, sum_digest

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

BIG = 1_000_000
"""Rows from which on the server's estimate will do."""

NO_RIGHT = 1227
"""The server's number for a missing right to the whole server (PROCESS)."""

AT_ONCE = 50
"""Tables counted in one statement."""

PATIENCE = 0.5
"""Seconds from which on a second session reads tables of a copy, too: to open one takes time itself."""

KIND = "sha2"
"""What stands before the digest of a table; those of earlier versions, sums of MD5, had nothing there."""

_TEXT = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json")

_BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")

_PLAIN = NUMBERS | {"float", "double", "date", "time", "datetime", "timestamp", *_TEXT}
"""Whose bytes are those of UTF-8."""


def read_size(cursor: "Cursor", database: str) -> int:
    """Bytes on disk: of InnoDB's files where this account may see them, else what the statistics say.

    Statistics are as old as the last ANALYZE, and MySQL shows them a day longer: of a table that was just filled they
    say that it is empty.
    """
    import pymysql

    cursor.execute(
        "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s",
        [database],
    )
    told = int((cursor.fetchone() or (0,))[0])
    try:
        cursor.execute(read_flavour(cursor).tablespaces, [database])
    except pymysql.err.OperationalError as error:
        if error.args[0] != NO_RIGHT:
            raise
        return told
    return max(told, int((cursor.fetchone() or (0,))[0]))


def read_counts(
    cursor: "Cursor", database: str, tables: Iterable[str] | None, *, exact: bool
) -> dict[str, RowCount]:
    """Rows per table; InnoDB's estimate for big ones unless `exact`."""
    wanted = None if tables is None else set(tables)
    found: dict[str, RowCount] = {}
    to_count = [(key, name) for key, name in tables_of(cursor, database) if wanted is None or key in wanted]
    if not exact and to_count:
        cursor.execute(
            "SELECT TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = %s AND TABLE_ROWS >= %s",
            [database, BIG],
        )
        estimates = {str(name): int(rows) for name, rows in cursor.fetchall()}
        found = {
            key: RowCount(rows=estimates[name], exact=False) for key, name in to_count if name in estimates
        }
        to_count = [(key, name) for key, name in to_count if key not in found]
    for start in range(0, len(to_count), AT_ONCE):
        some = to_count[start : start + AT_ONCE]
        each = ", ".join(f"(SELECT COUNT(*) FROM {quote_name(database, name)})" for _, name in some)
        cursor.execute(f"SELECT {each}")
        found.update(
            {key: RowCount(rows=int(n)) for (key, _), n in zip(some, cursor.fetchone() or (), strict=True)}
        )
    return dict(sorted(found.items()))


class Table(NamedTuple):
    """A table that holds rows: what `counts` calls it, its name, its columns by name with type and character set."""

    key: str
    name: str
    columns: tuple[tuple[str, str, str], ...]


def list_tables(cursor: "Cursor", database: str, wanted: Collection[str] | None = None) -> list[Table]:
    """The tables that are called so (all if None), sorted by key, which is that of `counts`."""
    cursor.execute(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, CHARACTER_SET_NAME FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = %s"
        # when a row came into being is told by the server, not by the data
        " AND COALESCE(GENERATION_EXPRESSION, '') NOT IN ('ROW START', 'ROW END')",
        [database],
    )
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for table, column, kind, charset in cursor.fetchall():
        columns.setdefault(str(table), []).append((str(column), str(kind).lower(), str(charset or "")))
    return [
        Table(key, name, tuple(sorted(columns.get(name, ()))))
        for key, name in tables_of(cursor, database)
        if wanted is None or key in wanted
    ]


def read_contents(cursor: "Cursor", database: str, tables: Iterable[str]) -> dict[str, TableContent]:
    """Rows, values and digests of some tables, one pass over each."""
    found = list_tables(cursor, database, set(tables))
    return {table.key: read_content(cursor, database, table) for table in found}


def read_still(
    session: "Callable[[], AbstractContextManager[Cursor]]", database: str, tables: Iterable[str]
) -> dict[str, TableContent]:
    """The same of a database that nobody writes to: a second session helps if it takes longer than `PATIENCE`.

    Args:
        session: opens one.
        database: the database.
        tables: the large ones should come first.
    """
    waiting: deque[Table] = deque()
    found: dict[str, TableContent] = {}
    done = threading.Event()

    def read(cursor: "Cursor") -> None:
        while waiting:
            with suppress(IndexError):  # the other one took the last
                table = waiting.popleft()
                found[table.key] = read_content(cursor, database, table)

    def help_out() -> None:
        if not done.wait(PATIENCE):
            with session() as cursor:
                read(cursor)

    order = {key: number for number, key in enumerate(tables)}
    pool = ThreadPoolExecutor(1)
    try:
        with session() as cursor:
            waiting.extend(sorted(list_tables(cursor, database, order.keys()), key=lambda t: order[t.key]))
            helping = pool.submit(help_out)
            try:
                read(cursor)
            finally:
                waiting.clear()
                done.set()
        helping.result()
    finally:
        pool.shutdown(wait=False)  # if the first one fails: the other's session ends with the copy
    return dict(sorted(found.items()))


def read_samples(cursor: "Cursor", database: str, samples: Mapping[str, Sample]) -> dict[str, TableContent]:
    """The same of samples; missing tables are left out."""
    found = list_tables(cursor, database, samples.keys())
    return {table.key: read_content(cursor, database, table, samples[table.key]) for table in found}


def read_content(cursor: "Cursor", database: str, table: Table, sample: Sample | None = None) -> TableContent:
    """Rows, values and digests of a table, or of a sample; no digests where a value is too large to be hashed."""
    cursor.execute(_content_query(database, table, sample))
    warned = cursor.warning_count
    rows, whole, *each = cursor.fetchone() or (0, 0)
    if warned:
        cursor.execute("SHOW WARNINGS")
        if any(row[1] == CUT for row in cursor.fetchall()):  # it became NULL, and is in no sum
            return TableContent(rows=int(rows))
    return TableContent(
        rows=int(rows),
        digest=f"{KIND}:{whole}",
        columns={
            name: _column_content(str(counted))
            for (name, _, _), counted in zip(table.columns, each, strict=True)
        },
    )


def _column_content(counted: str) -> ColumnContent:
    values, hashed, empty, hashed_empty = map(int, counted.split())
    return ColumnContent(
        values=values,
        digest=str(hashed),
        filled=values - empty,
        filled_digest=sum_digest(hashed - hashed_empty),
    )


def _content_query(database: str, table: Table, sample: Sample | None) -> str:
    """Sums of hashes: whatever the order of rows, they are the same. 60 bits of each row, 64 of each value.

    Columns are in the order of their names, so a restored table with columns in another order has the same digest.
    MariaDB takes ten times as long for an MD5 as for a CRC32, and longer for CONV than for SHA2: so a row is hashed
    once, as one text, and of the SHA2 of a value there is the CRC32, beside that of the value itself.
    """
    values = [_value(*column) for column in table.columns]
    each = [_counted(name, kind, value) for (name, kind, _), value in zip(table.columns, values, strict=True)]
    parts = [_part(value, kind) for (_, kind, _), value in zip(table.columns, values, strict=True)]
    row = f"SHA2(CONCAT_WS(x'FF', {', '.join(parts)}), 256)"
    whole = f"COALESCE(SUM(CAST(CONV(LEFT({row}, 15), 16, 10) AS UNSIGNED)), 0)" if parts else "0"
    return f"SELECT {', '.join(['COUNT(*)', whole, *each])} FROM {_source(database, table, sample)}"


def _counted(name: str, kind: str, value: str) -> str:
    """SQL for what is told of a column: values, digest, and the same of those values that hold nothing."""
    hashed = f"CRC32({value}) << 32 | CRC32(SHA2({value}, 256))"
    empty = _is_empty(value) if kind in (*_TEXT, *_BYTES) else "FALSE"
    # one text: a result has no more columns than a table may have
    return (
        f"CONCAT_WS(' ', COUNT({quote_name(name)}), COALESCE(SUM({hashed}), 0),"
        f" COUNT(IF({empty}, 1, NULL)), COALESCE(SUM(IF({empty}, {hashed}, NULL)), 0))"
    )


def _is_empty(value: str) -> str:
    """SQL for whether a value holds nothing. Bytes are compared: some collations overlook whole characters."""
    known = ", ".join(f"x'{text.encode().hex()}'" for text in EMPTY_TEXTS)
    bare = f"CAST({value} AS BINARY)"
    short = f"LENGTH({value}) <= {max(map(len, EMPTY_TEXTS))} AND {bare} IN ({known})"
    for sign in WHITE_SPACE:
        bare = f"REPLACE({bare}, x'{ord(sign):02x}', '')"
    return f"(ASCII({value}) <= {ord(' ')} AND LENGTH({bare}) = 0 OR {short})"


def _part(value: str, kind: str) -> str:
    """SQL for what of a column goes into the text of its row.

    FF divides the parts, and FE stands for NULL: bytes that neither numbers nor UTF-8 have. What may be any bytes goes
    in by its hash, and so does what is long, since no text of the server's is longer than a packet. Long is a value and
    not a type: a column that only became wider or narrower holds the same.
    """
    part = f"SHA2({value}, 256)"
    if kind in _PLAIN:
        part = f"IF(LENGTH({value}) < 64, CAST({value} AS BINARY), {part})"
    return f"COALESCE({part}, x'FE')"


def _source(database: str, table: Table, sample: Sample | None) -> str:
    name = quote_name(database, table.name)
    if sample is None:
        return name
    key = quote_name(sample.key)
    # by name: * leaves INVISIBLE columns out
    whole = f"SELECT {', '.join(quote_name(column) for column, _, _ in table.columns)} FROM {name}"
    ends = [*(f" AND {key} < {int(start)}" for start in sample.starts[1:]), ""]
    ranges = [
        f"({whole} WHERE {key} >= {int(start)}{end} ORDER BY {key} LIMIT {int(sample.rows)})"
        for start, end in zip(sample.starts, ends, strict=True)
    ]
    return f"({' UNION ALL '.join(ranges)}) ranges"


def _value(column: str, kind: str, charset: str) -> str:
    """SQL for what of a column is hashed.

    Text as UTF-8: a table that only went to another character set holds the same. Not where that is not all of it:
    some bytes of sjis or gbk are no character that Unicode has, and all of them would be the same question mark.
    """
    name = quote_name(column)
    if kind == "float":
        return f"({name} + 0e0)"  # its own text has six digits
    if kind == "vector":
        return f"HEX({name})"
    if kind not in _TEXT or charset == "utf8mb4":
        return name
    text = f"CONVERT({name} USING utf8mb4)"
    if charset in ("latin1", ""):
        return text
    back = f"CAST(CONVERT({text} USING {charset}) AS BINARY)"
    return f"IF({back} = CAST({name} AS BINARY), {text}, CONCAT('bytes ', HEX({name})))"


def read_heads(
    cursor: "Cursor", database: str, tables: Sequence[VersionTable]
) -> tuple[tuple[str, ...], ...]:
    """The rows of each version table, sorted; () where there is none."""
    heads: list[tuple[str, ...]] = []
    for table in tables:
        schema = table.schema or database
        cursor.execute(
            "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            [schema, table.name],
        )
        if cursor.fetchone() is None:
            heads.append(())
            continue
        cursor.execute(f"SELECT version_num FROM {quote_name(schema, table.name)}")
        heads.append(tuple(sorted(str(version) for (version,) in cursor.fetchall())))
    return tuple(heads)
