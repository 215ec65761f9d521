"""PostgreSQL: what a scratch copy has in common with the target, and what was written to the target."""

from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.catalog import LEDGER_SCHEMA

if TYPE_CHECKING:
    import psycopg

WRITES = (
    "SELECT schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_catalog.pg_stat_user_tables"
    f" WHERE schemaname <> '{LEDGER_SCHEMA}'"
)

SHARED = """
WITH own AS (SELECT oid, datname FROM pg_catalog.pg_database WHERE strpos(datname, 'ci_migrate_') = 0)
SELECT 'role ' || rolname, concat_ws(' ', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
  rolbypassrls, rolconnlimit, rolvaliduntil) FROM pg_catalog.pg_roles
UNION ALL SELECT concat('membership of ', member::regrole, ' in ', roleid::regrole, ' by ', grantor::regrole),
  admin_option::text FROM pg_catalog.pg_auth_members
UNION ALL SELECT 'database ' || d.datname, concat_ws(' ', datdba, datacl, datconnlimit, datallowconn)
  FROM pg_catalog.pg_database d JOIN own USING (oid)
UNION ALL SELECT concat('settings of ', setrole, ' in ', setdatabase), setconfig::text
  FROM pg_catalog.pg_db_role_setting WHERE setdatabase = 0 OR setdatabase IN (SELECT oid FROM own)
UNION ALL SELECT 'tablespace ' || spcname, concat_ws(' ', spcowner, spcacl, spcoptions) FROM pg_catalog.pg_tablespace
UNION ALL SELECT concat('comment ', classoid::regclass, ' ', objoid), description FROM pg_catalog.pg_shdescription
  WHERE classoid <> 1262 OR objoid IN (SELECT oid FROM own)"""


def write_counters(connection: "psycopg.Connection[Any]") -> dict[str, int]:
    """Rows written to each table since the server's statistics began."""
    return {str(table): int(count or 0) for table, count in connection.execute(WRITES)}


def shared_objects(connection: "psycopg.Connection[Any]") -> dict[str, str]:
    """What belongs to the whole server, other than copies."""
    return {str(name): str(words) for name, words in connection.execute(SHARED)}
