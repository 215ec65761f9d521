"""What PostgreSQL's tables hold: rows, values per column, digests. All of it is counted on the server."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec

from ci_migrate.databases.digests import IN_RANGE, choose_starts
from ci_migrate.databases.postgresql.catalog import RELATIONS, unpin
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.snapshot import in_parts
from ci_migrate.model import ColumnContent, RowCount, Sample, TableContent, VersionTable

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable, Composed

BIG = 1_000_000
"""Rows from which on the server's estimate will do."""

_TABLES = f"""
WITH {RELATIONS}
SELECT key, nspname, relname, oid, relkind::text, reltuples::bigint,
  CASE WHEN NOT has_table_privilege(oid, 'SELECT') AND NOT has_any_column_privilege(oid, 'SELECT')
       THEN 'role ' || current_user || ' may not read it'
       WHEN row_security_active(oid) THEN 'row level security hides rows of it from role ' || current_user
       ELSE '' END
FROM rel WHERE relkind IN ('r', 'p') ORDER BY key"""

_COLUMNS = """
SELECT attrelid, attname FROM pg_attribute
WHERE attrelid = ANY(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attname"""


class Table(NamedTuple):
    """A table that holds rows; `rows` is the server's estimate, `unseen` why not all can be read."""

    key: str
    schema: str
    name: str
    oid: int
    kind: str  # "r", or "p" for a partitioned one, whose rows are its partitions'
    rows: int
    unseen: str


def list_tables(connection: "psycopg.Connection[Any]", wanted: Collection[str] | None = None) -> list[Table]:
    """The tables that are called so (all if None), sorted; the keys are those of `counts`."""
    found = map(Table._make, connection.execute(_TABLES).fetchall())
    return [table for table in found if wanted is None or table.key in wanted]


def read_counts(
    connection: "psycopg.Connection[Any]", access: Access, tables: Iterable[str] | None, *, exact: bool
) -> dict[str, RowCount]:
    """Rows per table. A partitioned table has none of its own: its partitions are counted."""
    unpin(connection)
    found: dict[str, RowCount] = {}
    to_count: list[Table] = []
    for table in list_tables(connection, None if tables is None else set(tables)):
        if table.kind == "p":
            continue
        if table.rows >= BIG and not exact:
            found[table.key] = RowCount(rows=table.rows, exact=False)
        else:
            to_count.append(table)
    for session, some in in_parts(connection, access, to_count):
        for table, rows in zip(some, _count(session, some), strict=True):
            found[table.key] = RowCount(rows=rows)
    return dict(sorted(found.items()))


def _count(connection: "psycopg.Connection[Any]", tables: Sequence[Table]) -> Sequence[int]:
    from psycopg import sql

    each = [
        sql.SQL("(SELECT count(*) FROM ONLY {})").format(sql.Identifier(table.schema, table.name))
        for table in tables
    ]
    row = connection.execute(sql.SQL("SELECT ") + sql.SQL(", ").join(each)).fetchone()
    return row or ()


def read_contents(connection: "psycopg.Connection[Any]", tables: Iterable[str]) -> dict[str, TableContent]:
    """Rows, values and digests of some tables, one query each. A partitioned table is read with its partitions."""
    return {
        table.key: read_content(connection, table, columns)
        for table, columns in with_columns(connection, list_tables(connection, set(tables)))
    }


def with_columns(
    connection: "psycopg.Connection[Any]", tables: Sequence[Table]
) -> list[tuple[Table, list[str]]]:
    """Each table with the names of its columns, sorted."""
    unpin(connection)
    columns: dict[int, list[str]] = {table.oid: [] for table in tables}
    for oid, column in connection.execute(_COLUMNS, [list(columns)]):
        columns[oid].append(column)
    return [(table, columns[table.oid]) for table in tables]


def read_content(
    connection: "psycopg.Connection[Any]", table: Table, columns: Sequence[str], sample: Sample | None = None
) -> TableContent:
    """Rows, values and digests of a table, or of a sample; without digests where the session does not see all rows."""
    if table.unseen:
        return TableContent(rows=0)
    row = connection.execute(_content_query(table, columns, sample)).fetchone()
    assert row is not None
    rows, digest, values, digests = row
    return TableContent(
        rows=rows,
        digest=digest,
        columns={
            column: ColumnContent(values=count, digest=hashed)
            for column, count, hashed in zip(columns, values, digests, strict=True)
        },
    )


