"""What PostgreSQL's catalog says about a database's objects: one query per kind, each row a name and a definition.

Names are quoted only where they must be, by a rule of our own: the server's `quote_ident` knows other keywords in
each version. Read under an empty search_path, so that each name that is not of pg_catalog has its schema.
"""

from typing import TYPE_CHECKING, Any

from ci_migrate.model import Schema, sorted_schema

if TYPE_CHECKING:
    import psycopg

LEDGER_SCHEMA = "ci_migrate"
"""Where the ledger lives if its role may not make a database: no part of schema, counts or backup."""

GUARD_SCHEMA = "ci_migrate_guard"
"""Where the function of the guard lives, and what the names of its triggers start with: as little a part of it."""

PINNED = {
    "search_path": "",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "quote_all_identifiers": "off",
}
"""Settings that the text of definitions and values depends on."""


def pin(connection: "psycopg.Connection[Any]") -> None:
    """Set `PINNED` until the end of the transaction."""
    names = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in PINNED.items())
    connection.execute(f"SELECT {names}")


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


def unpin(connection: "psycopg.Connection[Any]") -> None:
    """Let functions find what they name: planning a query on a table already inlines those of its indexes."""
    if looks_for_names(connection):
        connection.execute("SET LOCAL search_path TO DEFAULT")


def part(expression: str) -> str:
    """SQL for one name, quoted if it must be."""
    quoted = f"'\"' || replace({expression}::text, '\"', '\"\"') || '\"'"
    return f"CASE WHEN {expression}::text ~ '^[a-z_][a-z0-9_$]*$' THEN {expression}::text ELSE {quoted} END"


def name(*expressions: str) -> str:
    """SQL for a name with its schema."""
    return "(" + " || '.' || ".join(part(expression) for expression in expressions) + ")"


def users_schema(alias: str) -> str:
    """SQL: this schema is neither the engine's, nor temporary, nor ours."""
    ours = f"'{LEDGER_SCHEMA}', '{GUARD_SCHEMA}'"
    return f"{alias}.nspname !~ '^pg_' AND {alias}.nspname NOT IN ('information_schema', {ours})"


def not_of_extension(catalog: str, oid: str) -> str:
    """SQL: no extension brought this object."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend ext WHERE ext.classid = '{catalog}'::regclass"
        f" AND ext.objid = {oid} AND ext.deptype = 'e')"
    )


RELATIONS = f"""
rel AS (
  SELECT c.*, {name("n.nspname", "c.relname")} AS key, n.nspname,
         CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                        ELSE 'table' END AS kind
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND {users_schema("n")} AND {not_of_extension("pg_class", "c.oid")}
)"""
"""A named subquery `rel` of all tables, views and sequences, with `key` and `kind`."""

_ROLE = "pg_get_userbyid({})"

_SCHEMAS = f"""
SELECT 'schema ' || {part("n.nspname")}, 'schema'
FROM pg_namespace n WHERE {users_schema("n")} AND {not_of_extension("pg_namespace", "n.oid")}"""

_EXTENSIONS = f"SELECT 'extension ' || {part('extname')}, extversion FROM pg_extension"

_TABLES = f"""
WITH {RELATIONS}
SELECT 'table ' || c.key, concat_ws('; ',
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' ELSE 'foreign table' END,
  CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
  'partition by ' || pg_get_partkeydef(c.oid),
  CASE WHEN c.relispartition THEN 'partition ' END || pg_get_expr(c.relpartbound, c.oid),
  (SELECT 'inherits ' || string_agg({name("pn.nspname", "p.relname")}, ', ' ORDER BY i.inhseqno)
   FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
   WHERE i.inhrelid = c.oid),
  CASE WHEN c.reloftype <> 0 THEN 'of ' || format_type(c.reloftype, NULL) END,
  (SELECT 'access method ' || amname FROM pg_am WHERE oid = c.relam AND amname <> 'heap'),
  (SELECT 'with ' || string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o),
  CASE WHEN c.relrowsecurity THEN 'row level security' END,
  CASE WHEN c.relforcerowsecurity THEN 'forced row level security' END,
  CASE c.relreplident WHEN 'f' THEN 'replica identity full' WHEN 'n' THEN 'replica identity nothing' END,
  (SELECT 'server ' || {part("s.srvname")} FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver
   WHERE t.ftrelid = c.oid))
