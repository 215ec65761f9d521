"""What holds data in PostgreSQL beside its tables: how far sequences are, and what no digest is made of."""

from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.catalog import RELATIONS, name, users_schema
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.snapshot import in_parts

if TYPE_CHECKING:
    import psycopg

_UNSEEN = f"""
WITH {RELATIONS}
SELECT kind || ' ' || key, 'a restore makes its rows anew' FROM rel WHERE relkind = 'm' AND relispopulated
UNION ALL SELECT 'foreign table ' || key, 'its rows are elsewhere' FROM rel WHERE relkind = 'f'
UNION ALL SELECT 'table ' || {name("n.nspname", "c.relname")}, 'it belongs to the extension ' || e.extname
    || CASE WHEN c.oid = ANY (e.extconfig) THEN '' ELSE ', so pg_dump leaves its rows out' END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  JOIN pg_extension e ON e.oid = d.refobjid
  WHERE c.relkind = 'r' AND {users_schema("n")} AND pg_relation_size(c.oid) > 0
UNION ALL SELECT 'large objects', count(*) || ' of them are dumped, and not compared'
  FROM pg_largeobject_metadata HAVING count(*) > 0"""

_SEQUENCES = f"""
WITH {RELATIONS}
SELECT key, nspname, relname FROM rel
WHERE CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, 'SELECT') END ORDER BY key"""


def read_unseen(connection: "psycopg.Connection[Any]") -> dict[str, str]:
    """What holds data and is digested by nobody, and why. In a transaction that is pinned."""
    return dict(connection.execute(_UNSEEN).fetchall())


def read_sequences(connection: "psycopg.Connection[Any]", access: Access) -> dict[str, str]:
    """How far each sequence is, in words. It is no part of any snapshot."""
    from psycopg import sql

    found: dict[str, str] = {}
    for session, some in in_parts(connection, access, connection.execute(_SEQUENCES).fetchall()):
        each = [
            sql.SQL("SELECT {}, last_value, is_called FROM {}").format(key, sql.Identifier(schema, sequence))
            for key, schema, sequence in some
        ]
        rows = session.execute(sql.SQL(" UNION ALL ").join(each)).fetchall()
        found.update(
            {key: f"{value} given out" if called else f"{value} comes next" for key, value, called in rows}
        )
    return found