def _content_query(table: Table, columns: Sequence[str], sample: Sample | None) -> "Composed":
    """Sums of 64-bit hashes: whatever the order of rows, they are the same.

    The hash of a row is made of its columns' hashes in the order of their names, so a restored table with columns in
    another order has the same digest. OFFSET 0 keeps the server from hashing each value again for each use.
    """
    from psycopg import sql

    names = [sql.Identifier(column) for column in columns]
    hashes = [sql.Identifier(f"h{number}") for number in range(len(columns))]
    # concat: the text that COPY writes; a cast has another one for XML, whose declaration no dump keeps. COLLATE: a
    # column's own collation may call different bytes equal
    each = [
        sql.SQL(
            'CASE WHEN num_nulls({0}) = 0 THEN hashtextextended(concat({0}) COLLATE "C", 0) END AS {1}'
        ).format(name, hashed)
        for name, hashed in zip(names, hashes, strict=True)
    ]
    # not one call in another: a table may have 1,600 columns. Hashed once more: an array's hash is a sum of its
    # members' (times 31, and so on), and in sums of such sums it does not show which values stand in one row
    whole = sql.SQL(
        'hashtextextended(hash_array_extended(ARRAY[{}]::bigint[], 0)::text COLLATE "C", 0)'
    ).format(sql.SQL(", ").join(hashes))
    return sql.SQL(
        "SELECT count(*), coalesce(sum({whole}), 0)::text, ARRAY[{values}]::bigint[], ARRAY[{digests}]::text[]"
        " FROM (SELECT {each} FROM {source} OFFSET 0) hashed"
    ).format(
        whole=whole,
        values=sql.SQL(", ").join(sql.SQL("count({})").format(hashed) for hashed in hashes),
        digests=sql.SQL(", ").join(sql.SQL("coalesce(sum({}), 0)::text").format(hashed) for hashed in hashes),
        each=sql.SQL(", ").join(each),
        source=_source(table, sample),
    )


def _source(table: Table, sample: Sample | None) -> "Composable":
    from psycopg import sql

    whole = sql.SQL("{}{}").format(
        sql.SQL("" if table.kind == "p" else "ONLY "), sql.Identifier(table.schema, table.name)
    )
    if sample is None:
        return whole
    key = sql.Identifier(sample.key)
    ends = [*(sql.SQL(" AND {} < {}").format(key, start) for start in sample.starts[1:]), sql.SQL("")]
    ranges = [
        sql.SQL("(SELECT * FROM {whole} WHERE {key} >= {start}{end} ORDER BY {key} LIMIT {rows})").format(
            whole=whole, key=key, start=start, end=end, rows=sample.rows
        )
        for start, end in zip(sample.starts, ends, strict=True)
    ]
    return sql.SQL("({}) ranges").format(sql.SQL(" UNION ALL ").join(ranges))


_KEY = """
SELECT a.attname, a.atttypid = 'uuid'::regtype FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attnotnull
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype)
ORDER BY i.indisprimary DESC, a.attname LIMIT 1"""


def read_sample(connection: "psycopg.Connection[Any]", table: Table, columns: Sequence[str]) -> Sample | None:
    """A sample of a table and what it holds; None where no key is fit for one, or there are no rows."""
    from psycopg import sql

    found = connection.execute(_KEY, [table.oid]).fetchone()
    if found is None or table.unseen:
        return None
    key, is_uuid = found
    ends = sql.SQL("SELECT {key} FROM ONLY {table} ORDER BY {key} {order} LIMIT 1")
    name = sql.Identifier(table.schema, table.name)
    lowest, highest = (
        connection.execute(ends.format(key=sql.Identifier(key), table=name, order=sql.SQL(order))).fetchone()
        for order in ("ASC", "DESC")
    )
    if lowest is None or highest is None:
        return None
    if is_uuid:
        starts = tuple(str(UUID(int=start)) for start in choose_starts(lowest[0].int, highest[0].int))
    else:
        starts = tuple(map(str, choose_starts(lowest[0], highest[0])))
    sample = Sample(key=key, starts=starts, rows=IN_RANGE, content=TableContent(rows=0))
    return msgspec.structs.replace(sample, content=read_content(connection, table, columns, sample))


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
