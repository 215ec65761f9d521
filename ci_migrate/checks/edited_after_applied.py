"""CM102: a revision script was edited after it was applied."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from ci_migrate.checks.base import Check, Facts
from ci_migrate.model import Finding, Severity


def find(check: Check, facts: Facts) -> Iterator[Finding]:
    """The file does something else than what this target's ledger recorded when it ran."""
    pending = {r.id for r in facts.plan.revisions}
    for revision, recorded in sorted(facts.applied_files.items()):
        now = facts.script_files.get(revision)
        if now is not None and now[1] != recorded and revision not in pending:
            yield check.finding(
                f"{now[0]} was edited after it was applied here: this database has what the old text did.",
                fix="Put the text back and write a new revision.",
                revision=revision,
                file=now[0],
                line=1,
            )


def accept_baselines(
    findings: Iterable[Finding], replaced: Mapping[str, Sequence[str]]
) -> tuple[Finding, ...]:
    """The findings, acknowledged where a script became the baseline of a squash: it is meant to be another text.

    Args:
        findings: of any check.
        replaced: by the id of each baseline, the revisions that were squashed into it.
    """

    def accept(one: Finding) -> Finding:
        count = len(replaced.get(one.revision or "", ()))
        if one.code != CHECK.code or one.acknowledged is not None or not count:
            return one
        return msgspec.structs.replace(
            one, acknowledged=f"its file says that it is a baseline, in the place of {count} revisions"
        )

    return tuple(map(accept, findings))


CHECK = Check("CM102", "edited-after-applied", Severity.ERROR, measured=False, find=find)