FROM rel c WHERE c.relkind IN ('r', 'p', 'f')"""

_COLUMNS = f"""
WITH {RELATIONS}
SELECT 'column ' || c.key || '.' || {part("a.attname")}, concat_ws(' ',
  format_type(a.atttypid, a.atttypmod),
  (SELECT 'collate ' || {name("cn.nspname", "co.collname")} FROM pg_collation co
   JOIN pg_namespace cn ON cn.oid = co.collnamespace
   WHERE co.oid = a.attcollation AND a.attcollation <> t.typcollation),
  CASE WHEN a.attnotnull THEN 'not null' END,
  CASE a.attidentity WHEN 'a' THEN 'generated always as identity' WHEN 'd' THEN 'generated by default as identity' END,
  CASE WHEN a.attgenerated = '' THEN 'default ' || pg_get_expr(d.adbin, d.adrelid)
       ELSE 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ')'
            || CASE a.attgenerated WHEN 'v' THEN ' virtual' ELSE ' stored' END END,
  CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END,
  'compression ' || nullif(to_jsonb(a) ->> 'attcompression', ''),
  'statistics ' || nullif(a.attstattarget, -1)::text,
  (SELECT 'with ' || string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions) o))
FROM rel c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'f')"""

# without NOT NULL constraints (PostgreSQL 18 lists them; they stand in the column) and without the foreign keys
# that partitions get from their parent under names that the server makes up
_CONSTRAINTS = f"""
WITH {RELATIONS}
SELECT 'constraint ' || c.key || '.' || {part("k.conname")}, pg_get_constraintdef(k.oid)
FROM rel c JOIN pg_constraint k ON k.conrelid = c.oid
WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT (k.contype = 'f' AND k.conparentid <> 0)"""

_INDEXES = f"""
WITH {RELATIONS}
SELECT 'index ' || {name("c.nspname", "i.relname")}, concat_ws(' ', pg_get_indexdef(x.indexrelid),
  CASE WHEN NOT x.indisvalid THEN 'INVALID' END,
  CASE WHEN x.indisclustered THEN 'CLUSTERED' END,
  CASE WHEN x.indisreplident THEN 'REPLICA IDENTITY' END)
FROM rel c JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid"""

_VIEWS = f"""
WITH {RELATIONS}
SELECT c.kind || ' ' || c.key, concat_ws('; ', pg_get_viewdef(c.oid),
  CASE WHEN NOT c.relispopulated THEN 'not populated' END,
  (SELECT 'with ' || string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o))
FROM rel c WHERE c.relkind IN ('v', 'm')"""

_SEQUENCES = f"""
WITH {RELATIONS}
SELECT 'sequence ' || c.key, concat_ws(' ', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'increment',
  s.seqincrement, 'min', s.seqmin, 'max', s.seqmax, 'cache', s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' END,
  (SELECT 'owned by ' || t.key || '.' || {part("a.attname")}
   FROM pg_depend d JOIN rel t ON t.oid = d.refobjid
   JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
   WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
     AND d.deptype IN ('a', 'i')))
