"""What a person must be told of what the dry run measured, in words, before any format. Expects a cleaned Report."""

from ci_migrate.model import Evidence, Statement
from ci_migrate.reports import story

Row = tuple[str, str, str, str, str]
WHOLE = "whole database"


def held(evidence: Evidence) -> list[Row]:
    """Locks that kept others from something and tables written anew, what was held longest first.

    Of those on the whole database (each transaction takes one) only the first of these is told. Each is (file and
    line, table, lock, how long it was held until the commit, what that means for others).
    """
    rows: list[tuple[float, Row]] = []
    for statement in evidence.statements:
        where = story.place(statement.file, statement.line) or statement.revision or "env.py"
        anew = set(statement.rewrites)
        for lock in statement.locks:
            if not lock.blocks and lock.table not in anew:
                continue
            effect = f"keeps others from {lock.blocks}" if lock.blocks else "others go on"
            if lock.table in anew:
                anew.remove(lock.table)
                effect = f"{_anew(statement)}; {effect}"
            seconds = lock.seconds or 0.0
            rows.append((seconds, (where, lock.table or WHOLE, lock.mode, story.duration(seconds), effect)))
        rows += [(0.0, (where, table, "", "", _anew(statement))) for table in sorted(anew)]
    found = [row for _, row in sorted(rows, key=lambda each: -each[0])]
    return [row for n, row in enumerate(found) if row[1] != WHOLE or WHOLE not in (r[1] for r in found[:n])]


def _anew(statement: Statement) -> str:
    return f"written anew in {story.duration(statement.seconds)}"


def bytes_line(evidence: Evidence) -> str:
    """`12.3 MB of log, 4.1 MB on disk before and 8.2 MB after`; "" where nothing is known."""
    words = []
    if evidence.log_bytes is not None:
        words.append(f"{story.size(evidence.log_bytes)} of log")
    if evidence.size_before and evidence.size_after:
        words.append(
            f"{story.size(evidence.size_before)} on disk before and {story.size(evidence.size_after)} after"
        )
    return ", ".join(words)
