"""Which statements reach beyond the database that they are sent to. Early and readable: the server has the last word.

On PostgreSQL that is SHARED_WRITES, before each commit; on MariaDB and MySQL the account of the scratch copy, which
has rights on that copy alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

from .tokens import NAME, TEXT, WORD, Dialect, Token, tokens_of

CLUSTER = ("ROLE", "USER", "GROUP", "DATABASE", "TABLESPACE", "SERVER", "SUBSCRIPTION")
FUNCTIONS = frozenset({
    "dblink", "dblink_connect", "dblink_connect_u", "dblink_exec", "dblink_open", "dblink_fetch", "dblink_send_query",
    "dblink_get_result", "lo_export", "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf",
    "pg_create_physical_replication_slot", "pg_create_logical_replication_slot",
})  # fmt: skip
"""PostgreSQL: what does something elsewhere when it is called."""

DEFINED = ("INTO", "TABLE", "EXISTS", "REFERENCES", "ON", "FUNCTION", "PROCEDURE", "INDEX", "VIEW")
"""Words before a name that is not called: `INSERT INTO dblink (`."""

BEGINS = ("BEGIN", "THEN", "ELSE", "LOOP", "DO")
"""Words of a program behind which a statement begins."""


def shorten(sql: str, limit: int = 120) -> str:
    """A statement as one short line."""
    return " ".join(sql.split())[:limit]


def statements_in(tokens: Sequence[Token], *, program: bool = False) -> Iterator[Sequence[Token]]:
    """The statements of a text, each to its end; of a program also those inside of blocks."""
    start = 0
    for number, token in enumerate(tokens):
        begins = (program and token.is_word(*BEGINS)) or token.text.startswith(("/*!", "/*M!"))
        if token.is_mark(";") or begins:
            if number > start:
                yield tokens[start:number]
            start = number + 1
    if len(tokens) > start:
        yield tokens[start:]


def words(tokens: Sequence[Token], count: int = 4) -> list[str]:
    """The first tokens of a statement in upper case; names and texts as they are written."""
    return [t.text.upper() if t.kind == WORD else t.text for t in tokens[:count]] + [""] * count


def leaves_postgresql(sql: str, database: str, dialect: Dialect) -> bool:
    """Whether a text reaches beyond this database of PostgreSQL's, by what is written in it."""
    return any(_leaves(one, database, dialect) for one in statements_in(tokens_of(sql, dialect)))


def _leaves(tokens: Sequence[Token], database: str, dialect: Dialect) -> bool:
    if tokens[0].is_word("DO"):
        bodies = [t.value for t in tokens if t.kind == TEXT]
        programs = (statements_in(tokens_of(b, dialect), program=True) for b in bodies)
        return any(_leaves(one, database, dialect) for program in programs for one in program)
    if tokens[0].is_word("EXECUTE"):
        return leaves_postgresql(_executed(tokens[1:], database), database, dialect)
    return _is_of_cluster(tokens, database) or _calls_out(tokens)


def _executed(tokens: Sequence[Token], database: str) -> str:
    """What an EXECUTE sends, as far as it is written there: its texts one after the other."""
    own = '"' + database.replace('"', '""') + '"'
    here = any(t.is_word("CURRENT_DATABASE") for t in tokens)
    text = "".join(
        t.value if t.kind == TEXT else own for t in tokens if t.kind == TEXT or t.is_word("CURRENT_DATABASE")
    )
    return text.replace("%%", "%").replace("%I", own, 1) if here else text  # drivers double it


