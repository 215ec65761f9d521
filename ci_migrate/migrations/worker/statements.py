"""What SQL statements are, by their first words: what reads, what commits by itself, what leaves the database."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
WRITES = re.compile(
    COMMENTS + r"(INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|TRUNCATE|MERGE|"
    r"REPLACE|VACUUM|REINDEX|ANALYZE|REFRESH|LOCK|CALL|DO)\b",
    re.IGNORECASE | re.DOTALL,
)
"""What is not sent while the heads are read. The session is read-only as well."""

READS = re.compile(
    r"\s*(?:SHOW\b|DESC(?:RIBE)?\b|EXPLAIN\b(?!.*\bANALY[SZ]E\b)|PRAGMA\b(?!.*\b(?:optimize|wal_checkpoint|incremental_vacuum)\b)\s+"
    r"(?:[\w.\"]+\s*$|(?:[\w\"]+\.)?(?:table_\w+|index_\w+|foreign_key_\w+|\w+_check)\s*\(.*\)\s*$)|SELECT\b(?!.*\bINTO\b).*\bFROM\b)",
    re.IGNORECASE | re.DOTALL,
)
"""What reads by its first words. `only_reads` looks at the rest."""

STANDARD = re.compile(r"--[^\n]*|/\*(?!!).*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`", re.DOTALL)
ESCAPED = re.compile(
    r"(?:--\s|#)[^\n]*|/\*(?!!).*?\*/|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|`[^`]*`", re.DOTALL
)
"""Comments and quotes: where a backslash means itself, and where it escapes. Nobody knows how a server is set."""

PRAGMA = re.compile(r"\s*PRAGMA\b", re.IGNORECASE)
CALLED = re.compile(r"(?<!\bAS )(?:\b([A-Za-z_]\w*)|[\"`\]])\s*\(", re.IGNORECASE)
HARMLESS = re.compile(
    r"(?:select|from|where|and|or|not|in|exists|any|some|all|as|on|using|values|case|when|then|else|between|like|ilike|over"
    r"|filter|group|by|having|union|except|intersect|limit|offset|distinct|interval|array|row|lateral|join|is|order|partition"
    r"|(?:var)?char|character|varying|numeric|decimal|float|time|timestamp|datetime|bit|int|integer|bigint|double|precision"
    r"|count|sum|min|max|avg|coalesce|nullif|ifnull|isnull|iif|if|cast|convert|lower|upper|(?:char_|octet_)?length|substr"
    r"|substring|[lr]?trim|replace|abs|round|ceil|ceiling|floor|mod|power|sqrt|sign|greatest|least|concat|concat_ws|left"
    r"|right|[lr]pad|reverse|repeat|position|instr|strpos|split_part|ascii|chr|hex|unhex|md5|sha[12]|encode|decode|quote"
    r"|typeof|date|strftime|julianday|unixepoch|year|month|day|hour|minute|second|extract|date_(?:trunc|part|format|add|sub)"
    r"|datediff|timestampdiff|age|now|current_\w+|localtime(?:stamp)?|statement_timestamp|to_(?:char|date|timestamp|number|json"
    r"|jsonb|regclass|regtype|regproc)|row_number|rank|dense_rank|ntile|lag|lead|first_value|last_value|group_concat|total"
    r"|string_agg|array_\w+|jsonb?_\w+|regexp_\w+|string_to_array|unnest|generate_(?:series|subscripts)|bool_and|bool_or|every"
    r"|version|database|schema|session_user|user|pg_get_\w+|pg_\w+_is_visible|format_type|(?:col|obj|shobj)_description"
    r"|has_\w+_privilege|pg_(?:total_)?relation_size|pg_typeof|pg_encoding_to_char|quote_(?:ident|literal|nullable)|oidvectortypes"
    r"|information_schema|pragma_\w+)",
    re.IGNORECASE,
)
"""Words and functions that change nothing. A function that is not named here may do anything."""

NO_BEGIN = re.compile(
    COMMENTS + r"(PRAGMA|ATTACH|DETACH|VACUUM|BEGIN|COMMIT|END|ROLLBACK|RELEASE|SELECT|VALUES|EXPLAIN)\b",
    re.IGNORECASE | re.DOTALL,
)
"""SQLite: what needs no transaction, or may not be in one."""

TRANSACTION = re.compile(
    COMMENTS + r"(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|START\s+TRANSACTION)\b",
    re.IGNORECASE | re.DOTALL,
)
IN_NO_TRANSACTION = re.compile(
    COMMENTS
    + r"(?:VACUUM|ATTACH|DETACH|BEGIN|PRAGMA\s+(?:\w+\.)?(?:journal_mode|synchronous|temp_store|locking_mode)\s*[=(])",
    re.IGNORECASE | re.DOTALL,
)
"""SQLite: what fails in a transaction, or does nothing there."""

DRIVER_BEGINS = re.compile(
    COMMENTS + r"(?:INSERT|UPDATE|DELETE|REPLACE|SAVEPOINT)\b", re.IGNORECASE | re.DOTALL
)
"""Where Python's sqlite3 begins a transaction of its own accord, and SQLite itself."""

