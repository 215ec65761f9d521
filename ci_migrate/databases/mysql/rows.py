"""What MySQL's and MariaDB's tables hold: rows, values per column, digests. All of it is counted on the server."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ci_migrate.databases.mysql.catalog import quote_name, read_flavour, tables_of
from ci_migrate.databases.mysql.flavours import Flavour
from ci_migrate.model import ColumnContent, RowCount, TableContent, VersionTable

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

BIG = 1_000_000
"""Rows from which on the server's estimate will do."""

AT_ONCE = 50
"""Tables counted in one statement."""

_TEXT = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json")


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


def read_contents(cursor: "Cursor", database: str, tables: Iterable[str]) -> dict[str, TableContent]:
    """Rows, values and digests of some tables, one pass over each."""
    wanted = set(tables)
    contents: dict[str, TableContent] = {}
    flavour = read_flavour(cursor)
    for key, table in tables_of(cursor, database):
        if key not in wanted:
            continue
        cursor.execute(
            "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS"
            " WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            [database, table],
        )
        columns = sorted((str(name), str(kind).lower()) for name, kind in cursor.fetchall())
        cursor.execute(_content_query(flavour, database, table, columns))
        rows, whole, *each = cursor.fetchone() or (0, 0)
        contents[key] = TableContent(
            rows=int(rows),
            digest=str(whole),
            columns={
                name: ColumnContent(values=int(each[2 * n]), digest=str(each[2 * n + 1]))
                for n, (name, _) in enumerate(columns)
            },
        )
    return contents


def _content_query(flavour: Flavour, database: str, table: str, columns: Sequence[tuple[str, str]]) -> str:
    """Sums of 60 bits of a hash: whatever the order of rows, they are the same.

    Columns are in the order of their names, so a restored table with columns in another order has the same digest.
    Text is hashed as UTF-8: a table that only went to another character set holds the same.
    """
    hashes = [
        flavour.digest(f"CONVERT({quote_name(name)} USING utf8mb4)" if kind in _TEXT else quote_name(name))
        for name, kind in columns
    ]

    def total(value: str) -> str:
        return f"COALESCE(SUM(CAST(CONV(LEFT({value}, 15), 16, 10) AS UNSIGNED)), 0)"

    row = f"CONCAT({', '.join(f'COALESCE({h}, 0)' for h in hashes)})"
    whole = total(flavour.digest(row)) if hashes else "0"
    each = [f"COUNT({quote_name(name)}), {total(h)}" for (name, _), h in zip(columns, hashes, strict=True)]
    return f"SELECT {', '.join(['COUNT(*)', whole, *each])} FROM {quote_name(database, table)}"


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
