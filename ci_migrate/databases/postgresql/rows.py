"""What PostgreSQL's tables hold: rows, values per column, digests. All of it is counted on the server."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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


# a body in the words of the SQL standard is bound when it is written: nothing is looked for later
LOOKS_FOR_NAMES = """
SELECT EXISTS (
  SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_depend d
    ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
  WHERE p.oid >= 16384 AND l.lanname NOT IN ('internal', 'c') AND to_jsonb(p) ->> 'prosqlbody' IS NULL
    AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE starts_with(c, 'search_path='))
    AND (d.classid IN ('pg_constraint'::regclass, 'pg_class'::regclass, 'pg_rewrite'::regclass,
                       'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_proc'::regclass, 'pg_amproc'::regclass)
         OR EXISTS (SELECT FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
                    WHERE d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid AND a.attgenerated <> ''))
)"""


def looks_for_names(connection: "psycopg.Connection[Any]") -> bool:
    """Whether expressions of tables and views call functions that find what they name by the search_path alone."""
    row = connection.execute(LOOKS_FOR_NAMES).fetchone()
    return row is not None and bool(row[0])


def _unpin(connection: "psycopg.Connection[Any]") -> None:
    """Let functions find what they name: planning a query on a table already inlines those of its indexes."""
    if looks_for_names(connection):
        connection.execute("SET LOCAL search_path TO DEFAULT")


def read_counts(
    connection: "psycopg.Connection[Any]", tables: Iterable[str] | None, *, exact: bool
) -> dict[str, RowCount]:
    """Rows per table. A partitioned table has none of its own: its partitions are counted."""
    _unpin(connection)
    found: dict[str, RowCount] = {}
    to_count: list[Table] = []
    for table in list_tables(connection, None if tables is None else set(tables)):
        if table.kind == "p":
            continue
        if table.rows >= BIG and not exact:
            found[table.key] = RowCount(rows=table.rows, exact=False)
        else:
            to_count.append(table)
    for start in range(0, len(to_count), AT_ONCE):
        some = to_count[start : start + AT_ONCE]
        for table, rows in zip(some, _count(connection, some), strict=True):
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
    _unpin(connection)
    columns: dict[int, list[str]] = {table.oid: [] for table in tables}
    for oid, column in connection.execute(_COLUMNS, [list(columns)]):
        columns[oid].append(column)
    return [(table, columns[table.oid]) for table in tables]


def read_content(connection: "psycopg.Connection[Any]", table: Table, columns: Sequence[str]) -> TableContent:
    """Rows, values and digests of a table; without digests where the session does not see all rows."""
    if table.unseen:
        return TableContent(rows=0)
    row = connection.execute(_content_query(table, columns)).fetchone()
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


def _content_query(table: Table, columns: Sequence[str]) -> "Composed":
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
        only=sql.SQL("" if table.kind == "p" else "ONLY "),
        table=sql.Identifier(table.schema, table.name),
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
