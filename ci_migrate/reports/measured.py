"""What a person must be told of what the dry run measured, in words, before any format. Expects a cleaned Report."""

from typing import NamedTuple

from ci_migrate.model import Evidence, Statement
from ci_migrate.reports import story

WHOLE = "whole database"


class Held(NamedTuple):
    """A lock that kept others from something, or a table rewritten; `time` is how long it was held in words."""

    where: str
    table: str
    mode: str
    time: str
    effect: str
    blocks: str
    seconds: float
    statement: int
    """Its place in the evidence's statements, from 0."""


def locks_held(evidence: Evidence) -> list[Held]:
    """Locks that kept others from something and tables rewritten, what was held longest first.

    Of those on the whole database (each transaction takes one) only the first of these is told.
    """
    rows: list[Held] = []
    for number, statement in enumerate(evidence.statements):
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
            time = story.duration(seconds)
            rows.append(
                Held(where, lock.table or WHOLE, lock.mode, time, effect, lock.blocks, seconds, number)
            )
        rows += [Held(where, table, "", "", _anew(statement), "", 0.0, number) for table in sorted(anew)]
    rows.sort(key=lambda row: -row.seconds)
    return [
        row for n, row in enumerate(rows) if row.table != WHOLE or WHOLE not in (r.table for r in rows[:n])
    ]


def _anew(statement: Statement) -> str:
    return f"rewritten in {story.duration(statement.seconds)}"


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
