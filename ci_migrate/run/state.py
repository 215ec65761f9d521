"""Is the target as it was? Rows are compared by digests, with what the backup and the dry run say that they were."""

import re
from collections.abc import Iterable, Mapping

from ci_migrate.model import Comparison, Evidence, TableContent, TableEvidence, name_some, plural


def compare_rows(
    before: Mapping[str, TableContent],
    rehearsed: Mapping[str, TableEvidence],
    found: Mapping[str, TableContent],
) -> Comparison:
    """Compare what tables hold with what they held before a migration, of which nothing should be left.

    Others may write meanwhile, so rows that differ are no proof that the migration left them: they are told as such,
    unless they are those that it led to in the dry run. That happens where a revision writes past its transaction, by
    the driver itself or by a connection of its own.

    Args:
        before: what the tables held.
        rehearsed: what the dry run changed in tables, before and after.
        found: what they hold now.
    """
    wrong, others, too_large, equal = [], [], [], 0
    for table, then in sorted(before.items()):
        now = found.get(table)
        if now is None:
            wrong.append(f"table {table} is gone")
        elif now == then and (then.digest is not None or not then.rows):
            equal += 1
        elif now.rows == then.rows and None in (now.digest, then.digest):
            too_large.append(table)
        elif is_as_rehearsed(rehearsed.get(table), now):
            wrong.append(
                f"the rows of {table} are those that the migration leads to: it wrote past its transaction"
            )
        else:
            others.append(f"{table} ({_what_differs(then, now)})")
    compared = (f"the rows of {plural(equal, 'table')}",) if equal else ()
    whose = "somebody else wrote them, or the migration past its transaction"
    exceptions = (f"other rows than before in {name_some(others)}: {whose}",)
    return Comparison(
        compared=compared,
        wrong=tuple(wrong),
        exceptions=exceptions if others else (),
        not_compared=(f"rows of {name_some(too_large)}: too many to read",) if too_large else (),
    )


def named_tables(evidence: Evidence) -> set[str]:
    """The tables that stand in the text of a statement of the dry run."""
    return named_in(evidence.row_counts_before, (s.sql for s in evidence.statements))


def named_in(tables: Iterable[str], texts: Iterable[str]) -> set[str]:
    """Those of these tables that stand in one of the texts, in whatever case; rather one too many than one too few.

    A name may be no single word: of `order-items` each word must stand there.
    """
    words = {word for text in texts for word in re.findall(r"\w+", text.lower())}
    return {t for t in tables if set(re.findall(r"\w+", t.rpartition(".")[2].lower())) <= words}


def is_as_rehearsed(rehearsed: TableEvidence | None, now: TableContent) -> bool:
    """Whether all columns that the dry run changed hold what it left in them."""
    if rehearsed is None or rehearsed.before is None or rehearsed.after is None:
        return False
    was, after = rehearsed.before.columns, rehearsed.after.columns
    changed = [c for c in now.columns if c in was and c in after and was[c] != after[c]]
    return bool(changed) and all(now.columns[c] == after[c] and after[c].digest is not None for c in changed)


def _what_differs(then: TableContent, now: TableContent) -> str:
    if now.rows != then.rows:
        return f"{then.rows:,} rows, now {now.rows:,}"
    return name_some(
        [name for name in sorted(now.columns) if now.columns[name] != then.columns.get(name)] or ["rows"]
    )