def _is_of_cluster(tokens: Sequence[Token], database: str) -> bool:
    first, second, *_ = found = words(tokens)
    if first in ("CREATE", "ALTER", "DROP") and second in CLUSTER:
        own = found[:2] == ["ALTER", "DATABASE"] and len(tokens) > 2 and _names(tokens[2], database)
        return not own or any(t.is_word("RENAME", "OWNER", "TABLESPACE") for t in tokens[3:])
    if first == "COMMENT" and second == "ON":
        return found[2] in ("ROLE", "TABLESPACE") or (
            found[2] == "DATABASE" and not _all_name(tokens[3:4], database)
        )
    if first in ("GRANT", "REVOKE"):
        return _is_grant_elsewhere(tokens, database)
    if first == "COPY":
        files = (t.kind == TEXT and b.is_word("TO", "FROM") for b, t in itertools.pairwise(tokens))
        return any(t.is_word("PROGRAM") for t in tokens) or any(files)
    if found[:2] == ["SECURITY", "LABEL"]:
        return any(t.is_word("DATABASE", "ROLE", "TABLESPACE") for t in tokens)
    return found[:2] in (["ALTER", "SYSTEM"], ["REASSIGN", "OWNED"], ["DROP", "OWNED"])


def _is_grant_elsewhere(tokens: Sequence[Token], database: str) -> bool:
    """A right on a shared object, or membership in a role."""
    places = [number for number, t in enumerate(tokens) if t.is_word("ON")]
    if not places:
        return True
    kind, *rest = tokens[places[0] + 1 :] or tokens[-1:]
    if not kind.is_word("DATABASE", "TABLESPACE", "PARAMETER"):
        return False
    ends = [number for number, t in enumerate(rest) if t.is_word("TO", "FROM")]
    named = [t for t in rest[: ends[0] if ends else None] if t.kind in (WORD, NAME)]
    return not kind.is_word("DATABASE") or not _all_name(named, database)


def _names(token: Token, database: str) -> bool:
    return token.value == database if token.kind == NAME else token.text.lower() == database


def _all_name(tokens: Sequence[Token], database: str) -> bool:
    return bool(tokens) and all(_names(t, database) for t in tokens)


def _calls_out(tokens: Sequence[Token]) -> bool:
    for number, token in enumerate(tokens[:-1]):
        if (
            token.kind in (WORD, NAME)
            and token.value.lower() in FUNCTIONS
            and tokens[number + 1].is_mark("(")
        ):
            before = number - 1
            if before >= 1 and tokens[before].is_mark("."):
                before -= 2
            if before < 0 or not tokens[before].is_word(*DEFINED):
                return True
    return False


SHARED = (1213, 1260, 1261, 1262, 2396, 2964, 3592, 6000, 6100, 6243)
"""pg_tablespace, pg_authid, pg_auth_members, pg_database, pg_shdescription, pg_db_role_setting, pg_shseclabel,
pg_replication_origin, pg_subscription, pg_parameter_acl: their oids are the same on all servers. pg_shdepend is not
among them, since each owner of a table stands there. pg_subscription belongs to the cluster too."""

SHARED_WRITES = (
    "SELECT c.relname FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c"
    " ON c.oid = l.relation WHERE l.pid = pg_catalog.pg_backend_pid()"
    " AND l.locktype = 'relation' AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',"
    f" 'AccessExclusiveLock') AND l.database = 0 AND l.relation IN ({', '.join(map(str, SHARED))})"
)
"""PostgreSQL: the catalogs of the whole server that the open transaction has written to, whatever it was asked by. A
writer keeps its lock on a catalog to the end of the transaction."""

OWN_DATABASE = frozenset({"pg_database", "pg_shdescription", "pg_db_role_setting"})
"""Those of them that also hold what belongs to one database: its rights, its comment, its settings."""

OF_OTHERS = (
    "WITH own AS (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),"
    " found(word) AS ("
    "SELECT concat_ws(' ', datname, datdba, datacl, datconnlimit) FROM pg_catalog.pg_database"
    " WHERE oid <> (SELECT oid FROM own) AND strpos(datname, 'ci_migrate_') = 0"
    " UNION ALL SELECT concat_ws(' ', setdatabase, setrole, setconfig) FROM pg_catalog.pg_db_role_setting"
    " WHERE setdatabase <> (SELECT oid FROM own)"
    " UNION ALL SELECT concat_ws(' ', objoid, classoid, description) FROM pg_catalog.pg_shdescription"
    " WHERE (classoid, objoid) <> (SELECT 1262::oid, oid FROM own))"
    " SELECT md5(coalesce(string_agg(word, '|' ORDER BY word), '')) FROM found"
)
"""A digest of what these catalogs hold of everything else. Other copies come and go meanwhile."""


