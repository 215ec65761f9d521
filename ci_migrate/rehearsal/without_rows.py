"""The setting `dry-run = "schema"`: a rehearsal on a copy without rows, and what that can't show."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

from msgspec.structs import replace

from ci_migrate.databases.base import Database
from ci_migrate.model import Backup, Evidence, Finding, Plan, Severity
from ci_migrate.run.authorization import asks
from ci_migrate.run.run import Run, restore_copy, schema_copy

UNRESTORED = 'dry-run = "schema": it was not restored'

NO_ROWS = (
    "rows, values and times, and whether what is there fits new constraints and types "
    '(dry-run = "schema": the copy had no rows)'
)


def leaves_rows_out(run: Run) -> bool:
    """Whether the settings ask for it."""
    return run.settings.dry_run == "schema"


def make_copy(run: Run, plan: Plan, backup: Backup, name: str = "") -> AbstractContextManager[Database]:
    """The copy that the plan is rehearsed on: the restored backup, or the target's schema without rows.

    Raises:
        CiMigrateError: it can't be made.
    """
    return schema_copy(run, plan, name) if leaves_rows_out(run) else restore_copy(run, backup, name)


def without_contents(backup: Backup) -> Backup:
    """What a manifest says of the schema alone, to compare such a copy with."""
    return replace(backup, row_counts={}, contents={}, samples={}, sequences={}, not_digested={})


def without_rows(run: Run, evidence: Evidence) -> Evidence:
    """The evidence of such a copy, with nothing that reads as if rows had been looked at."""
    way = evidence.way_back
    if way.tried and way.ran:
        reason = "; ".join(filter(None, (way.reason, "the copy had no rows")))
        way = replace(way, lossless=None, reason=reason)
    seen = evidence.comparison
    return replace(
        evidence,
        without_rows=True,
        not_looked_at=tuple(sorted(check.code for check in run.checks if check.needs_rows)),
        comparison=replace(seen, not_compared=(*seen.not_compared, NO_ROWS)),
        way_back=way,
        tables={},
        row_counts_before={},
        row_counts_after={},
        commit_points=tuple(replace(c, contents={}, changed=None) for c in evidence.commit_points),
        size_before=0,
        size_after=0,
        log_bytes=None,
    )


def find_without_rows(run: Run, evidence: Evidence) -> Iterator[Finding]:
    """CM606: an error where an approval is asked for, so that whoever gives it sees that somebody meant it, and why."""
    if not evidence.without_rows:
        return
    guarded = run.settings.production or asks(run)
    yield Finding(
        code="CM606",
        name="rehearsed-without-rows",
        severity=Severity.ERROR if guarded else Severity.WARNING,
        message=f"The dry run can't tell anything about {NO_ROWS}. The backup was not restored. Not looked at: "
        f"{', '.join(evidence.not_looked_at)}.",
        fix='Set dry-run = "backup", with a mask for what nobody may see (docs/dry-run.md). '
        'Where it is meant, acknowledge it with a reason: allow = ["CM606=why"].',
    )
