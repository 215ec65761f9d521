"""What the stages did, and what that means for the exit code."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from ci_migrate.errors import ExitCode
from ci_migrate.model.approvals import Approval
from ci_migrate.model.backup import Backup
from ci_migrate.model.base import Frozen
from ci_migrate.model.comparison import Comparison
from ci_migrate.model.evidence import Evidence, Reused
from ci_migrate.model.finding import Finding, Severity
from ci_migrate.model.plan import Plan
from ci_migrate.model.state import Diagnosis, TargetState


class Outcome(StrEnum):
    """How a stage ended. JUnit keeps failed and error apart."""

    PASSED = "passed"
    FAILED = "failed"  # the thing under test said no
    ERROR = "error"  # machinery or a plugin broke
    SKIPPED = "skipped"


class StageResult(Frozen, frozen=True, kw_only=True):
    """What one stage did. `message` has at most three lines; `details` is the long text for reports.

    `sql` is the statement that failed, without its bound values. `proof` is how `state` is known. `reused` is set where
    backup or evidence are an earlier run's. `code` and `fix` are those of the error that ended the stage, "" where
    there was none.
    """

    stage: str
    outcome: Outcome
    seconds: float = 0.0
    message: str = ""
    details: str = ""
    file: str | None = None
    line: int | None = None
    sql: str = ""
    findings: tuple[Finding, ...] = ()
    exit_code: int | None = None  # of the error that ended the stage, where there was one
    code: str = ""
    fix: str = ""
    state: TargetState | None = None
    proof: Comparison | None = None
    plan: Plan | None = None
    backup: Backup | None = None
    evidence: Evidence | None = None
    reused: Reused | None = None
    approval: Approval | None = None
    diagnosis: Diagnosis | None = None


class Report(Frozen, frozen=True, kw_only=True):
    """A finished run, or one so far. Reporters are pure functions of it.

    `folder` is the project's, from the root of the repository and POSIX; "" where it is the root. `options` are what
    next commands repeat of this one (`-c FILE`).
    """

    run_id: str
    command: str
    target: str
    place: str = ""
    folder: str = ""
    options: tuple[str, ...] = ()
    started: datetime
    version: str
    seconds: float = 0.0
    results: tuple[StageResult, ...] = ()
    warnings: tuple[str, ...] = ()
    interrupted: int | None = None  # 130 or 143

    def plus(self, result: StageResult) -> "Report":
        """This report with one more result."""
        return msgspec.structs.replace(self, results=(*self.results, result))

    def result(self, stage: str) -> StageResult | None:
        """The result of a stage, if it is there."""
        return next((r for r in self.results if r.stage == stage), None)

    def _last(self, field: str) -> Any:
        return next(
            (getattr(r, field) for r in reversed(self.results) if getattr(r, field) is not None), None
        )

    @property
    def plan(self) -> Plan | None:
        """The plan, as soon as a stage has made it."""
        plan: Plan | None = self._last("plan")
        return plan

    @property
    def backup(self) -> Backup | None:
        """The backup that this run took or reused."""
        backup: Backup | None = self._last("backup")
        return backup

    @property
    def evidence(self) -> Evidence | None:
        """What the dry run measured."""
        evidence: Evidence | None = self._last("evidence")
        return evidence

    @property
    def approval(self) -> Approval | None:
        """The approval that this run reserved."""
        approval: Approval | None = self._last("approval")
        return approval

    @property
    def diagnosis(self) -> Diagnosis | None:
        """What the repair found."""
        diagnosis: Diagnosis | None = self._last("diagnosis")
        return diagnosis

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of all stages, worst first, then by code and revision."""
        order = list(Severity)
        found = [f for r in self.results for f in r.findings]
        return tuple(
            sorted(found, key=lambda f: (not f.refuses, order.index(f.severity), f.code, f.revision or ""))
        )

    @property
    def first_bad(self) -> StageResult | None:
        """The first stage that did not pass, which is the one to show first."""
        return next((r for r in self.results if r.outcome in (Outcome.FAILED, Outcome.ERROR)), None)

    @property
    def state(self) -> TargetState:
        """What is known about the target at the end."""
        state: TargetState | None = self._last("state")
        return state or TargetState.UNTOUCHED

    @property
    def proof(self) -> Comparison:
        """How `state` is known: what was compared for it, and what was not."""
        told = next((r for r in reversed(self.results) if r.state is not None), None)
        return (told.proof if told is not None else None) or Comparison()

    @property
    def exit_code(self) -> ExitCode:
        """The one place where an exit code is decided."""
        bad = self.first_bad
        # first, whatever else went wrong: CI systems know a job that was ended by 130 and 143
        if self.interrupted is not None:
            return ExitCode(self.interrupted)
        if bad is None:
            return ExitCode.OK
        # from the first write on only the state counts: the error's own code says nothing of the database
        if self.result("migrate") is not None and self.state is not TargetState.UNTOUCHED:
            return ExitCode.FAILED_RESTORED if self.state is TargetState.AS_BEFORE else ExitCode.FAILED_DIRTY
        if bad.exit_code is not None:
            return ExitCode(bad.exit_code)
        return ExitCode.REFUSED if bad.outcome is Outcome.FAILED else ExitCode.COULD_NOT_TELL
