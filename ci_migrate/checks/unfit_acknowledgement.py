"""CM106: an acknowledgement that fits nothing."""

from collections.abc import Collection, Iterator, Sequence

from ci_migrate.checks.acknowledged import Acknowledgement
from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """Codes that no check has, and revisions that no script has: misspelt, or left over."""
    for one in facts.acknowledgements:
        if facts.known_codes and one.code not in facts.known_codes:
            why = f"no check has the code {one.code}"
        elif one.revision and facts.known_revisions and not any(map(one.means, facts.known_revisions)):
            why = f"no revision script has an id that starts with {one.revision}"
        else:
            continue
        yield check.finding(
            f"The acknowledgement {one.place} ({one.reason}) fits nothing: {why}.",
            fix="Correct it, or take it out.",
            revision=one.revision if one.file else None,
            file=one.file,
            line=1 if one.file else None,
        )


def find_unused(
    acknowledgements: Sequence[Acknowledgement], findings: Sequence[Finding], pending: Collection[str]
) -> Iterator[Finding]:
    """What is acknowledged of a pending revision and was not found in it, all checks being done.

    No more than a remark: where another database has rows, this one may have none.
    """
    for one in acknowledgements:
        meant = next(filter(one.means, pending), None)
        if meant is None:
            continue
        if not any(one.fits(f.code, f.revision) for f in findings):
            yield CHECK.finding(
                f"{one.place} is acknowledged ({one.reason}), and here nothing of that kind was found.",
                revision=meant,
                file=one.file,
                line=1 if one.file else None,
                severity=Severity.INFO,
            )


CHECK = Check("CM106", "unfit-acknowledgement", Severity.WARNING, measured=False, find=find)
