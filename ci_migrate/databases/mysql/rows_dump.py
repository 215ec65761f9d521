"""The rows of MySQL and MariaDB tables as literals that come back as they were.

The dump programs write a FLOAT with six digits, recode text to UTF-8 (which has not all characters of gbk and reads a
backslash of sjis as another one), leave INVISIBLE columns out, and double a BLOB's size, past what a packet holds. Here
the server writes each row as one text, of the bytes that it has stored.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.mysql.catalog import quote_name, read_flavour
from ci_migrate.databases.mysql.inserts import LARGE, SMALL, InsertWriter
from ci_migrate.databases.mysql.packets import read_values
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.errors import BackupError

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor, SSCursor

NUMBERS = frozenset(["tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"])
BY_NUMBER = frozenset(("bit", "enum", "set"))
"""Whose members may be odd; an ENUM's 0 is the value that no member has."""

ROW_ENDS = ("ROW START", "ROW END")
"""What is generated for the versions of rows."""

QUOTED = frozenset(["double", "date", "time", "datetime", "timestamp", "uuid", "inet4", "inet6"])
SHAPES = frozenset(
    ("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon")
) | {"geometrycollection", "geomcollection"}
BYTES = (
    SHAPES
    | frozenset(
        (
            "char",
            "varchar",
            "tinytext",
            "text",
            "mediumtext",
            "longtext",
            "binary",
            "varbinary",
            "tinyblob",
            "blob",
        )
    )
    | {"mediumblob", "longblob", "vector"}
)
UNLIMITED = SHAPES | {"json"}
"""Whose greatest size the catalog does not tell."""

KEYS = (NUMBERS | {"binary", "varbinary"}) - {"decimal"}
"""Whose literals find the very row, by the index. Text may be equal to another in its collation, and MySQL compares
nothing with an invalid date."""

ELSEWHERE = ("MRG_MyISAM", "MRG_MYISAM", "FEDERATED", "CONNECT", "SPIDER", "BLACKHOLE")
"""Engines of tables whose rows other tables hold, or nobody."""

CUT = 1301
"""The server's number for a result that was larger than a packet, and became NULL."""


@dataclass(frozen=True)
class Column:
    """A column that has values of its own; `octets` is the most that it may hold, 0 where that is not known."""

    name: str
    kind: str
    octets: int

    @property
    def literal(self) -> str:
        """SQL for its value as a literal in a statement."""
        c = quote_name(self.name)
        if self.kind in NUMBERS:
            return f"IFNULL({c},'NULL')"
        if self.kind in BY_NUMBER:
            return f"IFNULL(CAST({c} AS UNSIGNED),'NULL')"
        if self.kind == "float":
            return f"QUOTE({c}+0e0)"  # as a double: with all digits
        if self.kind in QUOTED:
            return f"QUOTE({c})"
        return f"IF({c} IS NULL,'NULL',CONCAT('{self.introducer}',QUOTE({self.raw})))"

    @property
    def ascii(self) -> str:
        """SQL for its value as a literal without odd bytes, of a column of one of the `KEYS` that is not NULL."""
        return self.literal if self.kind not in BYTES else f"CONCAT('0x',HEX({quote_name(self.name)}))"

    @property
    def introducer(self) -> str:
        """What stands before it as a literal: text goes by its bytes, whatever character set it is in."""
        return "_binary" if self.kind in BYTES else "_utf8mb4"

    @property
    def wide(self) -> bool:
        """Whether it goes by its bytes, and so may be large."""
        return self.kind not in NUMBERS | BY_NUMBER | QUOTED | {"float"}

    @property
    def raw(self) -> str:
        """SQL for its bytes."""
        c = quote_name(self.name)
        return f"CAST({c} AS BINARY)" if self.kind in BYTES else f"CAST({c} AS CHAR CHARACTER SET utf8mb4)"


@dataclass(frozen=True)
class Source:
    """A table to be read. `history` also takes the rows of the past; `left` says why older rows are left out.

    `key` are columns by whose literals one row is found; () where there are none, or several rows have the same.
    """

    name: str
    columns: tuple[Column, ...]
    history: bool = False
    left: str = ""
    key: tuple[Column, ...] = ()

    @property
    def clause(self) -> str:
        """What stands behind FROM."""
        return quote_name(self.name) + (" FOR SYSTEM_TIME ALL" if self.history else "")


