"""Is a restored copy what was backed up? The one answer for dry run, `backup verify --restore` and restore."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from ci_migrate.databases.base import Database, KnowsLacks, KnowsSequences
from ci_migrate.databases.digests import OLDER, OVER, TakesSamples, kind_of
from ci_migrate.model import (
    Backup,
    Comparison,
    Fingerprint,
    TableContent,
    VersionTable,
    list_some,
    name_some,
    plural,
    show_heads,
)

UNSEEN = "the session that reads the copy does not see all of it"

BUT_A_SAMPLE = f"only a sample of their rows, {OVER}"

NOT_IN_A_PART = ("constraint ", "comment ")
"""Kinds of objects that a backup of single tables may lack: without the other rows a foreign key can't be restored."""


def compare_restored(
    copy: Database,
    backup: Backup,
    *,
    version_tables: Sequence[VersionTable] = (),
    expected: Fingerprint | None = None,
    known: Mapping[str, TableContent] = MappingProxyType({}),
) -> Comparison:
    """Compare a restored copy with its backup's manifest: schema, heads, contents.

    Args:
        copy: the database that the backup was restored into; only read.
        backup: what was restored.
        version_tables: whose rows are the heads, in the order of the manifest's; () compares no heads by themselves.
        expected: the schema that the copy must have; the manifest's by default.
        known: what of the copy's contents was read already, which is not read again.

    Raises:
        SQLAlchemy's errors: the copy can't be read.
    """
    found = _compare_schema(copy, backup, expected or backup.fingerprint)
    if version_tables:
        found = found.plus(_compare_heads(copy, backup, version_tables))
    found = found.plus(compare_contents(copy, backup, backup.row_counts, known))
    return found.plus(_compare_sequences(copy, backup))


def compare_contents(
    copy: Database,
    backup: Backup,
    tables: Collection[str],
    known: Mapping[str, TableContent] = MappingProxyType({}),
) -> Comparison:
    """Compare what tables of a restored copy hold with what the manifest says that they held.

    By digests where the manifest has them, of all rows or of a sample; what it has not is counted, where it knows the
    exact number of rows.
    """
    then = {
        n: content for n, content in backup.contents.items() if n in tables and content.digest is not None
    }
    found = {n: content for n, content in known.items() if n in then}
    if unread := then.keys() - found.keys():
        found |= copy.contents(sorted(unread, key=lambda n: -then[n].rows))
    without = {n: why for n, content in found.items() if (why := _why_not(then[n], content))}
    unseen = {n for n, why in without.items() if why == UNSEEN}
    exact = {n: c.rows for n, c in backup.row_counts.items() if c.exact and n in tables and n not in unseen}
    rest = [n for n in exact if n not in found]
    rows = {n: count.rows for n, count in copy.counts(rest, exact=True).items()} if rest else {}
    rows |= {n: content.rows for n, content in found.items()}
    # counts first: of a table that lacks rows a digest would only say that it differs
    wrong = [_how_rows(n, count, rows.get(n)) for n, count in exact.items() if rows.get(n) != count]
    same = {
        n: content for n, content in found.items() if n not in without and rows[n] == exact.get(n, rows[n])
    }
    wrong += [how for n, content in same.items() if (how := _how_content(n, then[n], content))]
    samples = {n: sample for n, sample in backup.samples.items() if n in tables}
    seen = copy.sample(samples) if samples and isinstance(copy, TakesSamples) else {}
    wrong += [
        f"{how}, in a sample"
        for n, content in seen.items()
        if not _why_not(samples[n].content, content) and (how := _how_content(n, samples[n].content, content))
    ]
    if wrong:
        return Comparison(wrong=tuple(wrong))
    sampled = {n: _why_not(samples[n].content, content) for n, content in seen.items()}
    counted = len(rest) + len(without) - len(unseen)
    compared = (
        f"rows of {plural(len(same), 'table')} by digest" if same else "",
        f"row counts of {plural(counted, 'table')}" if counted else "",
        *(_describe_sample(backup, name) for name, why in sampled.items() if not why),
    )
    without |= {n: sampled.get(n) or BUT_A_SAMPLE for n in samples}
    return Comparison(
        compared=tuple(words for words in compared if words),
        not_compared=_describe_not_digested(backup, tables, without),
    )


def _why_not(then: TableContent, now: TableContent) -> str:
    """Why two digests of a table say nothing about each other; "" where they do."""
    if now.digest is None:
        return UNSEEN
    return "" if kind_of(then.digest) == kind_of(now.digest) else OLDER


