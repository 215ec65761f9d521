"""What statements do to tables. Each such question is asked here, and answered by what `statements` has read."""

from collections.abc import Sequence

from ci_migrate.databases.composite.names import bare
from ci_migrate.databases.names import parts
from ci_migrate.databases.statements import Action, Verb, Within, called
from ci_migrate.migrations.worker.tokens import Cursor, Name, Token, is_name, split


def means(written: Name, key: str) -> bool:
    """Whether a name in SQL, with a schema or without, means a table as `Database.counts` or a schema's key call it."""
    ends = [part.lower() for part in written]
    if not ends:
        return False
    for known in (parts(bare(key)), (bare(key),)):  # SQLite counts under the bare name
        shorter = min(len(ends), len(known))
        if [part.lower() for part in known][-shorter:] == ends[-shorter:]:
            return True
    return False


def names_table(action: Action, table: str) -> bool:
    """Whether it names this table where its verb wants one."""
    return any(means(written, table) for written in action.tables)


def renames(action: Action) -> list[tuple[Name, Name]]:
    """The tables that it gives another name or another schema, with the new one."""
    if action.verb is Verb.RENAME_TABLE:
        pairs = [_pair(Cursor(part)) for part in split(action.rest, ",")]
        return [(old, new) for old, new in pairs if old and new]
    if action.verb is not Verb.ALTER_TABLE or not action.tables:
        return []
    found = []
    for part in action.parts:
        cursor = Cursor(part)
        if cursor.take("SET", "SCHEMA"):
            found.append((action.tables[0], (*cursor.name(), action.tables[0][-1])))
        if not cursor.take("RENAME") or cursor.sees("COLUMN", "INDEX", "KEY", "CONSTRAINT"):
            continue
        told = cursor.take("TO") or cursor.take("AS") or cursor.take_mark("=")
        new = cursor.name()
        if new and (told or not cursor.sees("TO")):  # RENAME a TO b is of a column
            found.append((action.tables[0], new))
    return found


def _pair(cursor: Cursor) -> tuple[Name, Name]:
    old = cursor.name()
    cursor.skip_wait()
    cursor.take("TO")
    return old, cursor.name()


def takes_rows(action: Action) -> bool:
    """Whether it is one that takes rows out of the tables that it names."""
    return (
        action.verb in (Verb.DELETE, Verb.TRUNCATE, Verb.DROP_TABLE, Verb.REPLACE)
        or (action.verb in (Verb.INSERT, Verb.CREATE_TABLE, Verb.UPDATE) and "REPLACE" in action.modifiers)
        or (action.verb is Verb.MERGE and action.has("DELETE"))
        or (action.verb is Verb.ALTER_TABLE and action.has("PARTITION") and action.has("DROP", "TRUNCATE", "EXCHANGE"))
    )  # fmt: skip


NOT_COLUMNS = (
    "CONSTRAINT", "INDEX", "KEY", "PRIMARY", "FOREIGN", "CHECK", "PARTITION", "DEFAULT", "SYSTEM", "PERIOD"
)  # fmt: skip
"""What ALTER TABLE may add or drop besides a column."""


def dropped_columns(action: Action) -> list[str]:
    """The columns that an ALTER TABLE drops."""
    found: list[str] = []
    for part in action.parts if action.verb is Verb.ALTER_TABLE else ():
        cursor = Cursor(part)
        if cursor.take("DROP") and not cursor.sees(*NOT_COLUMNS):
            cursor.skip("COLUMN", "IF", "EXISTS")
            found += cursor.name()
    return found


def renamed_columns(action: Action) -> list[tuple[str, str]]:
    """The columns that an ALTER TABLE gives another name, with that."""
    found: list[tuple[str, str]] = []
    for part in action.parts if action.verb is Verb.ALTER_TABLE else ():
        cursor = Cursor(part)
        changes = cursor.take("CHANGE")
        if not (changes or cursor.take("RENAME")) or cursor.sees(*NOT_COLUMNS, "TO", "AS"):
            continue
        cursor.skip("COLUMN", "IF", "EXISTS")
        old = cursor.name()
        if not (changes or cursor.take("TO")):
            continue  # RENAME x is of the table
        new = cursor.name()
        if old and new and old[-1].lower() != new[-1].lower():
            found.append((old[-1], new[-1]))
    return found


