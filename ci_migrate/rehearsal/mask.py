"""Private values of a scratch copy are replaced before any code of the repository meets it.

By installed plugins (the hook `ci_migrate_mask`), then by the file of the setting `mask`.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from ci_migrate.databases.base import Database, session
from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.hidden_values import hide_values
from ci_migrate.databases.statistics import KeepsStatistics
from ci_migrate.errors import CiMigrateError, RefusedError
from ci_migrate.migrations.worker.tokens import Token, dialect_of, tokens_of
from ci_migrate.model import MASKED, NextCommand, as_hint, plural
from ci_migrate.run.run import Mask
from ci_migrate.settings.settings import Settings

MAIN_FILE = "main.sql"
"""In a folder, the file for the target's own database; that of each of `databases` is called as it is."""


def mask_copy(settings: Settings, copy: Database, masks: Mapping[str, Mask]) -> str:
    """Let plugins and the setting `mask` replace values on a copy that was restored, in each of several databases.

    Args:
        settings: of the target.
        copy: a scratch copy; where this raises, it must be dropped.
        masks: of installed plugins, by their names.

    Returns:
        What was done, in words; "" where nothing is to be masked.

    Raises:
        RefusedError: a file can't be read, a statement or a plugin fails, or it changes more than values. No code of
            the repository has met the copy.
    """
    if settings.mask is None and not masks:
        return ""
    members = members_of(copy)
    hint = as_hint(
        NextCommand(
            command=f"ci-migrate dry-run --on backup:latest --target {shlex.quote(settings.target)}",
            why="it is tried on a copy of the last backup",
        )
    )
    texts = {name: _read(settings.mask, name, several=len(members) > 1) for name in members if settings.mask}
    schema, counts = copy.schema(), copy.counts(exact=True)
    done: list[str] = []
    for plugin, mask in masks.items():
        told = [
            _ask(plugin, mask, name, member, hint, shown=settings.show_values)
            for name, member in members.items()
        ]
        if any(words is not None for words in told):
            done.append(
                f"plugin {plugin} ({', '.join(words for words in told if words) or 'it says no more'})"
            )
    if settings.mask is not None:
        ran, changed = 0, 0
        for name, member in members.items():
            file, text = texts[name]
            statements = list(_statements(text, member.dialect))
            ran += len(statements)
            changed += _execute(member, file, statements, hint, shown=settings.show_values)
        done.append(f"{settings.mask.name} ({plural(ran, 'statement')}, {plural(changed, 'row')})")
    by = " and ".join(
        [*(f"plugin {name}" for name in masks), *([settings.mask.name] if settings.mask else [])]
    )
    if copy.schema() != schema:
        raise RefusedError(
            f"mask: {by} changes the schema of the copy. It may change values alone.", hint=hint
        )
    after = copy.counts(exact=True)
    other = sorted(table for table in counts if after.get(table) != counts[table])
    if other:
        raise RefusedError(
            f"mask: {by} changes how many rows {other[0]} has. It may change values alone: what a migration adds or "
            "takes is held against the rehearsal.",
            hint=hint,
        )
    if not done:
        return ""
    for member in members.values():
        if isinstance(member, KeepsStatistics):
            member.renew_statistics()
    return f"{MASKED}: {', '.join(done)}"


def _ask(plugin: str, mask: Mask, name: str, copy: Database, hint: str, *, shown: bool) -> str | None:
    """Let a plugin replace values of one database, in one transaction. Returns its words. Raises RefusedError."""
    try:
        with session(copy) as connection:
            words = mask(connection, name)
            if words is not None and not isinstance(words, str):
                raise TypeError(f"it returned {type(words).__name__}, neither a text nor None")  # noqa: TRY301 - as its own
            connection.commit()
    except (Exception, SystemExit) as error:  # a plugin may raise anything, with values in it
        if isinstance(error, CiMigrateError):
            said = error.what
        elif isinstance(error, DBAPIError):
            said = _explain(copy, error, error.statement or "", shown=shown)
        else:
            said = type(error).__name__ + (f": {error}" if shown else " (show-values tells more)")
        raise _refusal(f"plugin {plugin} fails", said, hint) from error
    return words


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
                raise _refusal(
                    f"{name}:{line} fails", _explain(copy, error, sql, shown=shown), hint
                ) from error
        try:
            connection.commit()
        except DBAPIError as error:  # of a constraint that is looked at now
            raise _refusal(
                f"{name} fails at its end", _explain(copy, error, "", shown=shown), hint
            ) from error
    return changed


def _explain(copy: Database, error: DBAPIError, sql: str, *, shown: bool) -> str:
    words = copy.explain(error)
    return words if shown else hide_values(error, words, sql)


def _refusal(what: str, words: str, hint: str) -> RefusedError:
    text = f"mask: {what}: {words.rstrip('.')}. The copy is dropped; no code of the repository has met it."
    return RefusedError(text, hint=hint)


def _statements(text: str, engine: str) -> Iterator[tuple[int, str]]:
    """The statements of a file, each with the line that it begins at."""
    found: list[Token] = []
    for token in [*tokens_of(text, dialect_of(engine)), None]:
        if token is not None and not token.is_mark(";"):
            found.append(token)
        elif found:
            yield text.count("\n", 0, found[0].start) + 1, text[found[0].start : found[-1].end]
            found = []
