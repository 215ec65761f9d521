"""How long a step will take: told before it begins, and held against what it took.

A backup is told from the last ones (`backups/room.py`), a restore from the last dry runs of the same database, and a
migration from its own dry run.
"""

from ci_migrate.model import Backup, Outcome
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run

WORTH_TELLING = 5.0
"""Seconds from which on it is told."""

WORTH_ASKING = 64 * 1024 * 1024
"""Bytes of a database from which on a restore may take so long that the ledger is asked."""

_LAST = 5


def worth_telling(seconds: float | None) -> bool:
    """Whether a step that will take so long is told before."""
    return seconds is not None and seconds >= WORTH_TELLING


def announce(run: Run, step: str, seconds: float | None, more: str = "") -> None:
    """Say before a step how long it will take, where that is worth telling."""
    if worth_telling(seconds):
        run.tell(f"{step}, about {seconds:.0f} s{more}")


def took(seconds: float, expected: float | None) -> str:
    """` in 31 s (about 12 s expected)` where that was told before, else ""."""
    return f" in {seconds:.0f} s (about {expected:.0f} s expected)" if worth_telling(expected) else ""


def expect_restore(run: Run, backup: Backup) -> float | None:
    """How long a backup will take to restore, by its size and the last dry run; None where none tells."""
    if run.ledger is None or backup.database_size < WORTH_ASKING:
        return None
    for record in run.ledger.history(database_of(run), limit=_LAST):
        stages = run.ledger.stages(record.run_id)
        last = next((stage.backup for stage in stages if stage.backup is not None), None)
        for stage in stages:
            told = stage.evidence if stage.reused is None and stage.outcome is Outcome.PASSED else None
            if told is not None and last is not None and last.database_size and not told.without_rows:
                return told.restore_seconds * backup.database_size / last.database_size
    return None
