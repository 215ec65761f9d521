"""Which text each revision had when ci-migrate applied it to this target."""

from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Direction, TargetState


def applied_files(ledger: Ledger) -> dict[str, str]:
    """The sha256 of each applied revision's file, by revision; revisions taken back since are left out."""
    found: dict[str, str] = {}
    for run in reversed(ledger.runs(limit=1000)):
        if run.plan is None or run.state != TargetState.MIGRATED.value:
            continue
        for revision in run.plan.revisions:
            if run.plan.direction is Direction.UPGRADE:
                found[revision.id] = revision.sha256
            else:
                found.pop(revision.id, None)
    return found
