"""The setting `mask`: private values of a scratch copy are replaced before any code of the repository meets it."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from ci_migrate.databases.base import Database, session
from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.hidden_values import hide_values
from ci_migrate.errors import RefusedError
from ci_migrate.migrations.worker.tokens import Token, dialect_of, tokens_of
from ci_migrate.model import NextCommand, as_hint, plural
from ci_migrate.settings.settings import Settings

MAIN_FILE = "main.sql"
"""In a folder, the file for the target's own database; that of each of `databases` is called as it is."""


def mask_copy(settings: Settings, copy: Database) -> str:
    """Run the file of the setting `mask` on a copy that was restored; where it is a folder, that of each database.

    Args:
        settings: of the target.
        copy: a scratch copy; where this raises, it must be dropped.

    Returns:
        What was done, in words; "" where nothing is to be masked.

    Raises:
        RefusedError: a file can't be read, a statement fails, or it changes more than values. No code of the
            repository has met the copy.
    """
    if settings.mask is None:
        return ""
    members = members_of(copy)
    hint = as_hint(
        NextCommand(
            command=f"ci-migrate dry-run --on backup:latest --target {shlex.quote(settings.target)}",
            why="it is tried on a copy of the last backup",
        )
    )
    texts = {name: _read(settings.mask, name, several=len(members) > 1) for name in members}
    schema, counts = copy.schema(), copy.counts(exact=True)
    mask, ran, changed = settings.mask.name, 0, 0
    for name, member in members.items():
        file, text = texts[name]
        statements = list(_statements(text, member.dialect))
        ran += len(statements)
        changed += _execute(member, file, statements, hint, shown=settings.show_values)
    if copy.schema() != schema:
        raise RefusedError(
            f"mask: {mask} changes the schema of the copy. It may change values alone.", hint=hint
        )
    after = copy.counts(exact=True)
    other = sorted(table for table in counts if after.get(table) != counts[table])
    if other:
        raise RefusedError(
            f"mask: {mask} changes how many rows {other[0]} has. It may change values alone: what a migration adds or "
            "takes is held against the rehearsal.",
            hint=hint,
        )
    return f"values of rows are masked: {mask} ({plural(ran, 'statement')}, {plural(changed, 'row')})"


def _read(mask: Path, database: str, *, several: bool) -> tuple[str, str]:
    """The name and the text of the file for a database ("" for the main one). Raises RefusedError."""
    if several and not mask.is_dir():
        raise RefusedError(
            f"mask: {mask.name} is a file, and this target has several databases: the rows of the others would stay as "
            "they are.",
            hint=f"Make it a folder with a file for each: {MAIN_FILE}, NAME.sql.",
        )
    file = mask / (f"{database}.sql" if database else MAIN_FILE) if mask.is_dir() else mask
    name = f"{mask.name}/{file.name}" if mask.is_dir() else mask.name
    try:
        return name, file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RefusedError(f"mask: {file} can't be read: {why}.") from error


def _execute(copy: Database, name: str, statements: list[tuple[int, str]], hint: str, *, shown: bool) -> int:
    """Send them in one transaction, where the engine has it. Returns how many rows they changed."""
    changed = 0
    with session(copy) as connection:
        # without parameters a percent sign is a percent sign
        plain = connection.execution_options(no_parameters=True)
        for line, sql in statements:
            try:
                changed += max(plain.exec_driver_sql(sql).rowcount, 0)
            except DBAPIError as error:
                words = copy.explain(error) if shown else hide_values(copy.explain(error), sql)
                words = words.rstrip(".")
                raise RefusedError(
                    f"mask: {name}:{line} fails: {words}. The copy is dropped; no code of the repository has met it.",
                    hint=hint,
                ) from error
        connection.commit()
    return changed


def _statements(text: str, engine: str) -> Iterator[tuple[int, str]]:
    """The statements of a file, each with the line that it begins at."""
    found: list[Token] = []
    for token in [*tokens_of(text, dialect_of(engine)), None]:
        if token is not None and not token.is_mark(";"):
            found.append(token)
        elif found:
            yield text.count("\n", 0, found[0].start) + 1, text[found[0].start : found[-1].end]
            found = []
