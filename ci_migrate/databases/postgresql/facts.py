"""What a restore must know of a database and can't read in an archive of pg_dump; and what the archive lacks."""

from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.about import About, BrokenCheck
from ci_migrate.databases.postgresql.catalog import (
    RELATIONS,
    looks_for_names,
    name,
    not_of_extension,
    part,
    users_schema,
)
from ci_migrate.databases.postgresql.privileged import read_privileged

if TYPE_CHECKING:
    import psycopg

_OWNERS = " UNION ".join(
    f"SELECT true, pg_get_userbyid({owner}) FROM {catalog} x"
    f" WHERE oid >= 16384 AND {not_of_extension(catalog, 'x.oid')}"
    + (f" AND {users_schema('x')}" if catalog == "pg_namespace" else "")
    for catalog, owner in (
        ("pg_class", "relowner"),
        ("pg_namespace", "nspowner"),
        ("pg_proc", "proowner"),
        ("pg_type", "typowner"),
    )
)
_ROLES = f"""
SELECT s.deptype = 'o', pg_get_userbyid(s.refobjid)
FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype IN ('o', 'a', 'r', 'i')
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = s.classid AND e.objid = s.objid AND e.deptype = 'e')
UNION {_OWNERS}
UNION SELECT true, pg_get_userbyid(defaclrole) FROM pg_default_acl"""
"""Roles that the database's objects name: owners (true) and those with grants or policies. The role that made the
cluster is in no dependency, hence the second half. An extension's members are no affair of a restore: making it
makes them."""

_ABSENT = """
SELECT 'DROP SCHEMA public' WHERE to_regnamespace('public') IS NULL
UNION ALL SELECT 'DROP EXTENSION plpgsql' WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'plpgsql')
  AND NOT EXISTS (SELECT FROM pg_language WHERE lanname = 'plpgsql')"""

_GRANTORS = f"""
WITH {RELATIONS}
SELECT EXISTS (
  SELECT FROM rel, aclexplode(relacl) x WHERE x.grantor <> relowner
  UNION ALL SELECT FROM rel JOIN pg_attribute a ON a.attrelid = rel.oid, aclexplode(a.attacl) x
    WHERE x.grantor <> relowner
  UNION ALL SELECT FROM pg_proc, aclexplode(proacl) x WHERE x.grantor <> proowner
  UNION ALL SELECT FROM pg_type, aclexplode(typacl) x WHERE x.grantor <> typowner
  UNION ALL SELECT FROM pg_namespace, aclexplode(nspacl) x WHERE x.grantor <> nspowner
)"""

_POLICIES = """
SELECT p.oid, array_agg(pg_get_userbyid(r)::text) FROM pg_policy p CROSS JOIN unnest(p.polroles) r
WHERE r <> 0 GROUP BY p.oid"""

_NOT_FILLED = f"""
WITH {RELATIONS} SELECT kind || ' ' || key FROM rel WHERE relkind = 'm' AND NOT relispopulated"""

_TABLESPACES = """
SELECT DISTINCT t.spcname FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
WHERE t.spcname NOT IN ('pg_default', 'pg_global')"""

_INVALID = f"""
WITH {RELATIONS}
SELECT 'index ' || {name("c.nspname", "i.relname")}, 'comment on index ' || o.identity
FROM rel c JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid,
  LATERAL pg_identify_object('pg_class'::regclass, i.oid, 0) o
WHERE NOT (x.indisvalid AND x.indisready) AND c.relkind <> 'p'"""


def read_about(
    connection: "psycopg.Connection[Any]",
    *,
    dumped_by: int,
    search_path: str,
    partial: bool,
    unpacked: int,
    broken: tuple[BrokenCheck, ...],
) -> About:
    """What stands beside an archive, in a transaction that is pinned.

    Args:
        connection: in the transaction that the archive shows.
        dumped_by: the major version of pg_dump.
        search_path: the sessions' of this database, before it was pinned.
        partial: the archive has the rows of some tables alone.
        unpacked: bytes of the archive before it was packed, 0 where it is not.
        broken: what rows break.
    """

    def column(query: str) -> tuple[Any, ...]:
        return tuple(row[0] for row in connection.execute(query))

    roles = connection.execute(_ROLES).fetchall()
    (grantors,) = column(_GRANTORS)
    return About(
        dumped_by=dumped_by,
        owners=tuple(sorted({role for owns, role in roles if owns})),
        grantees=tuple(sorted({role for owns, role in roles if not owns})),
        partial=partial,
        unpacked=unpacked,
        absent=column(_ABSENT),
        privileged=read_privileged(connection),
        extensions=tuple(connection.execute("SELECT extname, extversion FROM pg_extension")),
        grantors=grantors,
        policies=tuple((oid, tuple(named)) for oid, named in connection.execute(_POLICIES)),
        not_filled=column(_NOT_FILLED),
        tablespaces=column(_TABLESPACES),
        broken=broken,
        search_path=search_path if looks_for_names(connection) else "",
    )


# what is said of a language that comes with the server is in no dump
_RIGHTS_OF_LANGUAGES = f"""
SELECT 'grant language ' || {part("lanname")} || ' to ' ||
       CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE {part("pg_get_userbyid(x.grantee)")} END
FROM pg_language, LATERAL (SELECT grantee FROM aclexplode(lanacl) UNION
                           SELECT grantee FROM aclexplode(acldefault('l', lanowner))) x
WHERE NOT lanispl AND lanacl IS NOT NULL"""


def read_exceptions(connection: "psycopg.Connection[Any]") -> tuple[tuple[str, str], ...]:
    """What pg_dump leaves out, whoever restores."""
    why = "it is INVALID, and pg_dump leaves such an index out"
    invalid = [(key, why) for row in connection.execute(_INVALID) for key in row]
    why = "pg_dump leaves rights on languages out that come with the server"
    return (*invalid, *((key, why) for (key,) in connection.execute(_RIGHTS_OF_LANGUAGES)))