def set_columns(action: Action) -> list[str]:
    """The columns that an UPDATE sets; [] where it can't be told: `SET (a, b) = ...`."""
    return [name[-1] for name in _set_names(action)]


def updates_rows_of(action: Action) -> tuple[Name, ...]:
    """The tables whose rows an UPDATE or a DELETE changes: not those that it joins, where SET tells them apart."""
    if action.verb is Verb.DELETE or len(action.tables) < 2:
        return action.tables if action.verb in (Verb.DELETE, Verb.UPDATE) else ()
    owners = {name[:-1] for name in _set_names(action)}
    meant = owners | {called(owner, action.tokens) for owner in owners}  # `UPDATE users AS u`
    found = tuple(table for table in action.tables if any(one and table[-len(one) :] == one for one in meant))
    return found if found and () not in owners else action.tables


def _set_names(action: Action) -> list[Name]:
    """What an UPDATE sets, as it is written; see `set_columns`."""
    if action.verb is not Verb.UPDATE:
        return []
    at = next((n for n, token in enumerate(action.rest) if token.is_word("SET")), len(action.rest))
    found = []
    for item in split(_until_clause(action.rest[at + 1 :]), ","):
        cursor = Cursor(item)
        name = cursor.name()
        if not name or not cursor.take_mark("="):
            return []
        found.append(name)
    return found


def _until_clause(tokens: Sequence[Token]) -> Sequence[Token]:
    """What stands before FROM, WHERE and the like."""
    depth = 0
    for at, token in enumerate(tokens):
        depth += token.is_mark("(") - token.is_mark(")")
        distinct = at and tokens[at - 1].is_word("DISTINCT")  # IS DISTINCT FROM
        if not depth and not distinct and token.is_word("FROM", "WHERE", "ORDER", "LIMIT", "RETURNING"):
            return tokens[:at]
    return tokens


def drops(action: Action, name: str) -> bool:
    """Whether it drops something of this name, by itself or as a part of an ALTER TABLE."""
    return any(
        token.value.lower() == name.lower() and is_name(token) for part in _dropping(action) for token in part
    )


def cascades(action: Action) -> bool:
    """Whether it is a DROP, or an ALTER TABLE that drops, with CASCADE; ON DELETE CASCADE drops nothing."""
    return any(part[-1].is_word("CASCADE") for part in _dropping(action))


def _dropping(action: Action) -> list[Sequence[Token]]:
    """A DROP as a whole, and of an ALTER TABLE what drops."""
    if action.verb is Verb.ALTER_TABLE:
        return [part for part in action.parts if part[0].is_word("DROP")]
    return [action.tokens] if action.starts("DROP") else []


def rewritten_columns(action: Action) -> list[str]:
    """The columns that MODIFY and CHANGE of MySQL and MariaDB write as a whole, by old names and new ones."""
    found: list[str] = []
    for part in action.parts if action.verb is Verb.ALTER_TABLE else ():
        cursor = Cursor(part)
        changes = cursor.take("CHANGE")
        if changes or cursor.take("MODIFY"):
            cursor.skip("COLUMN", "IF", "EXISTS")
            found += cursor.name()
            found += cursor.name() if changes else ()
    return found


def drops_without_names(sql: Within) -> bool:
    """Whether it may drop what it does not name: with a whole schema, or by a text that is put together."""
    following = [*sql.tokens[1:], None]
    return any(
        token.is_word("CALL")
        or (
            token.is_word("EXECUTE") and not (after and after.is_word("FUNCTION", "PROCEDURE"))
        )  # of a trigger
        or (token.is_word("DROP") and after and after.is_word("SCHEMA", "OWNED", "EXTENSION", "DATABASE"))
        for token, after in zip(sql.tokens, following, strict=True)
    )
