"""What somebody means: a finding that is acknowledged, for one revision or all, with a reason, and for how long."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from ci_migrate.errors import UsageError
from ci_migrate.model import Plan

_UNTIL = re.compile(r"(?s)(.*?);\s*until\b(.*)")


@dataclass(frozen=True)
class Acknowledgement:
    """One of them. `revision` None stands for all; `until` is the last day (UTC) on which it holds, None: for ever.

    `wrong` says why it counts for nothing although it is there; `file` is the revision script that it stands in.
    """

    code: str
    revision: str | None
    reason: str
    until: date | None = None
    wrong: str = ""
    file: str | None = None

    def fits(self, code: str, revision: str | None) -> bool:
        """Whether it is meant of a finding with this code in this revision."""
        return code == self.code and (self.revision is None or self.means(revision or ""))

    def means(self, revision: str) -> bool:
        """Whether its revision is this one: by the whole id; in settings and flags also by its beginning."""
        meant = self.revision
        if meant is None or meant == revision or self.file is not None or not revision.startswith(meant):
            return meant == revision
        # as Alembic, which takes no short id by a part of it; and r1 was not said of r10 and r100
        numbered_alike = len(meant) < 4 and meant[-1].isdigit() and revision[len(meant)].isdigit()
        return len(revision) > 3 and not numbered_alike

    def over(self, today: date) -> str:
        """Why it counts no more, in words; "" where it does."""
        if self.wrong:
            return f"It is acknowledged ({self.reason}), but {self.wrong}."
        if self.until is not None and today > self.until:
            return f"It was acknowledged until {self.until} ({self.reason}): that day is over."
        return ""

    @property
    def words(self) -> str:
        """The reason, and the last day."""
        return self.reason if self.until is None else f"{self.reason} (until {self.until})"

    @property
    def place(self) -> str:
        """`CM202@3f2a`, as it is written in the settings."""
        return self.code if self.revision is None else f"{self.code}@{self.revision}"


def parse_expiry(text: str) -> tuple[str, date | None]:
    """`moved to profile; until 2027-01-31` as the reason and the last day.

    Raises:
        ValueError: after `; until` stands no date, or before it no reason.
    """
    found = _UNTIL.fullmatch(text.strip())
    if found is None:
        return text.strip(), None
    if not found[1].strip() or not re.fullmatch(r"\s*\d{4}-\d{2}-\d{2}\s*", found[2]):
        raise ValueError
    return found[1].strip(), date.fromisoformat(found[2].strip())


def of_settings(allow: Sequence[str]) -> Iterator[Acknowledgement]:
    """Those of the setting and the flag `allow`: `CM202@3f2a=REASON`, `CM202=REASON; until 2027-01-31`.

    Raises:
        UsageError: one has no reason, or no date after `; until`.
    """
    for text in allow:
        place, _, why = text.partition("=")
        code, _, revision = place.partition("@")
        try:
            reason, until = parse_expiry(why)
        except ValueError as error:
            raise UsageError(
                f"--allow {text}: after '; until' belongs the last day on which it holds, and before it the reason.",
                hint=f"For example: {place}=moved to profile; until 2027-01-31",
            ) from error
        if not reason:
            raise UsageError(f"--allow {text}: it needs a reason, as in {code}@REVISION='moved to profile'.")
        yield Acknowledgement(code.strip(), revision.strip() or None, reason, until)


def of_revisions(plan: Plan) -> Iterator[Acknowledgement]:
    """Those of the plan's revision files: `ci_migrate = {"allow": {"CM202": "REASON; until 2027-01-31"}}`."""
    for r in plan.revisions:
        for code, why in r.allow.items():
            try:
                reason, until, wrong = *parse_expiry(why), ""
            except ValueError:
                reason, until = why.strip(), None
                wrong = "'; until' needs a reason before it and a date such as 2027-01-31 after it"
            if reason:
                yield Acknowledgement(code, r.id, reason, until, wrong, r.file)