def read_sources(
    cursor: "Cursor", database: str, versioned: Collection[str], *, history: bool
) -> dict[str, Source]:
    """How each table is read.

    Args:
        cursor: a session.
        database: its database.
        versioned: the system-versioned tables.
        history: whether this server takes older rows of those back.
    """
    cursor.execute(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, CHARACTER_OCTET_LENGTH, GENERATION_EXPRESSION"
        " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s"
        " ORDER BY CAST(TABLE_NAME AS BINARY), ORDINAL_POSITION",
        [database],
    )
    listed = cursor.fetchall()
    keys = _read_keys(cursor, database)
    found = {}
    for table, rows in groupby(listed, lambda row: str(row[0])):
        taken, ends = [], []
        for _, name, kind, octets, generated in rows:
            column = Column(str(name), str(kind).lower(), int(octets or 0))
            if generated in ROW_ENDS:
                ends.append(column)
            elif not generated:
                taken.append(column)
        left = ""
        if table in versioned:
            ends = ends or [Column(name, "timestamp", 0) for name in ("ROW_START", "ROW_END")]
            if not history:
                left = "this version of MariaDB takes no older rows back"
            elif any(column.kind == "bigint" for column in ends):
                left = "they are kept by transaction, and MariaDB takes no such rows back"
            else:
                taken += ends
        history_too = table in versioned and not left
        by_name = {column.name: column for column in taken if column.kind in KEYS}
        key = next((key for key in keys.get(table, ()) if by_name.keys() >= set(key)), ())
        found[table] = Source(
            table,
            tuple(taken),
            history_too,
            left,
            () if history_too else tuple(by_name[name] for name in key),
        )
    return found


def _read_keys(cursor: "Cursor", database: str) -> dict[str, list[list[str]]]:
    """The columns of each unique index whose columns are never NULL, by table; the primary key first."""
    cursor.execute(
        "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, NULLABLE = '' AND SUB_PART IS NULL AND COLUMN_NAME IS NOT NULL"
        " FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND NON_UNIQUE = 0 ORDER BY"
        " CAST(TABLE_NAME AS BINARY), INDEX_NAME <> 'PRIMARY', CAST(INDEX_NAME AS BINARY), SEQ_IN_INDEX",
        [database],
    )
    found: dict[str, list[list[str]]] = {}
    for (table, _), rows in groupby(cursor.fetchall(), lambda row: (str(row[0]), str(row[1]))):
        members = [(str(column), bool(fit)) for *_, column, fit in rows]
        if all(fit for _, fit in members):
            found.setdefault(table, []).append([column for column, _ in members])
    return found


@contextmanager
def snapshot(access: Access, lock_timeout: float) -> "Iterator[tuple[Connection[Cursor], Cursor]]":
    """A transaction that shows all tables as they are now, whatever others write meanwhile.

    Everything that is told of a dump is read in it: rows, their numbers, digests.
    """
    with closing(access.connect()) as connection, access.translate_errors():
        cursor = connection.cursor()
        cursor.execute(read_flavour(cursor).no_statement_limit)
        cursor.execute(
            "SET SESSION sql_mode = '', time_zone = '+00:00', wait_timeout = 31536000, net_write_timeout = 31536000,"
            # literals are put together of bytes; MySQL refuses to make another text of those
            f" character_set_connection = binary, lock_wait_timeout = {max(1, round(lock_timeout))}"
        )
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        yield connection, cursor


def dump_rows(connection: "Connection[Cursor]", source: Source, writer: InsertWriter, packet: int) -> None:
    """Write the rows of one table.

    Raises:
        BackupError: a value is too large for the server itself to send.
    """
    wide = [column for column in source.columns if column.wide]
    if _fits(connection, source, wide, min(packet, 2 * LARGE)):
        literals = ",".join(column.literal for column in source.columns) or "''"
        with _streaming(
            connection, f"SELECT CAST(CONCAT_WS(',',{literals}) AS BINARY) FROM {source.clause}"
        ) as cursor:
            for rows, size in read_values(cursor):
                writer.add_all(rows, size)
    else:
        each = ",".join(c.raw if c.wide else f"CAST({c.literal} AS BINARY)" for c in source.columns)
        names = [column.introducer.encode() if column.wide else None for column in source.columns]
        large = f"{_bytes_of(wide)} > {LARGE}"
        some = f" WHERE NOT ({large})" if source.key else ""
        for values in _stream(connection, f"SELECT {each} FROM {source.clause}{some}"):
            writer.add_wide([_value(name, value) for name, value in zip(names, values, strict=True)])
        if source.key:
            for place in _find(connection, source, large):
                writer.add_pieces(_in_pieces(connection, source, place, writer.piece))
    writer.flush()


