"""WIN001: a revision whose message names no ticket."""

import re
from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """One finding for each revision, so that each can be acknowledged by itself."""
    for revision in facts.plan.revisions:
        if not re.search(r"\b[A-Z]+-\d+\b", revision.message):
            yield check.finding(
                f"No ticket in the message: {revision.message!r}. Write it as SHOP-123: {revision.message}",
                revision=revision.id,
                file=revision.file,
                line=1,
            )


TICKETS = Check("WIN001", "no-ticket", Severity.ERROR, measured=False, find=find)
