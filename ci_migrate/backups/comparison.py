"""Is a restored copy what was backed up? The one answer for dry run, `backup verify --restore` and restore."""

from collections.abc import Collection, Sequence

from ci_migrate.databases.base import Database
from ci_migrate.model import Backup, Comparison, Fingerprint, VersionTable

SEVERAL = 5
"""Names that are listed at most before the rest is counted."""

NOT_IN_A_PART = ("constraint ", "comment ")
"""Kinds of objects that a backup of single tables may lack: without the other rows a foreign key can't be restored."""


def compare_restored(
    copy: Database,
    backup: Backup,
    *,
    version_tables: Sequence[VersionTable] = (),
    expected: Fingerprint | None = None,
) -> Comparison:
    """Compare a restored copy with its backup's manifest: schema, heads, contents.

    Args:
        copy: the database that the backup was restored into; only read.
        backup: what was restored.
        version_tables: whose rows are the heads, in the order of the manifest's; () compares no heads by themselves.
        expected: the schema that the copy must have; the manifest's by default.

    Raises:
        SQLAlchemy's errors: the copy can't be read.
    """
    found = _compare_schema(copy, backup, expected or backup.fingerprint)
    if version_tables:
        found = found.plus(_compare_heads(copy, backup, version_tables))
    return found.plus(compare_contents(copy, backup, backup.row_counts))


def compare_contents(copy: Database, backup: Backup, tables: Collection[str]) -> Comparison:
    """Compare what tables of a restored copy hold with what the manifest says that they held."""
    exact = {name: c.rows for name, c in backup.row_counts.items() if c.exact and name in tables}
    rows = {name: count.rows for name, count in copy.counts(exact, exact=True).items()} if exact else {}
    wrong = tuple(
        f"table {name} has {rows.get(name, 'no')} rows, {then} were backed up"
        for name, then in exact.items()
        if rows.get(name) != then
    )
    return Comparison(
        compared=() if wrong or not exact else (f"row counts of {_plural(len(exact), 'table')}",), wrong=wrong
    )


def describe_wrong(comparison: Comparison) -> str:
    """What differs and should not, in one line; "" where nothing does."""
    if not comparison.wrong:
        return ""
    more = len(comparison.wrong) - SEVERAL
    return "; ".join(comparison.wrong[:SEVERAL]) + (f"; and {more} more" if more > 0 else "")


def _compare_schema(copy: Database, backup: Backup, expected: Fingerprint | None) -> Comparison:
    if expected is None:
        return Comparison(not_compared=("schema: the backup has no fingerprint",))
    recorded, found = expected.objects, Fingerprint.of(copy.schema()).objects
    if backup.partial:
        recorded = {n: text for n, text in recorded.items() if n in found or not n.startswith(NOT_IN_A_PART)}
    names = sorted(recorded.keys() | found.keys())
    different = {n: _how(n, recorded, found) for n in names if recorded.get(n) != found.get(n)}
    reworded = [n for n in different if n in recorded and n in found and n not in backup.exceptions]
    if copy.capabilities.stable_definitions:
        reworded = []
    for name in reworded:  # a restored definition may be written in the engine's own words: nobody can tell
        del different[name]
    wrong = tuple(how for name, how in different.items() if name not in backup.exceptions)
    exceptions = tuple(
        f"{how}: {backup.exceptions[name]}" for name, how in different.items() if name in backup.exceptions
    )
    same = len(names) - len(different) - len(reworded)
    return Comparison(
        compared=() if wrong else (f"schema ({_plural(same, 'object')})",),
        wrong=wrong,
        exceptions=exceptions,
        not_compared=_describe_reworded(reworded),
    )


def _describe_reworded(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - SEVERAL} more" if len(names) > SEVERAL else ""
    return (
        f"definitions that the engine writes differently after a restore: {', '.join(names[:SEVERAL])}{more}",
    )


def _how(name: str, recorded: dict[str, str], found: dict[str, str]) -> str:
    if name not in found:
        return f"{name} is missing"
    return f"{name} is new" if name not in recorded else f"{name} reads differently"


def _compare_heads(copy: Database, backup: Backup, version_tables: Sequence[VersionTable]) -> Comparison:
    heads = copy.heads(version_tables)
    if heads == backup.heads:
        return Comparison(compared=("heads",))
    return Comparison(wrong=(f"it is at {_words(heads)} instead of {_words(backup.heads)}",))


def _words(heads: Sequence[Sequence[str]]) -> str:
    return ", ".join(" + ".join(h) or "base" for h in heads) or "base"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
