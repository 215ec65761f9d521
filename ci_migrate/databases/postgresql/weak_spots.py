"""PostgreSQL: published tables that refuse UPDATE, rows that nobody sees, foreign keys without an index."""

from contextlib import closing
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.catalog import RELATIONS
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.weak_spots import WeakSpot, WeakSpotKind

if TYPE_CHECKING:
    import psycopg

PUBLISHED = f"""
WITH {RELATIONS}
SELECT DISTINCT c.oid::text, c.key, format('%I.%I', c.nspname, c.relname),
  (SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
   AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a' ORDER BY a.attnum LIMIT 1)
FROM pg_publication p, LATERAL pg_get_publication_tables(p.pubname) t JOIN rel c ON c.oid = t.relid
ORDER BY 2"""

CHANGES = ("EXPLAIN DELETE FROM {table}", "EXPLAIN UPDATE {table} SET {column} = {column}")
"""The server looks for the replica identity where it makes ready to run a statement; EXPLAIN stops there."""

REFUSED = ("55000", "42P10")
"""SQLSTATE: no replica identity; from PostgreSQL 15 on, one that lacks columns of the publication's WHERE or list."""

HIDDEN = f"""
WITH {RELATIONS}
SELECT c.oid::text, c.key, c.relforcerowsecurity AND NOT (o.rolsuper OR o.rolbypassrls),
  (SELECT string_agg(DISTINCT coalesce(g.rolname, 'PUBLIC'), ', ')
   FROM aclexplode(c.relacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
   WHERE x.privilege_type = 'SELECT' AND x.grantee <> c.relowner
     AND (x.grantee = 0 OR NOT (g.rolsuper OR g.rolbypassrls))),
  o.rolname
FROM rel c JOIN pg_roles o ON o.oid = c.relowner
WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_policy y WHERE y.polrelid = c.oid)
ORDER BY 2"""
"""Row level security without a policy. Who may read, but for those whom it does not hold for."""

UNINDEXED = f"""
WITH {RELATIONS}
SELECT k.oid::text, c.key, p.key, (
  SELECT array_agg(a.attname::text ORDER BY array_position(k.conkey, a.attnum)) FROM pg_attribute a
  WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey))
FROM pg_constraint k JOIN rel c ON c.oid = k.conrelid JOIN rel p ON p.oid = k.confrelid
WHERE k.contype = 'f' AND k.conparentid = 0 AND NOT EXISTS (
  SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
  WHERE i.indrelid = k.conrelid AND i.indisvalid AND m.amname IN ('btree', 'hash')
    AND (i.indkey::smallint[])[0] = ANY (k.conkey))
ORDER BY 2, 1"""
"""An index that begins with one of the columns is taken for good enough, and so is one on a part of the rows."""


def weak_spots(access: Access) -> list[WeakSpot]:
    """See `KnowsWeakSpots`. In a session of its own, where each statement stands by itself: some of them fail."""
    with closing(access.connect(read_only=True)) as connection, access.translate_errors():
        return [*_refusing(connection), *_hidden(connection), *_unindexed(connection)]


def _refusing(connection: "psycopg.Connection[Any]") -> list[WeakSpot]:
    found = []
    for oid, key, table, column in connection.execute(PUBLISHED).fetchall():
        words = [
            _refusal(connection, change.format(table=table, column=column)) for change in CHANGES if column
        ]
        if any(words):
            found.append(WeakSpot(WeakSpotKind.REFUSES_WRITES, oid, key, "; ".join(filter(None, words))))
    return found


def _refusal(connection: "psycopg.Connection[Any]", statement: str) -> str:
    """What the server says; "" where it would run the statement, or where it is something else that it minds."""
    import psycopg

    try:
        connection.execute(statement)
    except psycopg.Error as error:
        return error.diag.message_primary or "" if error.sqlstate in REFUSED else ""
    return ""


def _hidden(connection: "psycopg.Connection[Any]") -> list[WeakSpot]:
    found = []
    for oid, key, forced, roles, owner in connection.execute(HIDDEN):
        if forced:
            words = ", ".join([f"its owner {owner}", *filter(None, [roles])])
            found.append(WeakSpot(WeakSpotKind.HIDES_ROWS_FROM_OWNER, oid, key, words))
        elif roles:
            found.append(WeakSpot(WeakSpotKind.HIDES_ROWS, oid, key, roles))
    return found


def _unindexed(connection: "psycopg.Connection[Any]") -> list[WeakSpot]:
    return [
        WeakSpot(WeakSpotKind.NO_INDEX, oid, key, parent, tuple(columns))
        for oid, key, parent, columns in connection.execute(UNINDEXED)
    ]