FROM rel c JOIN pg_sequence s ON s.seqrelid = c.oid"""

TYPES = f"""
typ AS (
  SELECT t.*, {name("n.nspname", "t.typname")} AS key
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE {users_schema("n")} AND {not_of_extension("pg_type", "t.oid")} AND t.typtype IN ('e', 'd', 'c', 'r', 'b')
    AND (t.typtype <> 'c' OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
    AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
)"""

_TYPES = f"""
WITH {TYPES}
SELECT 'type ' || t.key, CASE t.typtype
  WHEN 'e' THEN 'enum ' || coalesce((SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
                                     FROM pg_enum WHERE enumtypid = t.oid), '')
  WHEN 'd' THEN concat_ws(' ', 'domain over', format_type(t.typbasetype, t.typtypmod),
    CASE WHEN t.typnotnull THEN 'not null' END, 'default ' || t.typdefault,
    (SELECT string_agg({part("k.conname")} || ' ' || pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
     FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))
  WHEN 'c' THEN 'composite ' || coalesce((
    SELECT string_agg({part("a.attname")} || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
    FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '')
  WHEN 'r' THEN (SELECT 'range of ' || format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid)
  ELSE 'base type, input ' || t.typinput::regproc || ', output ' || t.typoutput::regproc END
FROM typ t"""

FUNCTIONS = f"""
fun AS (
  SELECT p.*, {name("n.nspname", "p.proname")} || '(' || oidvectortypes(p.proargtypes) || ')' AS key,
         CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END AS kind
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE {users_schema("n")} AND {not_of_extension("pg_proc", "p.oid")}
    AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid
                    AND i.deptype = 'i')
)"""
"""A named subquery `fun` of all functions, without the constructors that range types bring."""

_FUNCTIONS = f"""
WITH {FUNCTIONS}
SELECT f.kind || ' ' || f.key, CASE WHEN f.prokind <> 'a' THEN pg_get_functiondef(f.oid) ELSE
  (SELECT concat_ws(' ', 'kind', a.aggkind::text, 'arguments', pg_get_function_arguments(f.oid),
     'step', a.aggtransfn::regprocedure, 'state', format_type(a.aggtranstype, NULL), 'initially', a.agginitval,
     'final', nullif(a.aggfinalfn, 0)::regprocedure, 'combine', nullif(a.aggcombinefn, 0)::regprocedure,
     'sort', nullif(a.aggsortop, 0)::regoperator)
   FROM pg_aggregate a WHERE a.aggfnoid = f.oid) END
FROM fun f"""

_FIRES = "CASE {} WHEN 'D' THEN 'DISABLED' WHEN 'R' THEN 'REPLICA' WHEN 'A' THEN 'ALWAYS' END"

_TRIGGERS = f"""
WITH {RELATIONS}
SELECT 'trigger ' || c.key || '.' || {part("g.tgname")},
  concat_ws(' ', pg_get_triggerdef(g.oid), {_FIRES.format("g.tgenabled")})
FROM rel c JOIN pg_trigger g ON g.tgrelid = c.oid WHERE NOT g.tgisinternal AND g.tgparentid = 0"""

_RULES = f"""
WITH {RELATIONS}
SELECT 'rule ' || c.key || '.' || {part("r.rulename")},
  concat_ws(' ', pg_get_ruledef(r.oid), {_FIRES.format("r.ev_enabled")})
FROM rel c JOIN pg_rewrite r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN'"""

_POLICIES = f"""
WITH {RELATIONS}
SELECT 'policy ' || c.key || '.' || {part("p.polname")}, concat_ws(' ',
  CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, 'for',
  CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete'
                ELSE 'all' END,
  'to', (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE {part(_ROLE.format("r"))} END, ', '
                           ORDER BY pg_get_userbyid(r)) FROM unnest(p.polroles) r),
  'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
  'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM rel c JOIN pg_policy p ON p.polrelid = c.oid"""

_EVENT_TRIGGERS = f"""
SELECT 'event trigger ' || {part("e.evtname")}, concat_ws(' ', 'on', e.evtevent, 'do', e.evtfoid::regproc,
  (SELECT 'when ' || string_agg(t, ', ' ORDER BY t) FROM unnest(e.evttags) t), {_FIRES.format("e.evtenabled")})
FROM pg_event_trigger e WHERE NOT starts_with(e.evtname, '{GUARD_SCHEMA}')
  AND {not_of_extension("pg_event_trigger", "e.oid")}"""

# owners stand apart: a copy may be made by another role than the one that migrates the target
_OWNERS = f"""
WITH {RELATIONS}, {TYPES}, {FUNCTIONS}
SELECT 'owner ' || kind || ' ' || key, {part(_ROLE.format("owner"))} FROM (
  SELECT kind, key, relowner AS owner FROM rel
  UNION ALL SELECT 'type', key, typowner FROM typ
  UNION ALL SELECT kind, key, proowner FROM fun
  UNION ALL SELECT 'schema', {part("n.nspname")}, n.nspowner FROM pg_namespace n
            WHERE {users_schema("n")} AND {not_of_extension("pg_namespace", "n.oid")}
) o"""

_PRIVILEGE = "x.privilege_type || CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END AS privilege"
_GRANTEE = f"CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE {part(_ROLE.format('g.grantee'))} END"

# an absent list and an explicit list of the defaults mean the same: only what differs from the defaults is told
_GRANTS = f"""
WITH {RELATIONS}, {TYPES}, {FUNCTIONS}, lists AS (
  SELECT kind || ' ' || key AS key, relacl AS acl,
         acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner) AS usual FROM rel
  UNION ALL SELECT 'column ' || c.key || '.' || {part("a.attname")}, a.attacl, NULL
            FROM rel c JOIN pg_attribute a ON a.attrelid = c.oid WHERE NOT a.attisdropped
  UNION ALL SELECT 'type ' || key, typacl, acldefault('T', typowner) FROM typ
  UNION ALL SELECT kind || ' ' || key, proacl, acldefault('f', proowner) FROM fun
  UNION ALL SELECT 'schema ' || {part("n.nspname")}, n.nspacl, acldefault('n', n.nspowner)
            FROM pg_namespace n WHERE {users_schema("n")}
  UNION ALL SELECT 'language ' || {part("lanname")}, lanacl, acldefault('l', lanowner) FROM pg_language
  UNION ALL SELECT 'foreign server ' || {part("srvname")}, srvacl, acldefault('S', srvowner) FROM pg_foreign_server
  UNION ALL SELECT 'foreign data wrapper ' || {part("fdwname")}, fdwacl, acldefault('F', fdwowner)
            FROM pg_foreign_data_wrapper
)
SELECT 'grant ' || l.key || ' to ' || {_GRANTEE}, string_agg(g.privilege, ', ' ORDER BY g.privilege)
FROM lists l, LATERAL (
  (SELECT x.grantee, {_PRIVILEGE} FROM aclexplode(l.acl) x
   EXCEPT SELECT x.grantee, {_PRIVILEGE} FROM aclexplode(l.usual) x)
  UNION ALL SELECT y.grantee, 'not ' || y.privilege FROM (
    SELECT x.grantee, {_PRIVILEGE} FROM aclexplode(l.usual) x
    EXCEPT SELECT x.grantee, {_PRIVILEGE} FROM aclexplode(l.acl) x) y
) g
WHERE l.acl IS NOT NULL GROUP BY l.key, g.grantee"""

_DEFAULT_PRIVILEGES = f"""
SELECT 'default privileges of ' || {part(_ROLE.format("d.defaclrole"))}
    || coalesce(' in schema ' || {part("n.nspname")}, '') || ' on '
    || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                            WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE d.defaclobjtype::text END,
  coalesce((SELECT string_agg({_GRANTEE} || ' ' || g.privilege, ', '
                              ORDER BY pg_get_userbyid(g.grantee), g.privilege)
            FROM (SELECT x.grantee, {_PRIVILEGE} FROM aclexplode(d.defaclacl) x) g), 'none')
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace"""

_COMMENTS = f"""
SELECT 'comment on ' || i.type || ' ' || i.identity, d.description
FROM pg_description d, LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
WHERE (d.objoid >= 16384 OR d.classoid = 'pg_namespace'::regclass AND d.description <> 'standard public schema'
       AND d.objoid = (SELECT oid FROM pg_namespace WHERE nspname = 'public'))
  AND d.classoid <> 'pg_largeobject'::regclass
  AND coalesce(i.schema, i.identity) NOT IN ('{LEDGER_SCHEMA}', '{GUARD_SCHEMA}')
  AND coalesce(i.schema, '') !~ '^pg_temp'
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')"""

_STATISTICS = f"""
SELECT 'statistics ' || {name("n.nspname", "s.stxname")}, pg_get_statisticsobjdef(s.oid)
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {users_schema("n")}"""

_PUBLICATIONS = f"""
WITH {RELATIONS}
SELECT 'publication ' || {part("p.pubname")}, concat_ws('; ',
  (to_jsonb(p) - 'oid' - 'pubname' - 'pubowner')::text,
  (SELECT string_agg(c.key, ', ' ORDER BY c.key) FROM pg_publication_rel r JOIN rel c ON c.oid = r.prrelid
   WHERE r.prpubid = p.oid))
FROM pg_publication p"""

_FOREIGN_SERVERS = f"""
SELECT 'foreign server ' || {part("s.srvname")}, concat_ws(' ', w.fdwname, s.srvtype, s.srvversion)
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw"""

# kinds that migrations hardly ever touch: that they exist is enough to see them come and go
_OTHER_CATALOGS = (
    "pg_am",
    "pg_cast",
    "pg_collation",
    "pg_conversion",
    "pg_foreign_data_wrapper",
    "pg_language",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_transform",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
)
_OTHER_OBJECTS = " UNION ALL ".join(
    f"SELECT '{catalog}'::regclass::oid AS catalog, oid FROM {catalog} x"
    f" WHERE oid >= 16384 AND {not_of_extension(catalog, 'x.oid')}"
    f" AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = '{catalog}'::regclass"
    " AND i.objid = x.oid AND i.deptype = 'i')"
    for catalog in _OTHER_CATALOGS
)
_OTHERS = f"""
SELECT i.type || ' ' || i.identity, i.type
FROM ({_OTHER_OBJECTS}) o, LATERAL pg_identify_object(o.catalog, o.oid, 0) i"""

QUERIES = (
    _SCHEMAS,
    _EXTENSIONS,
    _TABLES,
    _COLUMNS,
    _CONSTRAINTS,
    _INDEXES,
    _VIEWS,
    _SEQUENCES,
    _TYPES,
    _FUNCTIONS,
    _TRIGGERS,
    _RULES,
    _POLICIES,
    _EVENT_TRIGGERS,
    _OWNERS,
    _GRANTS,
    _DEFAULT_PRIVILEGES,
    _COMMENTS,
    _STATISTICS,
    _PUBLICATIONS,
    _FOREIGN_SERVERS,
    _OTHERS,
)


def read_schema(connection: "psycopg.Connection[Any]") -> Schema:
    """All objects, in the transaction that is open and pinned.

    An object that another session drops meanwhile may have no definition any more: it is left out.
    """
    found: Schema = {}
    for query in QUERIES:
        found.update(
            (key, text) for key, text in connection.execute(query) if key is not None and text is not None
        )
    return sorted_schema(found)
