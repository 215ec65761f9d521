"""Into which tables and columns a statement of a migration writes rows. What is not understood is never harmless."""

from collections.abc import Sequence

from ci_migrate.databases.effects import renames, set_columns
from ci_migrate.databases.statements import Action, Verb, makes_program, read_alike
from ci_migrate.migrations.record import WHOLE
from ci_migrate.migrations.worker.tokens import Name, begins

Written = tuple[Name, frozenset[str] | None]
"""A table, and the columns that are set; None for whole rows."""

_HARMLESS = (
    "CREATE", "COMMENT", "GRANT", "SET", "SHOW", "PRAGMA", "BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT",
    "RELEASE", "LOCK", "UNLOCK", "ANALYZE", "USE", "DESCRIBE", "DESC",
)  # fmt: skip
_MORE_THAN_ADDS = ("DROP", "MODIFY", "CHANGE", "RENAME", "TRUNCATE", "EXCHANGE", "CONVERT", "ORDER")


def writes_to(sql: str, engine: str) -> list[Written] | None:
    """The tables whose rows a statement writes, [] for none; None where that can't be told.

    A SELECT can't be told: the child leaves those out of the stream that are known to read only.
    """
    return read_alike(sql, engine, _all) if len(sql) < WHOLE else None  # of a longer one the end is not known


def _all(actions: Sequence[Action]) -> list[Written] | None:
    found: list[Written] = []
    for action in actions:
        written = _one(action)
        if written is None:
            return None
        found += written
    return found


def _one(action: Action) -> list[Written] | None:
    if action.verb is Verb.INSERT:
        return (
            None
            if action.modifiers & {"REPLACE"} or _upserts(action)
            else [(t, None) for t in action.tables] or None
        )
    if action.verb is Verb.UPDATE:
        columns = set_columns(action)
        plain = len(action.tables) == 1 and "REPLACE" not in action.modifiers
        return [(action.tables[0], frozenset(columns))] if plain and columns else None
    if action.verb is Verb.ALTER_TABLE or (action.starts("ALTER") and _alters(action)):
        return None if action.has(*_MORE_THAN_ADDS) or renames(action) else []
    return [] if action.starts(*_HARMLESS) and not _does_more(action) else None


def _alters(action: Action) -> bool:
    return len(action.tokens) > 1 and action.tokens[1].is_word("INDEX", "VIEW", "TYPE")


def _upserts(action: Action) -> bool:
    return any(
        token.is_word("ON") and after.is_word("CONFLICT", "DUPLICATE")
        for token, after in zip(action.rest, action.rest[1:], strict=False)
    )


def _does_more(action: Action) -> bool:
    """Whether it is not what its first word says.

    MariaDB's CREATE OR REPLACE TABLE drops the old table with its rows, its SET STATEMENT ... FOR and BEGIN NOT ATOMIC
    run others; of a program that is never closed nobody knows where it ends.
    """
    if makes_program(action.tokens):
        return any(token.is_mark(";") for token in action.tokens) and not action.tokens[-1].is_word("END")
    return (
        (action.verb is Verb.CREATE_TABLE and "REPLACE" in action.modifiers)
        or begins(action.tokens, "SET", "STATEMENT")
        or begins(action.tokens, "BEGIN", "NOT")
    )
