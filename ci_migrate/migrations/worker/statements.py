"""What SQL statements are: what reads, what commits by itself, what asks for a database by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .tokens import (
    NAME,
    OPEN,
    TEXT,
    WORD,
    Cursor,
    Dialect,
    Token,
    dialect_of,
    is_executed_comment,
    readings,
    tokens_of,
    without_end,
)

COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
WRITES = re.compile(
    COMMENTS + r"(INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|TRUNCATE|MERGE|"
    r"REPLACE|VACUUM|REINDEX|ANALYZE|REFRESH|LOCK|CALL|DO)\b",
    re.IGNORECASE | re.DOTALL,
)
"""What is not sent while the heads are read. The session is read-only as well."""

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

ANSWERS = re.compile(r"(?:table_\w+|index_\w+|foreign_key_\w+|\w+_check)", re.IGNORECASE)
"""SQLite: the names of pragmas that answer about what is given to them."""

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

MYSQL = ("mysql", "mariadb")
"""SQLAlchemy's names of the two that share a protocol; here they are treated alike."""

_COMMIT_FIRST = (
    "RENAME", "TRUNCATE", "GRANT", "REVOKE", "OPTIMIZE", "REPAIR", "FLUSH", "INSTALL", "UNINSTALL", "BEGIN"
)  # fmt: skip


def commits_first(sql: str, dialect: Dialect) -> bool:
    """MySQL and MariaDB: whether a statement commits the open transaction before it runs.

    https://dev.mysql.com/doc/refman/8.0/en/implicit-commit.html, https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/
    """
    cursor = Cursor([token for token in tokens_of(sql, dialect) if not is_executed_comment(token)])
    if cursor.take("CREATE") or cursor.take("ALTER") or cursor.take("DROP"):
        cursor.skip("OR", "REPLACE")
        return not cursor.sees("TEMPORARY")
    if cursor.take("ANALYZE") or cursor.take("CHECK"):
        return any(token.is_word("TABLE", "TABLES") for token in cursor.rest)
    if cursor.take("LOCK") or cursor.take("UNLOCK"):
        return cursor.sees("TABLE", "TABLES")
    return cursor.take("START", "TRANSACTION") or cursor.sees(*_COMMIT_FIRST)


OF_SESSION = re.compile(
    COMMENTS + r"(?:SET|RESET|PRAGMA)\b|" + COMMENTS + r"SELECT\s+(?:pg_catalog\.)?set_config\b",
    re.IGNORECASE | re.DOTALL,
)
"""What a commit does not keep: when a revision is resumed, the new session needs it again."""

ENDS = re.compile(COMMENTS + r"(?:COMMIT|END|PREPARE\s+TRANSACTION)\b", re.IGNORECASE | re.DOTALL)
PROGRAM = re.compile(COMMENTS + r"(?:DO|CALL|SELECT|WITH|EXECUTE)\b", re.IGNORECASE | re.DOTALL)
"""PostgreSQL: what may do anything, by a program of the server's."""

SETS_READING = re.compile(r"\b(?:sql_mode|standard_conforming_strings)\b", re.IGNORECASE)
"""What may change where texts end: the session is asked again."""

NO_CHANGE = re.compile(COMMENTS + r"(?:SET|USE|SHOW|DESCRIBE|DO|EXPLAIN)\b", re.IGNORECASE | re.DOTALL)
CATALOG = frozenset({
    "information_schema", "table_schema", "schema_name", "table_catalog", "catalog_name", "pg_database", "datname"
})  # fmt: skip


def only_reads(sql: str, engine: str) -> bool:
    """Whether a text is known to change nothing, so that it has no part in the stream of statements.

    However the server is set to read it: one statement, since drivers send several in one text, that calls no function
    that is not known here.
    """
    return all(_is_one_query(tokens_of(sql, dialect)) for dialect in readings(dialect_of(engine)))


def _is_one_query(tokens: Sequence[Token]) -> bool:
    tokens = without_end(tokens)
    # MySQL executes what stands in /*! */
    if not tokens or any(t.kind == OPEN or t.is_mark(";") or t.text.startswith("/*") for t in tokens):
        return False
    first, found = tokens[0], {t.text.upper() for t in tokens if t.kind == WORD}
    if first.is_word("PRAGMA"):
        return _asks_pragma([t for t in tokens[1:] if not t.is_mark(".")])
    reads = (
        first.is_word("SHOW", "DESC", "DESCRIBE")
        or (first.is_word("EXPLAIN") and not found & {"ANALYZE", "ANALYSE"})
        or (first.is_word("SELECT") and "FROM" in found and "INTO" not in found)
    )
    return reads and all(_is_harmless(tokens, n) for n, token in enumerate(tokens) if token.is_mark("("))


def _asks_pragma(tokens: list[Token]) -> bool:
    """`PRAGMA name` or `PRAGMA main.index_info(x)`, of those that only answer."""
    called = next((n for n, token in enumerate(tokens) if token.is_mark("(")), None)
    name = tokens[: 2 if called is None else called][-1:]
    if not name or name[0].is_word("OPTIMIZE", "WAL_CHECKPOINT", "INCREMENTAL_VACUUM"):
        return False
    if called is None:
        return len(tokens) <= 2 and all(t.kind in (WORD, NAME) for t in tokens)
    return ANSWERS.fullmatch(name[0].text) is not None and called <= 2 and tokens[-1].is_mark(")")


def _is_harmless(tokens: Sequence[Token], number: int) -> bool:
    """Whether what is called by this parenthesis changes nothing."""
    called = tokens[number - 1] if number else None
    if called is None or called.kind not in (WORD, NAME):
        return True
    before = tokens[number - 2] if number > 1 else called
    if before.is_word("AS"):  # of an alias: these are its columns
        return True
    if before.is_mark(".") and not tokens[number - 3].is_word("PG_CATALOG"):
        return False
    return called.kind == WORD and HARMLESS.fullmatch(called.text) is not None


def asks_by_name(sql: str, values: Any, name: str, dialect: Dialect) -> bool:
    """Whether a statement asks the catalog for the database of this name: a copy has another one."""
    if not name:
        return False
    tokens = tokens_of(sql, dialect)
    following = [*tokens[1:], None]
    if not any(
        t.kind in (WORD, NAME)
        and (
            t.value.lower() in CATALOG
            or t.is_word("SHOW")
            or (t.is_word("MYSQL") and after and after.is_mark("."))
        )
        for t, after in zip(tokens, following)
    ):
        return False
    if name in (values.values() if isinstance(values, dict) else values or ()):
        return True
    return any(
        (t.kind in (TEXT, NAME) and t.value == name and not (after and after.is_mark(".")))
        or (
            t.kind == WORD
            and t.text == name
            and before.is_word("FROM", "IN")
            and not (after and after.is_mark("."))
        )
        for before, t, after in zip([*tokens[:1], *tokens], tokens, following)
    )


def send_nothing(statement: str, mysql: bool, executemany: bool, context: Any) -> tuple[str, Any]:
    """What is sent in place of a statement that must not run: it gives no rows."""
    nothing = "SELECT 1 FROM DUAL WHERE 1 = 0" if mysql else "SELECT 1 WHERE 1 = 0"
    # SQLAlchemy 2.0 sends many rows as one statement, which it executes once
    at_once = getattr(getattr(context, "execute_style", None), "name", "") == "INSERTMANYVALUES"
    return (statement, []) if executemany and not at_once else (nothing, ())
