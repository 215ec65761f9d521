"""Which columns the numbers of sequences go to, and whether those that come next are there already."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.base import SequenceUse
from ci_migrate.databases.postgresql.catalog import RELATIONS, part

if TYPE_CHECKING:
    import psycopg

_USES = f"""
WITH {RELATIONS},
uses AS (
  SELECT d.objid AS sequence, d.refobjid AS tab, d.refobjsubid AS col FROM pg_depend d
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  UNION SELECT d.refobjid, f.adrelid, f.adnum FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
  WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass)
SELECT s.key, s.nspname, s.relname, q.seqincrement, t.nspname, t.relname, a.attname, t.key || '.' || {part("a.attname")}
FROM rel s JOIN pg_sequence q ON q.seqrelid = s.oid
LEFT JOIN uses u ON u.sequence = s.oid
LEFT JOIN rel t ON t.oid = u.tab AND t.relkind IN ('r', 'p')
LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.col AND a.atttypid IN (20, 21, 23)
WHERE s.key = ANY(%s) ORDER BY s.key, t.key, a.attname"""
"""Of one that is owned by a column, or that a column's default calls."""


def read_uses(connection: "psycopg.Connection[Any]", names: Collection[str]) -> dict[str, SequenceUse]:
    """What becomes of their numbers; of a sequence with several columns, the one that has gone furthest."""
    from psycopg import sql

    found: dict[str, SequenceUse] = {}
    for key, schema, sequence, increment, *table, column in connection.execute(
        _USES, [list(names)]
    ).fetchall():
        row = connection.execute(
            sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, sequence))
        ).fetchone()
        assert row is not None
        following = row[0] + increment if row[1] else row[0]
        furthest = None
        if column is not None:
            call = "max" if increment > 0 else "min"
            query = sql.SQL(f"SELECT {call}({{}}) FROM {{}}")
            held = connection.execute(
                query.format(sql.Identifier(table[2]), sql.Identifier(*table[:2]))
            ).fetchone()
            furthest = held[0] if held else None
        use = SequenceUse(column or "", furthest, following, increment)
        if key not in found or use.taken:
            found[key] = use
    return found