def _compare_sequences(copy: Database, backup: Backup) -> Comparison:
    if not backup.sequences or not isinstance(copy, KnowsSequences):
        return Comparison()
    found = copy.sequences()
    wrong = tuple(
        f"sequence {name}: {found[name]}, and {at} was backed up"
        for name, at in backup.sequences.items()
        if found.get(name, at) != at
    )
    there = len(backup.sequences.keys() & found.keys())
    return Comparison(compared=() if wrong else (f"{plural(there, 'sequence')}",), wrong=wrong)


def _describe_sample(backup: Backup, name: str) -> str:
    """`orders: 40,000 of about 12,000,000 rows, by ranges of id`."""
    sample, count = backup.samples[name], backup.row_counts.get(name)
    about = "" if count is None else f" of {'' if count.exact else 'about '}{count.rows:,}"
    return f"{name}: {sample.content.rows:,}{about} rows, by ranges of {sample.key}"


def _describe_not_digested(
    backup: Backup, tables: Collection[str], unseen: Mapping[str, str]
) -> tuple[str, ...]:
    """Whose contents were not compared, each reason once."""
    if not (backup.contents or backup.samples) and backup.row_counts:
        if not any(count.exact for count in backup.row_counts.values()):  # a provider's
            return ("rows: the backup has neither digests nor exact numbers of them",)
        return ("rows by their digests: the backup has none, they were only counted",)
    reasons = {n: why for n, why in backup.not_digested.items() if n in tables or n not in backup.row_counts}
    by_reason: dict[str, list[str]] = {}
    for name, why in {**reasons, **unseen}.items():
        by_reason.setdefault(why, []).append(name)
    return tuple(f"{name_some(names)}: {why}" for why, names in by_reason.items())


def _how_content(name: str, then: TableContent, now: TableContent) -> str:
    """How a table of the copy differs, with the columns that do; "" where it does not."""
    if now.rows != then.rows:
        return _how_rows(name, then.rows, now.rows)
    columns = sorted(
        n for n in then.columns.keys() | now.columns.keys() if then.columns.get(n) != now.columns.get(n)
    )
    if columns:
        return f"table {name} has other values in {name_some(columns)}"
    return f"table {name} has the same values in other rows" if now.digest != then.digest else ""


def _how_rows(name: str, then: int, now: int | None) -> str:
    return f"table {name} has {'no' if now is None else now} rows, {then} were backed up"


def describe_wrong(comparison: Comparison) -> str:
    """What differs and should not, in one line; "" where nothing does."""
    return list_some(comparison.wrong)


def _compare_schema(copy: Database, backup: Backup, expected: Fingerprint | None) -> Comparison:
    if expected is None:
        return Comparison(not_compared=("schema: the backup has no fingerprint",))
    recorded, found = expected.objects, Fingerprint.of(copy.schema()).objects
    if backup.partial:
        recorded = {n: text for n, text in recorded.items() if n in found or not n.startswith(NOT_IN_A_PART)}
    names = sorted(recorded.keys() | found.keys())
    different = {n: _how(n, recorded, found) for n in names if recorded.get(n) != found.get(n)}
    rightly = dict(backup.exceptions)
    if isinstance(copy, KnowsLacks):
        rightly |= {n: why for n in different if n not in rightly and (why := copy.why_different(n))}
    reworded = [n for n in different if n in recorded and n in found and n not in rightly]
    if copy.capabilities.stable_definitions:
        reworded = []
    for name in reworded:  # a restored definition may be written in the engine's own words: nobody can tell
        del different[name]
    wrong = tuple(how for name, how in different.items() if name not in rightly)
    exceptions = tuple(f"{how}: {rightly[name]}" for name, how in different.items() if name in rightly)
    same = len(names) - len(different) - len(reworded)
    return Comparison(
        compared=() if wrong else (f"schema ({plural(same, 'object')})",),
        wrong=wrong,
        exceptions=exceptions,
        not_compared=_describe_reworded(reworded),
    )


def _describe_reworded(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    return (f"definitions that the engine writes differently after a restore: {name_some(names)}",)


def _how(name: str, recorded: dict[str, str], found: dict[str, str]) -> str:
    if name not in found:
        return f"{name} is missing"
    return f"{name} is new" if name not in recorded else f"{name} reads differently"


def _compare_heads(copy: Database, backup: Backup, version_tables: Sequence[VersionTable]) -> Comparison:
    heads = copy.heads(version_tables)
    if heads == backup.heads:
        return Comparison(compared=("heads",))
    return Comparison(wrong=(f"it is at {show_heads(heads)} instead of {show_heads(backup.heads)}",))
