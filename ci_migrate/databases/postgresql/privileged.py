"""What of a database only a superuser may make, and what a role that is none leaves out of a copy therefore.

Nobody but the server knows what a role may make: services that keep the superuser for themselves let their first role
have event triggers or extensions that need one elsewhere. So it is tried, in a transaction that is rolled back.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.postgresql.about import Member, Privileged
from ci_migrate.databases.postgresql.catalog import (
    FUNCTIONS,
    GUARD_SCHEMA,
    RELATIONS,
    TYPES,
    name,
    not_of_extension,
    part,
)

if TYPE_CHECKING:
    import psycopg

_OURS = "oid >= 16384 AND " + not_of_extension("{0}", "{0}.oid")


def _made(catalog: str, more: str = "true") -> str:
    """SQL: what users made of one catalog."""
    return (
        f"SELECT '{catalog}'::regclass::oid, {catalog}.oid, '{catalog}' FROM {catalog}"
        f" WHERE {_OURS.format(catalog)} AND {more}"
    )


_EXTENSIONS = """
SELECT 'pg_extension'::regclass::oid, e.oid, 'pg_extension ' || quote_ident(e.extname) FROM pg_extension e
WHERE e.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_available_extension_versions v WHERE v.name = e.extname
  AND v.version = e.extversion AND (v.trusted OR NOT v.superuser))"""

# As the CREATE commands' pages say: a superuser makes LEAKPROOF and SUPPORT functions, those in an untrusted language,
# aggregates over `internal`, casts WITHOUT FUNCTION, operator classes, base types, publications FOR ALL TABLES
_BASE = " UNION ALL ".join(
    (
        _EXTENSIONS,
        _made("pg_event_trigger", f"NOT starts_with(evtname, '{GUARD_SCHEMA}')"),
        _made("pg_foreign_data_wrapper"),
        _made("pg_publication", "(puballtables OR EXISTS (SELECT FROM pg_depend d"
              " WHERE d.refclassid = 'pg_publication'::regclass AND d.refobjid = pg_publication.oid"
              " AND d.classid = to_regclass('pg_catalog.pg_publication_namespace')))"),
        _made("pg_language"),
        _made("pg_am"),
        _made("pg_opclass"),
        _made("pg_opfamily"),
        _made("pg_ts_parser"),
        _made("pg_ts_template"),
        _made("pg_cast", "(castmethod = 'b' OR castsource < 16384 AND casttarget < 16384)"),
        _made("pg_transform", "trftype < 16384"),
        _made("pg_type", "(typtype = 'b' OR NOT typisdefined)"
              " AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = pg_type.oid)"),
        _made("pg_proc", "(proleakproof OR prosupport <> 0 OR prokind <> 'a' AND NOT (SELECT lanpltrusted"
              " FROM pg_language l WHERE l.oid = prolang) OR EXISTS (SELECT FROM unnest(proconfig) c JOIN pg_settings g"
              " ON g.name = split_part(c, '=', 1) WHERE g.context = 'superuser') OR EXISTS (SELECT FROM pg_aggregate a"
              " WHERE a.aggfnoid = pg_proc.oid AND a.aggtranstype = 'internal'::regtype))"),
    )
)  # fmt: skip

_FUNCTION = (
    "CREATE FUNCTION pg_temp.ci_migrate_probe() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
)
_PROBES: dict[str, tuple[str, ...]] = {
    "pg_event_trigger": (
        *_FUNCTION,
        "CREATE EVENT TRIGGER ci_migrate_probe ON ddl_command_end EXECUTE FUNCTION pg_temp.ci_migrate_probe()",
    ),
    "pg_foreign_data_wrapper": ("CREATE FOREIGN DATA WRAPPER ci_migrate_probe",),
    "pg_publication": ("CREATE PUBLICATION ci_migrate_probe FOR ALL TABLES",),
}
"""By catalog, what tells whether a role may make such objects."""

_DEPENDENT = """
WITH RECURSIVE base(catalog, oid, kind) AS ({base}), found(root, kind, catalog, oid) AS (
  SELECT catalog || ' ' || oid, kind, catalog, oid FROM base
  UNION
  SELECT f.root, f.kind, coalesce(r.catalog, a.catalog, d.classid), coalesce(r.ev_class, a.adrelid, d.objid)
  FROM found f JOIN pg_depend d ON d.refclassid = f.catalog AND d.refobjid = f.oid
  LEFT JOIN LATERAL (SELECT 'pg_class'::regclass::oid AS catalog, ev_class FROM pg_rewrite
    WHERE d.classid = 'pg_rewrite'::regclass AND oid = d.objid AND rulename = '_RETURN') r ON true
  LEFT JOIN LATERAL (SELECT 'pg_class'::regclass::oid AS catalog, adrelid FROM pg_attrdef
    WHERE d.classid = 'pg_attrdef'::regclass AND oid = d.objid) a ON true
)"""

_KEYS = f"""
keys(catalog, oid, key) AS (
  SELECT 'pg_class'::regclass::oid, oid, kind || ' ' || key FROM rel
  UNION ALL SELECT 'pg_proc'::regclass, oid, kind || ' ' || key FROM fun
  UNION ALL SELECT 'pg_type'::regclass, oid, 'type ' || key FROM typ
  UNION ALL SELECT 'pg_extension'::regclass, oid, 'extension ' || {part("extname")} FROM pg_extension
  UNION ALL SELECT 'pg_event_trigger'::regclass, oid, 'event trigger ' || {part("evtname")} FROM pg_event_trigger
  UNION ALL SELECT 'pg_publication'::regclass, oid, 'publication ' || {part("pubname")} FROM pg_publication
  UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 'foreign server ' || {part("srvname")} FROM pg_foreign_server
  UNION ALL SELECT 'pg_constraint'::regclass, k.oid, 'constraint ' || c.key || '.' || {part("k.conname")}
            FROM pg_constraint k JOIN rel c ON c.oid = k.conrelid
  UNION ALL SELECT 'pg_trigger'::regclass, g.oid, 'trigger ' || c.key || '.' || {part("g.tgname")}
            FROM pg_trigger g JOIN rel c ON c.oid = g.tgrelid
  UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, 'rule ' || c.key || '.' || {part("r.rulename")}
            FROM pg_rewrite r JOIN rel c ON c.oid = r.ev_class
  UNION ALL SELECT 'pg_policy'::regclass, p.oid, 'policy ' || c.key || '.' || {part("p.polname")}
            FROM pg_policy p JOIN rel c ON c.oid = p.polrelid
  UNION ALL SELECT 'pg_class'::regclass, i.oid, 'index ' || {name("n.nspname", "i.relname")}
            FROM pg_class i JOIN pg_namespace n ON n.oid = i.relnamespace WHERE i.relkind IN ('i', 'I')
)"""

_PRIVILEGED = f"""
{_DEPENDENT.format(base=_BASE)}, {RELATIONS}, {TYPES}, {FUNCTIONS}, {_KEYS}
SELECT DISTINCT f.root, f.kind, f.root <> f.catalog || ' ' || f.oid,
  coalesce(k.key, i.type || ' ' || i.identity), i.type, i.identity
