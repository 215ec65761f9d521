"""CM303: a revision commits in its middle, though the engine could roll all of it back."""

from collections.abc import Iterator, Sequence

from ci_migrate.checks.base import Check, Facts, with_evidence
from ci_migrate.databases.statements import first_word
from ci_migrate.model import Evidence, Finding, Severity, Statement

NO_COMMIT = (
    "SET", "RESET", "PRAGMA", "SHOW", "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "VACUUM",
    "ATTACH", "DETACH",
)  # fmt: skip
"""What is no commit point where each statement is committed by itself."""


@with_evidence
def find(check: Check, facts: Facts, evidence: Evidence) -> Iterator[Finding]:
    """A warning for each revision that sends something after it committed: that may fail, and the rest stays.

    One for all of them where none is in a transaction. Nothing to say where every DDL statement commits by itself
    (MySQL, MariaDB).
    """
    if not facts.transactional_ddl:
        return
    sent: dict[str, list[Statement]] = {}
    for statement in evidence.statements:
        if statement.revision and statement.file is not None:
            sent.setdefault(statement.revision, []).append(statement)
    splits = {revision: _last_before_a_split(revision, ran, evidence) for revision, ran in sent.items()}
    found = {revision: last for revision, last in splits.items() if last is not None}
    engine = facts.plan.identity.dialect
    alone = [revision for revision in found if _commits_each(sent[revision], revision, evidence, engine)]
    if len(alone) > 1 and all(revision in alone for revision, ran in sent.items() if len(ran) > 1):
        yield check.finding(
            f"No revision runs in a transaction ({', '.join(alone)}): env.py or its driver sets AUTOCOMMIT, and what "
            "ran stays if a statement fails.",
            fix="Take AUTOCOMMIT out of env.py, or write one statement per revision.",
        )
        return
    for revision, last in found.items():
        advice = (
            "Each of its statements is committed by itself: write one per revision."
            if revision in alone
            else "Put what runs outside of the transaction into a revision of its own."
        )
        yield check.finding(
            f"Revision {revision} commits in its middle: what it did up to line {last.line} stays if the rest fails.",
            fix=advice,
            revision=revision,
            file=last.file,
            line=last.line,
        )


def _last_before_a_split(revision: str, ran: Sequence[Statement], evidence: Evidence) -> Statement | None:
    """The last statement that is committed before others of its revision run."""
    splits = [
        point.statements
        for point in evidence.commit_points
        if point.revision == revision
        and not point.complete
        and any(s.position <= point.statements for s in ran)
        and any(s.position > point.statements for s in ran)
    ]
    if not splits:
        return None
    return max((s for s in ran if s.position <= splits[-1]), key=lambda s: s.position)


def _commits_each(ran: Sequence[Statement], revision: str, evidence: Evidence, engine: str) -> bool:
    """Whether each statement that changes something is followed by its own commit."""
    points = {p.statements for p in evidence.commit_points if p.revision == revision}
    return all(s.position in points for s in ran if first_word(s.sql, engine) not in NO_COMMIT)


CHECK = Check("CM303", "transaction-split", Severity.WARNING, measured=True, find=find)