CHANGES_NOTHING = re.compile(
    COMMENTS + r"(?:PRAGMA\b(?!\s+(?:\w+\.)?(?:user_version|application_id|schema_version)\s*[=(])"
    r"|(?:SELECT|VALUES|EXPLAIN|ATTACH|DETACH|VACUUM)\b)",
    re.IGNORECASE | re.DOTALL,
)
"""SQLite: what has no part in a commit."""

SETS_FILE = re.compile(COMMENTS + r"PRAGMA\b", re.IGNORECASE | re.DOTALL)
"""Of what changes something."""

FOREIGN_KEYS = re.compile(
    COMMENTS + r"PRAGMA\s+(?:\w+\.)?foreign_keys\s*[=(]\s*['\"]?(\w+)", re.IGNORECASE | re.DOTALL
)

QUOTED = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
LEAVES_DATABASE = re.compile(
    r"(?:^|;|\$|\bBEGIN|\bTHEN|\bELSE|\bLOOP|\bEXECUTE)\s*'?\s*(?:"
    r"(?:CREATE|ALTER|DROP)\s+(?:ROLE|USER|GROUP|DATABASE|TABLESPACE|SERVER|SUBSCRIPTION)\b"
    r"|ALTER\s+SYSTEM\b|COMMENT\s+ON\s+(?:DATABASE|ROLE|TABLESPACE)\b"
    r"|SECURITY\s+LABEL\b[^;]*\bON\s+(?:DATABASE|ROLE|TABLESPACE)\b"
    r"|(?:REASSIGN|DROP)\s+OWNED\b|COPY\b[^;]*\b(?:PROGRAM|(?:TO|FROM)\s*')"
    r"|(?:GRANT|REVOKE)\b(?:[^;]*\bON\s+(?:DATABASE|TABLESPACE)\b|(?:(?!\bON\b)[^;])*\b(?:TO|FROM)\b)"
    r"|ATTACH\b)"
    r"|\b(?:dblink(?:_\w+)?|lo_export|pg_terminate_backend|pg_cancel_backend|pg_reload_conf"
    r"|pg_create_\w*replication_slot)\s*\(",
    re.IGNORECASE | re.DOTALL,
)
"""PostgreSQL: what has an effect outside of the database that it is sent to."""


MYSQL = ("mysql", "mariadb")
"""SQLAlchemy's names of the two that share a protocol; here they are treated alike."""

IMPLICIT_COMMIT = re.compile(
    COMMENTS
    + r"(?:(?:CREATE|ALTER|DROP)\b(?!\s+TEMPORARY\b)|(?:RENAME|TRUNCATE|GRANT|REVOKE|OPTIMIZE|REPAIR|FLUSH"
    r"|INSTALL|UNINSTALL|BEGIN)\b|START\s+TRANSACTION\b|(?:ANALYZE|CHECK)\b.*\bTABLE\b|(?:UN)?LOCK\s+TABLES?\b)",
    re.IGNORECASE | re.DOTALL,
)
"""MySQL and MariaDB: what commits the open transaction before it runs.

https://dev.mysql.com/doc/refman/8.0/en/implicit-commit.html, https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/
"""

OF_SESSION = re.compile(
    COMMENTS + r"(?:SET|RESET|PRAGMA)\b|" + COMMENTS + r"SELECT\s+(?:pg_catalog\.)?set_config\b",
    re.IGNORECASE | re.DOTALL,
)
"""What a commit does not keep: when a revision is resumed, the new session needs it again."""

