"""The contract of a check, and what it may look at."""

import pickle
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial, wraps
from pathlib import Path

import msgspec

from ci_migrate.checks.acknowledged import Acknowledgement, of_revisions, of_settings
from ci_migrate.databases.base import Database
from ci_migrate.databases.weak_spots import WeakSpot
from ci_migrate.model import Direction, Evidence, Finding, Plan, Replacement, RowCount, Severity, now
from ci_migrate.timeouts import HOOK_TIMEOUT, call_with_timeout

OTHER_CODES = ("CM103", "CM104", "CM107", "CM108", "CM606", "CM901")
"""Of findings that stages add, without a check of their own."""

FIRM = ("CM606",)
"""Codes that no setting makes lighter where they are errors: a reason acknowledges them, and the approver sees it."""


@dataclass(frozen=True)
class Facts:
    """What checks look at. `evidence` is None in the stage `check`.

    `script_files` has the sha256 and the relative file of every revision script that is there; `applied_files` the
    sha256 of each revision as it was when ci-migrate applied it, without those that were only formatted since;
    `target_rows` the rows per table of the target, as counted for the backup. `unstamped_tables` is how many tables
    stand in a database without version rows, `lost_history` says that a run had left some there; `outside` says in
    words what is not as the run `outside_since` left it, `not_as_it_was` what a downgrade left otherwise than it was
    at its destination. `acknowledgements` are all that there are, `known_codes` and `known_revisions` what they may
    name. `lock_budget` is the setting, in seconds; `transactional_ddl` is the engine's capability. `copies` are the
    databases that the checks of this moment look at: "before", restored and not migrated, and "after", migrated; for
    reading only. `sequences` says how far each was when the backup was taken, `large_objects` how many the copy had
    before and has after, `weak_spots` what the migration made of that kind. What the settings ask for, in words:
    `drift` what differs between the models and the migrated copy, `failed_assertions`, and why the tests of the
    `previous_release` failed on it. `squawk` is the program.
    """

    plan: Plan
    evidence: Evidence | None = None
    script_files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    applied_files: Mapping[str, str] = field(default_factory=dict)
    target_rows: Mapping[str, RowCount] = field(default_factory=dict)
    require_downgrade: bool = False
    lock_budget: float = 3.0
    transactional_ddl: bool = True
    unstamped_tables: int = 0
    lost_history: str = ""
    outside: Sequence[str] = ()
    outside_since: str = ""
    not_as_it_was: Sequence[str] = ()
    acknowledgements: Sequence[Acknowledgement] = ()
    known_codes: Sequence[str] = ()
    known_revisions: Sequence[str] = ()
    copies: Mapping[str, Database] = field(default_factory=dict)
    sequences: Mapping[str, str] = field(default_factory=dict)
    large_objects: tuple[int, int] = (0, 0)
    weak_spots: Sequence[WeakSpot] = ()
    drift: Sequence[str] = ()
    failed_assertions: Sequence[str] = ()
    previous_release: str = ""
    squawk: Path | None = None


@dataclass(frozen=True)
class Check:
    """One check: a code of its own, a name, a severity, and a function that finds.

    `measured` checks run in the dry run and get evidence; the others run in the stage `check`. `find` yields
    Findings (see `Check.finding`); the core applies severities and acknowledgements. `copies` says which of
    `Facts.copies` it looks at: those with "before" alone run ahead of the migration, those with "after" once it ran,
    ahead of the rollback path; for both a second copy is restored. One that needs `rows`, or looks at copies, is
    left out of a dry run without rows.
    """

    code: str
    name: str
    severity: Severity
    measured: bool
    find: Callable[["Check", Facts], Iterable[Finding]]
    copies: frozenset[str] = frozenset()
    rows: bool = False

    @property
    def needs_rows(self) -> bool:
        """Whether it would find nothing where there are no rows, and say so as if it had looked."""
        return self.measured and (self.rows or bool(self.copies))

    def finding(
        self,
        message: str,
        *,
        fix: str = "",
        example: str = "",
        replacement: Replacement | None = None,
        revision: str | None = None,
        file: str | None = None,
        line: int | None = None,
        severity: Severity | None = None,
    ) -> Finding:
        """A finding of this check. `message` says what is found, `fix` what to do, `example` as code to paste."""
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity or self.severity,
            message=message,
            fix=fix,
            example=example,
            replacement=replacement,
            revision=revision,
            file=file,
            line=line,
        )


