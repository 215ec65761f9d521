"""CM303: a revision commits in its middle, though the engine could roll all of it back."""

from collections.abc import Iterator

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.model import Evidence, Finding, Severity


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """A warning for each revision that sends something after it committed: that may fail, and the rest stays.

    Nothing to say where every DDL statement commits by itself (MySQL, MariaDB).
    """
    if not facts.transactional_ddl:
        return
    for revision in dict.fromkeys(
        r.revision for r in evidence.commit_points if r.revision and not r.complete
    ):
        ran = [s for s in evidence.statements if s.revision == revision and s.file is not None]
        splits = [
            commit_point.statements
            for commit_point in evidence.commit_points
            if commit_point.revision == revision
            and not commit_point.complete
            and any(s.position <= commit_point.statements for s in ran)
            and any(s.position > commit_point.statements for s in ran)
        ]
        if not splits:
            continue
        last = max((s for s in ran if s.position <= splits[-1]), key=lambda s: s.position)
        yield check.finding(
            f"Revision {revision} commits in its middle: what it did up to line {last.line} stays if the rest fails. "
            "Put what runs in autocommit_block() into a revision of its own.",
            revision=revision,
            file=last.file,
            line=last.line,
        )


CHECK = Check("CM303", "transaction-split", Severity.WARNING, measured=True, find=find)