NO_CHANGE = re.compile(COMMENTS + r"(?:SET|USE|SHOW|DESCRIBE|DO|EXPLAIN)\b", re.IGNORECASE | re.DOTALL)
LEAVES_MYSQL = re.compile(
    r"(?:^|;|\bBEGIN|\bTHEN|\bELSE|\bLOOP|\bDO)\s*(?:"
    r"(?:CREATE|ALTER|DROP|RENAME)\s+(?:OR\s+REPLACE\s+)?(?:USER|ROLE|SERVER|TABLESPACE|LOGFILE|RESOURCE)\b"
    r"|(?:CREATE|DROP)\s+(?:DATABASE|SCHEMA)\b|ALTER\s+(?:DATABASE|SCHEMA)\s+(?!CHARACTER|CHARSET|DEFAULT|COLLATE|COMMENT)"
    r"|GRANT\b|REVOKE\b|USE\b|FLUSH\b|KILL\b|SHUTDOWN\b|PURGE\b|RESET\b|INSTALL\b|UNINSTALL\b|CHANGE\s+(?:MASTER|REPLICATION)\b"
    r"|SET\s+(?:GLOBAL\b|PERSIST\w*\b|PASSWORD\b|@@(?:GLOBAL|PERSIST\w*)\b|DEFAULT\s+ROLE\b)|(?:START|STOP)\s+(?:SLAVE|REPLICA)\b)"
    r"|\bINTO\s+(?:OUT|DUMP)FILE\b",
    re.IGNORECASE | re.DOTALL,
)
"""MySQL and MariaDB: what has an effect outside of the database that it is sent to, by its first words."""

TABLE_COMES = (
    r"\b(?:FROM|JOIN|INTO|UPDATE|TABLES?|EXISTS|REFERENCES|VIEW|TRIGGER|PROCEDURE|FUNCTION|EVENT|CALL|RENAME|LIKE"
    r"|ONLY|TO)\s+"
)


def only_reads(sql: str) -> bool:
    """Whether a text is known to change nothing, so that it has no part in the stream of statements.

    One statement, since drivers send several in one text; and it calls no function that is not known here.
    """
    body = sql.rstrip("; \t\r\n")
    if (
        not READS.match(body) or "/*!" in body or "$$" in body
    ):  # MySQL executes the one, the other quotes anything
        return False
    return all(_is_one_query(quotes.sub(_mark_name, body)) for quotes in (STANDARD, ESCAPED))


def _mark_name(quoted: re.Match[str]) -> str:
    return '"' if quoted.group()[0] in '"`' else " "


def _is_one_query(bare: str) -> bool:
    if ";" in bare or "'" in bare:  # a quote is left where nobody can tell where a text ends
        return False
    return PRAGMA.match(bare) is not None or all(HARMLESS.fullmatch(name) for name in CALLED.findall(bare))


def leaves_mysql(sql: str, database: str, others: Iterable[str]) -> str:
    """The part of a statement that reaches beyond the database that it is sent to; "" if there is none.

    `others` are the names of all other databases. Where a table or an alias has the name of one, only the places in
    which a table must stand are looked at.
    """
    bare = re.sub(r"--[^\n]*|#[^\n]*|/\*(?!!).*?\*/|'(?:[^'\\]|''|\\.)*'", " ", sql, flags=re.DOTALL)
    found = LEAVES_MYSQL.search(bare)
    if found:
        return " ".join(found.group().split())
    for name in others:
        quoted = r"(?:`{0}`|\b{0})".format(re.escape(name.replace("`", "``")))
        hit = re.search(quoted + r"\s*\.", bare, re.IGNORECASE)
        if hit and name.lower() != database.lower():
            elsewhere = re.search(quoted + r"(?!\s*\.|\w)", bare, re.IGNORECASE)
            if not elsewhere or re.search(TABLE_COMES + quoted + r"\s*\.", bare, re.IGNORECASE):
                return "database " + name
    return ""


ASKS_CATALOG = re.compile(
    r"\b(?:information_schema|table_schema|schema_name|table_catalog|catalog_name|pg_database|datname)\b"
    r"|\bmysql\s*\.|\bSHOW\b",
    re.IGNORECASE,
)


def asks_by_name(sql: str, values: Any, name: str) -> bool:
    """Whether a statement asks the catalog for the database of this name: a copy has another one."""
    if not name or not ASKS_CATALOG.search(sql):
        return False
    if name in (values.values() if isinstance(values, dict) else values or ()):
        return True
    named = re.escape(name)
    return re.search(rf"'{named}'|\"{named}\"|\b(?:FROM|IN)\s+[`\"]?{named}[`\"]?(?![\w.])", sql) is not None


def leaves_database(sql: str) -> bool:
    """Whether a statement, or one of several in a text, reaches beyond its own database."""
    if re.match(COMMENTS + r"DO\b", sql, re.IGNORECASE | re.DOTALL):
        return LEAVES_DATABASE.search(sql) is not None  # a program: what it EXECUTEs stands in quotes
    bare = QUOTED.sub(lambda found: "''" if found.group()[0] in "'$" else " ", sql)
    return LEAVES_DATABASE.search(bare) is not None


def shorten(sql: str, limit: int = 120) -> str:
    """A statement as one short line."""
    return " ".join(sql.split())[:limit]
