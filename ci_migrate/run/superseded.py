"""A run that did not end, and after which another one migrated: nothing that is there now proves what it did."""

from ci_migrate.errors import ExitCode
from ci_migrate.model import Outcome, RunRecord, StageResult, TargetState
from ci_migrate.run.run import LedgerRun


def close_superseded(run: LedgerRun, record: RunRecord, later: RunRecord, *, only_show: bool) -> StageResult:
    """Close a run as one of which nothing is proved; with `only_show` say that this would be done.

    A former version looked for it by the target's name, and let other runs migrate once that had changed.
    """
    words = (
        f"Run {record.run_id} did not end, and run {later.run_id} of {later.started:%Y-%m-%d %H:%M} UTC changed the "
        "database after it: what is there now proves nothing of the first one. Rows may have been changed twice."
    )
    if record.backup_id is not None:
        words += f" The data before both: ci-migrate backup show {record.backup_id}"
    if only_show:
        words += "\nRepair would close it as not proved, and change nothing."
        return StageResult(stage="repair", outcome=Outcome.SKIPPED, message=words, state=TargetState.UNKNOWN)
    state = f"not proved: {later.run_id} came after it"
    run.ledger.finish_run(record.run_id, exit_code=ExitCode.FAILED_DIRTY, state=state, needs_repair=False)
    run.ledger.audit("repaired", record.run_id, outcome=Outcome.FAILED.value, words=words)
    words += (
        "\nIt is closed as not proved; nothing was changed. Compare the rows, then: "
        f"ci-migrate run --target {run.settings.target}"
    )
    return StageResult(
        stage="repair",
        outcome=Outcome.FAILED,
        message=words,
        exit_code=int(ExitCode.FAILED_DIRTY),
        state=TargetState.UNKNOWN,
    )
