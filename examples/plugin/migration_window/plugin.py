"""The hooks: what the entry point names. Each takes those of its arguments that it wants; none connects or writes."""

from collections.abc import Sequence
from datetime import UTC, datetime

from ci_migrate import hookimpl
from ci_migrate.checks.base import Check
from ci_migrate.model import Finding, Severity, StageResult
from ci_migrate.reports.base import Reporter
from migration_window.statements import StatementsReporter
from migration_window.tickets import TICKETS

FRIDAY = 4


@hookimpl
def ci_migrate_checks() -> Sequence[Check]:
    """Asked once a run. What a check finds can be graded and acknowledged by its code, as any other."""
    return [TICKETS]


@hookimpl
def ci_migrate_reporters() -> Sequence[Reporter]:
    """Its file is written with the others; `--report statements=PATH` puts it elsewhere."""
    return [StatementsReporter()]


@hookimpl
def ci_migrate_before_stage(stage: str) -> str | None:
    """The words of a veto, or None."""
    return veto(stage, datetime.now(UTC))


def veto(stage: str, now: datetime) -> str | None:
    """Apart from the hook, so that a test can say which day it is."""
    if stage == "migrate" and now.weekday() == FRIDAY and now.hour >= 12:
        return "it is Friday afternoon"
    return None


@hookimpl
def ci_migrate_after_stage(result: StageResult) -> Finding | None:
    """Looks at what a stage did, and may add a finding to the report."""
    if result.stage != "dry-run" or result.evidence is None or result.evidence.migrate_seconds < 600:
        return None
    return Finding(
        code="WIN002",
        name="long-migration",
        severity=Severity.INFO,
        message="The rehearsal took more than ten minutes: tell those on call.",
    )
