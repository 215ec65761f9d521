"""What stood in a row is left out of an error that a mask, an assertion or a backfill met."""

import re
from typing import Any

BY_PEOPLE = re.compile(r"\((?:SQLSTATE (?:P0|45)\w+|164[34])\)$")
"""How `Database.explain` ends of a RAISE or SIGNAL: a text that somebody wrote, with values put into it."""

RAISE = "exec_stmt_raise"
"""PL/pgSQL's own function that raises: where a RAISE has the code of an error of the server's."""

CODE = re.compile(r"\((?:SQLSTATE )?\w+\)$")
"""How `Database.explain` ends where the server has codes."""

QUOTED = re.compile(r"(['\"])(.*?)\1", re.DOTALL)
FIRST_TO_LAST = re.compile(r"(['\"]).*\1", re.DOTALL)
"""Servers double no quote in a value."""

NAMED = re.compile(r"^(no such column: |unable to open database: )(.*)", re.DOTALL)
"""What SQLite takes for a name, though a full-text search or an ATTACH may have read it in a row."""


def hide_values(error: BaseException, words: str, sql: str) -> str:
    """The words of `Database.explain` with `***` for what is quoted and stands nowhere in the SQL as a whole word.

    Args:
        error: what was explained; of a RAISE or SIGNAL the code alone is left.
        words: how it was explained.
        sql: what was sent.
    """
    if BY_PEOPLE.search(words) or _is_raised(getattr(error, "orig", None) or error):
        code = CODE.search(words)
        return f"*** {code[0]}" if code else "***"

    def is_asked_for(told: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(told)}(?!\w)", sql) is not None

    named = NAMED.search(words)
    if named is not None and not is_asked_for(named[2]):
        return f"{named[1]}***"
    if all(is_asked_for(found[2]) for found in QUOTED.finditer(words)):
        return words
    return FIRST_TO_LAST.sub(r"\1***\1", words)


def _is_raised(error: Any) -> bool:
    """Whether a function or trigger raised it, as far as a driver tells."""
    of_psycopg = getattr(getattr(error, "diag", None), "source_function", None)
    of_asyncpg = getattr(error.__cause__ or error, "server_source_function", None)
    arguments: tuple[Any, ...] = getattr(error, "args", ())
    of_pg8000 = arguments[0].get("R") if arguments and isinstance(arguments[0], dict) else None
    of_sqlite = getattr(error, "sqlite_errorname", None)
    return RAISE in (of_psycopg, of_asyncpg, of_pg8000) or of_sqlite == "SQLITE_CONSTRAINT_TRIGGER"