# --------------------------------------------------------------------------- MySQL and MariaDB

ACCOUNTS = ("USER", "ROLE", "SERVER", "TABLESPACE", "LOGFILE", "RESOURCE")
OF_SERVER = ("GRANT", "REVOKE", "FLUSH", "KILL", "SHUTDOWN", "PURGE", "RESET", "INSTALL", "UNINSTALL")
OF_DATABASE = ("CHARACTER", "CHARSET", "DEFAULT", "COLLATE", "COMMENT")
GLOBALS = ("GLOBAL", "PERSIST", "PERSIST_ONLY", "PASSWORD")
TABLE_COMES = (
    "FROM", "JOIN", "INTO", "UPDATE", "TABLE", "TABLES", "EXISTS", "REFERENCES", "VIEW", "TRIGGER", "PROCEDURE",
    "FUNCTION", "EVENT", "CALL", "RENAME", "LIKE", "ONLY", "TO",
)  # fmt: skip
"""Behind these a table must stand."""


def leaves_mysql(sql: str, database: str, others: Collection[str], dialect: Dialect) -> str:
    """The part of a statement that reaches beyond the database that it is sent to; "" if there is none.

    `others` are the names of all other databases. Where a table or an alias has the name of one, only the places in
    which a table must stand are looked at.
    """
    tokens = tokens_of(sql, dialect)
    for one in statements_in(tokens, program=True):
        if _is_of_server(one, database):
            return " ".join(t.text for t in one[:3])
    for before, token in itertools.pairwise(tokens):
        if before.is_word("INTO") and token.is_word("OUTFILE", "DUMPFILE"):
            return f"INTO {token.text}"
    named = [t.value.lower() if t.kind in (WORD, NAME) else "" for t in tokens]
    for name in {other.lower() for other in others} - {database.lower()}:
        hits = [n for n, value in enumerate(named) if value == name]
        qualify = [
            n
            for n in hits
            if n + 1 < len(tokens) and tokens[n + 1].is_mark(".") and not _follows_dot(tokens, n)
        ]
        if qualify and (
            len(qualify) == len(hits) or any(n and tokens[n - 1].is_word(*TABLE_COMES) for n in qualify)
        ):
            return "database " + name
    return ""


def _follows_dot(tokens: Sequence[Token], number: int) -> bool:
    return number > 0 and tokens[number - 1].is_mark(".@")


def _is_of_server(tokens: Sequence[Token], database: str) -> bool:
    first, second, third, fourth, *_ = words(tokens)
    if (second, third) == ("OR", "REPLACE"):
        second = fourth
    if first in ("CREATE", "ALTER", "DROP", "RENAME") and second in ACCOUNTS:
        return True
    if first in ("CREATE", "ALTER", "DROP") and second in ("DATABASE", "SCHEMA"):
        own = len(tokens) > 2 and tokens[2].value.lower() == database.lower()
        return first != "ALTER" or (not own and third not in OF_DATABASE)
    if first == "USE":
        return len(tokens) < 2 or tokens[1].value.lower() != database.lower()
    if first == "SET":
        pairs = itertools.pairwise(tokens)
        given = any(t.is_word(*GLOBALS) and (b.is_word("SET") or b.is_mark(",@")) for b, t in pairs)
        return given or (second, third) == ("DEFAULT", "ROLE")
    if first == "CHANGE":
        return second in ("MASTER", "REPLICATION")
    return first in OF_SERVER or (first in ("START", "STOP") and second in ("SLAVE", "REPLICA"))
