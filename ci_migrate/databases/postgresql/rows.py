"""What PostgreSQL's tables hold: rows, values per column, digests. All of it is counted on the server."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec

from ci_migrate.databases.digests import EMPTY_TEXTS, IN_RANGE, WHITE_SPACE, choose_starts
from ci_migrate.databases.postgresql.catalog import RELATIONS, unpin
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.snapshot import in_parts
from ci_migrate.model import ColumnContent, RowCount, Sample, TableContent, VersionTable, sum_digest

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable, Composed

BIG = 1_000_000
"""Rows from which on the server's estimate will do."""

MOST = 1664
"""Columns that a query may have."""

_TABLES = f"""
WITH {RELATIONS}
SELECT key, nspname, relname, oid, relkind::text, reltuples::bigint,
  CASE WHEN NOT has_table_privilege(oid, 'SELECT') AND NOT has_any_column_privilege(oid, 'SELECT')
       THEN 'role ' || current_user || ' may not read it'
       WHEN row_security_active(oid) THEN 'row level security hides rows of it from role ' || current_user
       ELSE '' END
FROM rel WHERE relkind IN ('r', 'p') ORDER BY key"""

_COLUMNS = """
SELECT attrelid, attname, typcategory = 'S', typcategory IN ('A', 'U') AND atttypid <> 'uuid'::regtype
FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
WHERE attrelid = ANY(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attname"""

EMPTY = ("", *EMPTY_TEXTS, r"\x")
"""What PostgreSQL writes for a value that holds nothing; the last one is a bytea."""


class Table(NamedTuple):
    """A table that holds rows; `rows` is the server's estimate, `unseen` why not all can be read."""

    key: str
    schema: str
    name: str
    oid: int
    kind: str  # "r", or "p" for a partitioned one, whose rows are its partitions'
    rows: int
    unseen: str


class Column(NamedTuple):
    """A column; `is_text`, and `is_container`: a value of another type that may be empty (JSON, arrays, hstore)."""

    name: str
    is_text: bool
    is_container: bool


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
) -> list[tuple[Table, list[Column]]]:
    """Each table with its columns, sorted by name."""
    unpin(connection)
    columns: dict[int, list[Column]] = {table.oid: [] for table in tables}
    for oid, *column in connection.execute(_COLUMNS, [list(columns)]):
        columns[oid].append(Column._make(column))
    return [(table, columns[table.oid]) for table in tables]


def read_content(
    connection: "psycopg.Connection[Any]",
    table: Table,
    columns: Sequence[Column],
    sample: Sample | None = None,
) -> TableContent:
    """Rows, values and digests of a table, or of a sample; without digests where the session does not see all rows."""
    if table.unseen:
        return TableContent(rows=0)
    row = connection.execute(_content_query(table, columns, sample)).fetchone()
    assert row is not None
    rows, digest, *each = row
    return TableContent(
        rows=rows,
        digest=digest,
        columns={
            column.name: ColumnContent(
                values=values,
                digest=hashed,
                filled=values - empty,
                filled_digest=sum_digest(int(hashed) - int(hashed_empty)),
            )
            for column, values, hashed, empty, hashed_empty in zip(columns, *each, strict=True)
        },
    )


def _content_query(table: Table, columns: Sequence[Column], sample: Sample | None) -> "Composed":
    """Sums of 64-bit hashes: whatever the order of rows, they are the same.

    The hash of a row is made of its columns' hashes in the order of their names, so a restored table with columns in
    another order has the same digest. OFFSET 0 keeps the server from hashing each value again for each use.
    """
    from psycopg import sql

    if 2 * len(columns) > MOST:  # where a text has no second column, it is only looked up
        columns = [
            Column(column.name, is_text=False, is_container=column.is_text or column.is_container)
            for column in columns
        ]
    names = [sql.Identifier(column.name) for column in columns]
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
    # neither function reads more of a large text than its beginning
    short = sql.SQL(
        "CASE WHEN octet_length({0}::text) <= {1} OR left({0}::text, 1) COLLATE \"C\" < '!'"
        ' THEN {0}::text COLLATE "C" END AS {2}'
    )
    shorts = [sql.Identifier(f"s{number}") for number in range(len(columns))]
    each += [
        short.format(name, max(map(len, EMPTY)), text)
        for column, name, text in zip(columns, names, shorts, strict=True)
        if column.is_text
    ]
    empty = [_is_empty(*column) for column in zip(columns, hashes, shorts, strict=True)]
    return sql.SQL(
        "SELECT count(*), coalesce(sum({whole}), 0)::text, ARRAY[{values}]::bigint[], ARRAY[{digests}]::text[],"
        " ARRAY[{empty}]::bigint[], ARRAY[{empty_digests}]::text[] FROM (SELECT {each} FROM {source} OFFSET 0) hashed"
    ).format(
        whole=whole,
        values=sql.SQL(", ").join(sql.SQL("count({})").format(hashed) for hashed in hashes),
        digests=sql.SQL(", ").join(sql.SQL("coalesce(sum({}), 0)::text").format(hashed) for hashed in hashes),
        empty=sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE {})").format(one) for one in empty),
        empty_digests=sql.SQL(", ").join(
            sql.SQL("coalesce(sum({}) FILTER (WHERE {}), 0)::text").format(hashed, one)
            for hashed, one in zip(hashes, empty, strict=True)
        ),
        each=sql.SQL(", ").join(each),
        source=_source(table, sample),
    )


def _is_empty(column: Column, hashed: "Composable", short: "Composable") -> "Composable":
    """SQL for whether a value holds nothing, told by the hash that it has anyway; a text may be of white space too."""
    from psycopg import sql

    if not column.is_text and not column.is_container:
        return sql.SQL("false")
    known = sql.SQL("{} IN ({})").format(
        hashed,
        sql.SQL(", ").join(sql.SQL('hashtextextended({} COLLATE "C", 0)').format(text) for text in EMPTY),
    )
    if column.is_container:
        return known
    return sql.SQL("{0} IS NOT NULL AND ({1} OR btrim({0}, {2}) = '')").format(short, known, WHITE_SPACE)


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


def read_sample(
    connection: "psycopg.Connection[Any]", table: Table, columns: Sequence[Column]
) -> Sample | None:
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
