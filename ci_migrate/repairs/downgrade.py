"""Revisions committed before the failing one: kept, or taken back by the downgrade that the dry run proved."""

from ci_migrate.errors import RefusedError
from ci_migrate.migrations.requests import RunRequest, make_table, migrate_request
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import Direction, NextCommand, Progress, TargetState, repair_subject, show_heads
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.context import AS_REHEARSED, RepairContext
from ci_migrate.repairs.diagnosis import revisions_done
from ci_migrate.run.heartbeat import Heartbeat
from ci_migrate.run.inputs import expected_inputs
from ci_migrate.run.run import child_setup


def fits_keep(context: RepairContext) -> str | None:
    """`on-failure = "keep"`: the good prefix stays."""
    if context.diagnosis.found is Progress.COMMITTED and context.run.settings.on_failure == "keep":
        return "keep the revisions that were committed"
    return None


def mend_keep(context: RepairContext) -> Repaired:
    """Nothing is done; the commit point is the proof."""
    at = show_heads(context.heads_at(context.diagnosis.commit_point))
    return Repaired(
        state=TargetState.KEPT_PREFIX,
        words=f"The target is at {at}, with the schema of the dry run there; what failed after it was rolled back "
        '(on-failure = "keep").',
        proof=AS_REHEARSED,
    )


def offer_keep(context: RepairContext) -> NextCommand | None:
    """That what was committed may stay."""
    if context.diagnosis.found is not Progress.COMMITTED or fits_keep(context):
        return None
    target = context.run.settings.target
    return NextCommand(
        command=f"CI_MIGRATE_ON_FAILURE=keep ci-migrate repair --target {target}",
        why="keeps the revisions that were committed",
    )


def fits_back(context: RepairContext) -> str | None:
    """`on-failure = "back"` and the dry run proved that going back loses nothing."""
    if (
        context.diagnosis.found is Progress.COMMITTED
        and context.run.settings.on_failure == "back"
        and context.evidence is not None
        and context.evidence.way_back.proven
        and not context.changed_file
    ):
        return "downgrade the revisions that were committed"
    return None


def explain_back(context: RepairContext) -> str:
    """Why the downgrade that was rehearsed is not run."""
    wanted = context.diagnosis.found is Progress.COMMITTED and context.run.settings.on_failure == "back"
    changed = context.changed_file if wanted else ""
    return f"No downgrade is run: {changed} is not the file that was rehearsed." if changed else ""


def mend_back(context: RepairContext) -> Repaired:
    """Downgrade from the commit point, then prove that the target is as before."""
    ended = downgrade(context)
    if not ended.ok:
        return Repaired(state=TargetState.UNKNOWN, words=f"The downgrade failed: {ended.words}.")
    return Repaired(state=TargetState.AS_BEFORE, words="The revisions that were committed are downgraded.")


def downgrade(context: RepairContext) -> Ended:
    """Run the downgrades from the commit point where the target stands to where it began.

    Raises:
        RefusedError: it is not known where it stands.
    """
    run, evidence, commit_point = context.run, context.evidence, context.diagnosis.commit_point
    if evidence is None or commit_point is None:
        raise RefusedError("It is not known which revisions are to be downgraded.")
    heads = context.heads_at(commit_point)
    done = revisions_done(context.plan, evidence, commit_point)
    request = RunRequest(
        setup=child_setup(
            run,
            "repair",
            direction=Direction.DOWNGRADE,
            inputs=expected_inputs(run.settings, context.plan, evidence),
        ),
        contexts=tuple(make_table(c, heads[n], done[n][::-1]) for n, c in enumerate(context.plan.contexts)),
    )
    request = migrate_request(
        context.permit_for("downgrade"), repair_subject(run.subject, "downgrade"), request
    )
    heart = Heartbeat(run, run.database)
    return run.workers.run(request, heart.around(lambda _event: None), tick=heart.beat)


KEEP = Repair("keep-prefix", 30, fits_keep, mend_keep, offer=offer_keep)
BACK = Repair("downgrade", 40, fits_back, mend_back, approval="downgrade", explain=explain_back)
