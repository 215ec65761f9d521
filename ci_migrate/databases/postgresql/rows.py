"""What PostgreSQL's tables hold: rows, values per column, digests. All of it is counted on the server."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.catalog import RELATIONS
from ci_migrate.model import ColumnContent, RowCount, TableContent, VersionTable

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable, Composed

BIG = 1_000_000
"""Rows from which on the server's estimate will do."""

AT_ONCE = 50
"""Tables counted in one statement."""

_TABLES = f"""
WITH {RELATIONS}
SELECT key, nspname, relname, oid, relkind::text, reltuples::bigint FROM rel
WHERE relkind IN ('r', 'p') ORDER BY key"""

_COLUMNS = """
SELECT attrelid, attname FROM pg_attribute
WHERE attrelid = ANY(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attname"""


def read_counts(
    connection: "psycopg.Connection[Any]", tables: Iterable[str] | None, *, exact: bool
) -> dict[str, RowCount]:
    """Rows per table. A partitioned table has none of its own: its partitions are counted."""
    wanted = None if tables is None else set(tables)
    found: dict[str, RowCount] = {}
    to_count: list[tuple[str, str, str]] = []
    for key, schema, table, _oid, kind, estimate in connection.execute(_TABLES).fetchall():
        if kind == "p" or (wanted is not None and key not in wanted):
            continue
        if estimate >= BIG and not exact:
            found[key] = RowCount(rows=estimate, exact=False)
        else:
            to_count.append((key, schema, table))
    for start in range(0, len(to_count), AT_ONCE):
        some = to_count[start : start + AT_ONCE]
        for (key, _, _), rows in zip(some, _count(connection, some), strict=True):
            found[key] = RowCount(rows=rows)
    return dict(sorted(found.items()))


def _count(connection: "psycopg.Connection[Any]", tables: Sequence[tuple[str, str, str]]) -> Sequence[int]:
    from psycopg import sql

    each = [
        sql.SQL("(SELECT count(*) FROM ONLY {})").format(sql.Identifier(schema, table))
        for _, schema, table in tables
    ]
    row = connection.execute(sql.SQL("SELECT ") + sql.SQL(", ").join(each)).fetchone()
    return row or ()


def read_contents(connection: "psycopg.Connection[Any]", tables: Iterable[str]) -> dict[str, TableContent]:
    """Rows, values and digests of some tables, one query each. A partitioned table is read with its partitions."""
    wanted = set(tables)
    found = [row for row in connection.execute(_TABLES).fetchall() if row[0] in wanted]
    columns: dict[int, list[str]] = {oid: [] for _, _, _, oid, _, _ in found}
    for oid, column in connection.execute(_COLUMNS, [list(columns)]):
        columns[oid].append(column)
    contents: dict[str, TableContent] = {}
    for key, schema, table, oid, kind, _ in found:
        row = connection.execute(_content_query(schema, table, kind, columns[oid])).fetchone()
        assert row is not None
        rows, digest, values, digests = row
        contents[key] = TableContent(
            rows=rows,
            digest=digest,
            columns={
                column: ColumnContent(values=count, digest=hashed)
                for column, count, hashed in zip(columns[oid], values, digests, strict=True)
            },
        )
    return contents


def _content_query(schema: str, table: str, kind: str, columns: Sequence[str]) -> "Composed":
    """Sums of 64-bit hashes: whatever the order of rows, they are the same.

    Columns are in the order of their names, so a restored table with columns in another order has the same digest.
    """
    from psycopg import sql

    names = [sql.Identifier(column) for column in columns]

    def hash_of(value: "Composable") -> "Composed":
        # COLLATE: a column's own collation may call different bytes equal
        hashes = sql.SQL('hashtextextended(({})::text COLLATE "C", 0)').format(value)
        return sql.SQL("coalesce(sum({}), 0)::text").format(hashes)

    return sql.SQL(
        "SELECT count(*), {whole}, ARRAY[{values}]::bigint[], ARRAY[{digests}]::text[] FROM {only}{table}"
    ).format(
        whole=hash_of(sql.SQL("ROW({})").format(sql.SQL(", ").join(names))),
        values=sql.SQL(", ").join(sql.SQL("count({})").format(name) for name in names),
        digests=sql.SQL(", ").join(hash_of(name) for name in names),
        only=sql.SQL("" if kind == "p" else "ONLY "),
        table=sql.Identifier(schema, table),
    )


def read_heads(
    connection: "psycopg.Connection[Any]", tables: Sequence[VersionTable]
) -> tuple[tuple[str, ...], ...]:
    """The rows of each version table, sorted; () where there is none. In the session's own search_path."""
    from psycopg import sql

    heads: list[tuple[str, ...]] = []
    for table in tables:
        schema = table.schema or table.search_path
        name = sql.Identifier(schema, table.name) if schema else sql.Identifier(table.name)
        there = connection.execute("SELECT to_regclass(%s)", [name.as_string(connection)]).fetchone()
        if there is None or there[0] is None:
            heads.append(())
            continue
        rows = connection.execute(sql.SQL("SELECT version_num FROM {}").format(name)).fetchall()
        heads.append(tuple(sorted(str(row[0]) for row in rows)))
    return tuple(heads)