FROM found f LEFT JOIN keys k ON k.catalog = f.catalog AND k.oid = f.oid,
  LATERAL pg_identify_object(f.catalog, f.oid, 0) i
WHERE i.identity IS NOT NULL ORDER BY 1, 3, 4"""


def read_privileged(connection: "psycopg.Connection[Any]") -> tuple[Privileged, ...]:
    """The objects that only a superuser may make, each with what depends on it; in a transaction that is pinned."""
    members: dict[tuple[str, str], list[Member]] = {}
    for root, kind, _, key, called, identity in connection.execute(_PRIVILEGED):
        members.setdefault((root, kind), []).append(Member(key=key, kind=called, identity=identity))
    return tuple(
        Privileged(entry=root, probe=_probe(kind), members=tuple(found))
        for (root, kind), found in members.items()
    )


def _probe(kind: str) -> tuple[str, ...]:
    catalog, _, extension = kind.partition(" ")
    return (f"CREATE EXTENSION {extension} CASCADE",) if extension else _PROBES.get(catalog, ())


def may_not_make(connection: "psycopg.Connection[Any]", privileged: Sequence[Privileged]) -> list[Privileged]:
    """Those of these objects that the role of a session in an empty database may not make."""
    superuser = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if superuser and superuser[0]:
        return []
    tried: dict[tuple[str, ...], bool] = {(): False}
    for one in privileged:
        if one.probe not in tried:
            tried[one.probe] = _may(connection, one.probe)
    return [one for one in privileged if not tried[one.probe]]


def _may(connection: "psycopg.Connection[Any]", statements: Sequence[str]) -> bool:
    import psycopg

    try:
        with connection.transaction(force_rollback=True):
            for statement in statements:
                connection.execute(statement.encode(connection.info.encoding))
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.Error:  # an extension that is not there, say: pg_restore tells it better
        return True
    return True


def reasons_for(left_out: Sequence[Privileged], role: str) -> Mapping[Member, str]:
    """Why each of these objects, and what depends on it, is not in a copy."""
    found: dict[Member, str] = {}
    for one in left_out:
        first = one.members[0]
        for member in one.members:
            through = "it" if member is first else first.key
            found.setdefault(member, f"role {role} may not make {through}")
    return found
