"""CM603: a second rehearsal sent other statements than the first one."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.model import Evidence, Finding, Severity


@with_evidence
def find(check: Check, _facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """An error: the migration itself would be stopped at the first statement that was not rehearsed."""
    found = evidence.divergence
    if found is not None:
        yield check.finding(
            f"Two rehearsals did not do the same: {found.words}.",
            fix="Take what differs (time, random numbers, the order of a set, a query without ORDER BY) out of what "
            "the revision decides by.",
            revision=found.revision,
            file=found.file,
            line=found.line,
        )


CHECK = Check("CM603", "non-deterministic", Severity.ERROR, measured=True, find=find)