Find = Callable[[Check, Facts], Iterable[Finding]]


def with_evidence(find: Callable[[Check, Facts, Evidence], Iterable[Finding]]) -> Find:
    """The function of a measured check that is given the evidence; without a dry run it finds nothing."""

    @wraps(find)
    def find_where_measured(check: Check, facts: Facts) -> Iterable[Finding]:
        return () if facts.evidence is None else find(check, facts, facts.evidence)

    return find_where_measured


@dataclass(frozen=True)
class Grading:
    """What settings, flags and revision files say about findings, and the day on which they say it.

    `severities` maps a code to `error`, `warning`, `info` or `ignore`.
    """

    severities: Mapping[str, str] = field(default_factory=dict)
    allowed: Sequence[Acknowledgement] = ()
    today: date = field(default_factory=lambda: now().date())

    @classmethod
    def of(cls, severities: Mapping[str, str], allow: Sequence[str], plan: Plan) -> "Grading":
        """Grading from the settings `checks` and `allow` and from the plan's revisions.

        Raises:
            UsageError: an entry of `allow` has no reason, or no date after `; until`.
        """
        # what a revision's file says is meant of its upgrade
        in_files = of_revisions(plan) if plan.direction is Direction.UPGRADE else ()
        return cls(severities=dict(severities), allowed=(*of_settings(allow), *in_files))

    def apply(self, finding: Finding) -> Finding | None:
        """The finding as it stands in the report; None where its code is ignored."""
        firm = finding.code in FIRM and finding.severity is Severity.ERROR
        grade = None if firm else self.severities.get(finding.code)
        if grade == "ignore":
            return None
        if grade is not None:
            finding = msgspec.structs.replace(finding, severity=Severity(grade))
        fitting = [one for one in self.allowed if one.fits(finding.code, finding.revision)]
        for one in fitting:
            if not one.over(self.today):
                return msgspec.structs.replace(finding, acknowledged=one.words)
        if fitting:
            over = fitting[0].over(self.today)
            return msgspec.structs.replace(finding, message=f"{finding.message} {over}")
        return finding


def _list(check: Check, facts: Facts) -> list[Finding]:
    return list(check.find(check, facts))


def run_checks(
    checks: Iterable[Check],
    facts: Facts,
    grading: Grading,
    *,
    measured: bool,
    timeout: float = HOOK_TIMEOUT,
    built_in: Collection[Check] = (),
) -> tuple[Finding, ...]:
    """Run all checks of one kind, sorted by code.

    One that raises, takes longer than `timeout` seconds, or changes what it looks at spoils only itself: each gets
    facts of its own. Those in `built_in` share theirs, all of which is typed as what can't be changed.
    """
    checks = sorted(checks, key=lambda c: c.code)
    codes = (*(c.code for c in checks), *OTHER_CODES)
    facts = replace(facts, acknowledgements=grading.allowed, known_codes=codes)
    # there are dicts within the facts, the reasons of acknowledged findings among them; a deepcopy for each check takes
    # a tenth of a long history's dry run
    plain = pickle.dumps(replace(facts, copies={}))
    shared: Facts = pickle.loads(plain)  # noqa: S301 - our own

    def found() -> Iterator[Finding]:
        for check in checks:
            # checks run where their copies are: before and after the migration, and once more where both are wanted
            if check.measured is not measured or check.copies != frozenset(facts.copies):
                continue
            if check.needs_rows and facts.evidence is not None and facts.evidence.without_rows:
                continue
            try:
                own = shared if any(check is one for one in built_in) else pickle.loads(plain)  # noqa: S301 - our own
                looked_at = replace(own, copies=facts.copies)
                seen = call_with_timeout(partial(_list, check, looked_at), timeout)
                yield from [f for f in map(grading.apply, seen) if f is not None]
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's check may raise anything
                yield check.finding(
                    f"The check {check.code} could not tell: {type(error).__name__}: {error}",
                    severity=Severity.ERROR,
                )

    return tuple(found())
