"""What SQL statements are, by their first words: what reads, what commits by itself, what leaves the database."""

from __future__ import annotations

import re
from collections.abc import Iterable

COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
WRITES = re.compile(
    COMMENTS + r"(INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|TRUNCATE|MERGE|"
    r"REPLACE|VACUUM|REINDEX|ANALYZE|REFRESH|LOCK|CALL|DO)\b",
    re.IGNORECASE | re.DOTALL,
)
"""What is not sent while the heads are read. The session is read-only as well."""

READS = re.compile(
    r"\s*(SHOW\b|DESC(?:RIBE)?\b|EXPLAIN\b(?!.*\bANALY[SZ]E\b)|PRAGMA\s+[\w.\"]+\s*(\(.*\))?\s*;?\s*$|SELECT\b(?!.*\bINTO\b).*\bFROM\b)",
    re.IGNORECASE | re.DOTALL,
)
"""What does not belong to the stream of statements that change the database."""

NO_BEGIN = re.compile(
    COMMENTS + r"(PRAGMA|ATTACH|DETACH|VACUUM|BEGIN|COMMIT|END|ROLLBACK|RELEASE)\b", re.IGNORECASE | re.DOTALL
)
TRANSACTION = re.compile(
    COMMENTS + r"(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|START\s+TRANSACTION)\b",
    re.IGNORECASE | re.DOTALL,
)
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


def leaves_database(sql: str) -> bool:
    """Whether a statement, or one of several in a text, reaches beyond its own database."""
    if re.match(COMMENTS + r"DO\b", sql, re.IGNORECASE | re.DOTALL):
        return LEAVES_DATABASE.search(sql) is not None  # a program: what it EXECUTEs stands in quotes
    bare = QUOTED.sub(lambda found: "''" if found.group()[0] in "'$" else " ", sql)
    return LEAVES_DATABASE.search(bare) is not None


def shorten(sql: str, limit: int = 120) -> str:
    """A statement as one short line."""
    return " ".join(sql.split())[:limit]