def _find(connection: "Connection[Cursor]", source: Source, condition: str) -> list[str]:
    """For each row that is meant, the condition that finds it by its key."""
    parts = ",' AND ',".join(f"{_quote(quote_name(key.name) + '=')},{key.ascii}" for key in source.key)
    cursor = connection.cursor()
    cursor.execute(f"SELECT CAST(CONCAT({parts}) AS BINARY) FROM {source.clause} WHERE {condition}")
    return [place.decode() for (place,) in cursor.fetchall()]


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _in_pieces(
    connection: "Connection[Cursor]", source: Source, place: str, piece: int
) -> Iterator[tuple[bytes, Iterator[bytes] | None]]:
    """The values of one row; the large ones are read a piece at a time."""
    cursor = connection.cursor()

    def ask(expression: str) -> Any:
        cursor.execute(f"SELECT {expression} FROM {source.clause} WHERE {place}")
        (value,) = cursor.fetchone() or (None,)
        return value

    def read(column: Column, size: int) -> Iterator[bytes]:
        for start in range(1, size + 1, piece):
            yield ask(f"SUBSTRING(CAST({column.raw} AS BINARY), {start}, {piece})")

    for column in source.columns:
        size = (ask(f"OCTET_LENGTH({column.raw})") or 0) if column.wide else 0
        if size > SMALL:
            yield column.introducer.encode(), read(column, size)
        else:
            yield ask(f"CAST({column.literal} AS BINARY)"), None


def _value(introducer: bytes | None, value: bytes | str | None) -> tuple[bytes, bytes | None]:
    if value is None:
        return b"NULL", None
    data = value.encode() if isinstance(value, str) else value
    return (data, None) if introducer is None else (introducer, data)


def _fits(connection: "Connection[Cursor]", source: Source, wide: Sequence[Column], packet: int) -> bool:
    """Whether each row as a text fits into a packet: by what the columns may hold, else by what they do hold."""
    rest = 100 * len(source.columns)
    if all(column.octets or column.kind not in UNLIMITED for column in wide) and (
        2 * sum(column.octets for column in wide) + rest < packet
    ):
        return True
    cursor = connection.cursor()
    cursor.execute(f"SELECT COALESCE(MAX({_bytes_of(wide)}), 0) FROM {source.clause}")
    return 2 * int((cursor.fetchone() or (0,))[0]) + rest < packet


def _bytes_of(wide: Sequence[Column]) -> str:
    return "+".join(f"COALESCE(OCTET_LENGTH({column.raw}),0)" for column in wide) or "0"


def _stream(connection: "Connection[Cursor]", query: str) -> "Iterator[tuple[bytes | None, ...]]":
    with _streaming(connection, query) as cursor:
        yield from cursor


@contextmanager
def _streaming(connection: "Connection[Cursor]", query: str) -> "Iterator[SSCursor]":
    """A cursor whose rows are read to the last in the block. Raises BackupError where a value was cut."""
    from pymysql.cursors import SSCursor

    cursor = SSCursor(connection)
    try:
        cursor.execute(query)
        yield cursor
    except BaseException:
        # the rest is not wanted: to close the cursor would read it all
        driver: Any = connection
        driver._force_close()  # noqa: SLF001
        driver._result = None  # noqa: SLF001
        raise
    if cursor.warning_count:
        cursor.execute("SHOW WARNINGS")
        if any(row[1] == CUT for row in cursor.fetchall()):
            raise BackupError(
                "A value is larger than max_allowed_packet.", hint="Raise max_allowed_packet on the server."
            )


def without_rows(engine: str | None) -> bool:
    """Whether a table of this engine has no rows of its own."""
    return engine is None or engine.upper() in {name.upper() for name in ELSEWHERE}
