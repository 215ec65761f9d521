"""How long a step will take, and what it will cost: told before it begins, and held against what came out.

A backup is told from the last ones (`backups/room.py`), a restore and a provider's clones from the last dry runs of the
same database, and a migration from its own dry run.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from ci_migrate.model import Backup, Evidence, Outcome, StageResult
from ci_migrate.reports.story import duration
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run
from ci_migrate.settings.kinds import Price

WORTH_TELLING = 5.0
"""Seconds from which on it is told."""

WORTH_ASKING = 64 * 1024 * 1024
"""Bytes of a database from which on a restore may take so long that the ledger is asked."""

_LAST = 20
"""Runs that are looked through for one that rehearsed something."""


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
    if backup.database_size < WORTH_ASKING:
        return None
    for told, last in _last_rehearsals(run):
        if last is not None and last.database_size:
            return told.restore_seconds * backup.database_size / last.database_size
    return None


def announce_cost(run: Run, backup: Backup) -> float | None:
    """Say what a provider's clones will cost, if a price is set. Returns the seconds that they are expected to last."""
    price = _price(run, backup)
    if price is None:
        return None
    expected = next((told.clone_seconds for told, _ in _last_rehearsals(run) if told.clone_seconds), None)
    cost = f", {price.of(expected)} for {duration(expected)}" if expected is not None else ""
    run.tell(f"clones of the backup: {price}{cost}")
    return expected


def with_cost(run: Run, result: StageResult, backup: Backup, expected: float | None) -> StageResult:
    """The dry run's result with what its clones cost, and what they were expected to."""
    told = cost_of(run, backup, expected)
    if not told:
        return result
    seconds = sum(run.catalog.provider_of(backup).lived)
    if result.evidence is not None:
        result = replace(result, evidence=replace(result.evidence, clone_seconds=seconds))
    if result.outcome is Outcome.PASSED:
        return replace(result, message=f"{result.message}; {told}")
    return replace(result, details=f"{told}\n{result.details}")


def cost_of(run: Run, backup: Backup, expected: float | None) -> str:
    """What the clones cost that were made, in words; "" where no price is set."""
    price = _price(run, backup)
    if price is None:
        return ""
    seconds = sum(run.catalog.provider_of(backup).lived)
    held = "" if expected is None else f"; {price.of(expected)} expected"
    return f"clones: {price.of(seconds)} ({duration(seconds)} at {price}{held})"


def _price(run: Run, backup: Backup) -> Price | None:
    """That of the clones of a backup; None where none is set, or none will be made."""
    clones = backup.provider_id is not None and run.settings.dry_run != "schema"
    return run.settings.provider_price if clones else None


def _last_rehearsals(run: Run) -> Iterator[tuple[Evidence, Backup | None]]:
    """What the last dry runs of this database measured that passed with its rows, the latest first; their backups."""
    if run.ledger is None:
        return
    for record in run.ledger.history(database_of(run), limit=_LAST):
        stages = run.ledger.stages(record.run_id)
        last = next((stage.backup for stage in stages if stage.backup is not None), None)
        for stage in stages:
            told = stage.evidence if stage.reused is None and stage.outcome is Outcome.PASSED else None
            if told is not None and not told.without_rows:
                yield told, last
