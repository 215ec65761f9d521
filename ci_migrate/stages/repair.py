"""repair: says what state the target is in, brings it to a known good one, and proves it."""

import time
from contextlib import ExitStack, suppress

from msgspec.structs import replace as change

from ci_migrate.approval.requester import starters
from ci_migrate.errors import CiMigrateError, ExitCode, LockedError, NotApprovedError, RefusedError
from ci_migrate.model import (
    Comparison,
    Diagnosis,
    NextCommand,
    Outcome,
    Progress,
    Purpose,
    Report,
    StageResult,
    TargetState,
    repair_subject,
)
from ci_migrate.repairs.base import Repair, Repaired
from ci_migrate.repairs.choice import describe_doing, explain_none, find_fitting, list_next_commands
from ci_migrate.repairs.context import RepairContext
from ci_migrate.repairs.foreign_ddl import find_foreign, with_foreign
from ci_migrate.run.authorization import ACCEPT_FOREIGN, FORWARD, Intent, authorize
from ci_migrate.run.run import Run, WritingRun

RELOCK_SECONDS = 5.0
"""How long a run lock that was lost is tried for before a repair."""

ORPHAN_SECONDS = 30.0
"""How long a session of a child that died is waited for: what it is doing could still be committed."""

HURRIED_SECONDS = 3.0
"""As long after a signal: a CI kills within ten seconds, and the report must be written by then."""


def run_stage(run: WritingRun, report: Report) -> StageResult:
    """Lock again, diagnose, choose the first repair that fits, mend, prove."""
    if run.interrupt.silent:
        return _out_of_reach(run)
    with ExitStack() as stack:
        why_not = _lock_again(run, stack) or _wait_for_orphans(run)
        context = RepairContext.of(run, report)
        if why_not:
            return _give_up(context, why_not)
        try:
            accepted = accept_foreign(context) if run.accept_foreign else ()
            context = RepairContext.of(run, report) if accepted else context
            diagnosis = context.diagnosis
            repaired, words = mend_first(context)
        except NotApprovedError as error:
            return _give_up(context, f"{error.what}\n{error.hint}", denied=True)
        if repaired is not None and repaired.goes_on:
            context = RepairContext.of(run, report)  # the target stands somewhere else now
            with suppress(NotApprovedError):  # then it stays where it is
                then, told = mend_first(context)
                repaired, words = (repaired, words) if then is None else (then, told)
        if repaired is None or repaired.state is TargetState.UNKNOWN:
            return _give_up(context, words)
        proof = repaired.proof
        if repaired.state is TargetState.AS_BEFORE and not proof.compared:
            proof = context.compare_with_before()
            if proof.wrong:
                return _give_up(context, f"{words} But: {'; '.join(proof.wrong[:3])}.")
        return _conclude(run, diagnosis, repaired, proof, accepted)


def _out_of_reach(run: WritingRun) -> StageResult:
    """Nobody can be asked, so nothing is mended and nothing is said of the target's state."""
    words = f"{run.interrupt.silent}, so nobody can say what the migration left"
    command = f"ci-migrate repair --target {run.settings.target}"
    why = "once the database answers again: says what is there, and mends it"
    return StageResult(
        stage="repair",
        outcome=Outcome.FAILED,
        message=f"Nothing is mended: {words}.",
        exit_code=int(ExitCode.FAILED_DIRTY),
        state=TargetState.UNKNOWN,
        diagnosis=Diagnosis(
            found=Progress.UNKNOWN, words=words, commands=(NextCommand(command=command, why=why),)
        ),
    )


def accept_foreign(context: RepairContext) -> tuple[str, ...]:
    """Take what somebody else changed in the schema as given, and say it; in words, () for nothing.

    From then on it is part of what the run began with, for repairs and for whoever compares later.

    Raises:
        NotApprovedError: it takes an approval, and there is none of this.
        RefusedError: the schema changed once more.
    """
    run, found = context.run, context.diagnosis.foreign
    record = run.ledger.run(run.subject)
    if not found or record is None or context.evidence is None:
        return ()
    permit = authorize(run, Intent.accept_foreign(run, record, found))
    permit.require(Purpose.REPAIR, subject=repair_subject(run.subject, ACCEPT_FOREIGN))
    schema = context.read_schema()
    foreign = find_foreign(context.before, schema, context.evidence)
    if tuple(foreign.values()) != found:
        raise RefusedError("The schema changed again while that was accepted: look at it again.")
    by = sorted(starters(run.settings.environ))
    run.ledger.audit(
        "foreign changes accepted", run.subject, changes=list(found), by=by, approvalId=permit.approval_id
    )
    run.ledger.update_run(run.subject, before=with_foreign(context.before, schema, foreign))
    for words in found:
        run.tell(f"accepted as somebody else's: {words}")
    return found


def _lock_again(run: WritingRun, stack: ExitStack) -> str:
    """Make sure that nobody else mends or migrates: a lock that was lost is taken anew; why that can't be, in words."""
    try:
        run.lock.check()
    except LockedError as error:
        gone = error.what
    else:
        return ""
    again = ExitStack()
    try:
        again.enter_context(run.database.lock(run.id, RELOCK_SECONDS))
    except CiMigrateError as error:
        return f"{gone} Nothing is mended without it: {error.what}"
    stack.callback(_unlock, again)
    record = run.ledger.run(run.subject)
    if record is None or not record.needs_repair:
        return f"{gone} Somebody else has repaired this run since."
    return ""


def _unlock(lock: ExitStack) -> None:
    with suppress(LockedError):  # lost once more: what was mended is proved all the same
        lock.close()


def _wait_for_orphans(run: Run) -> str:
    """Wait until no session of this run's children is left; why it is in vain, in words."""
    interrupted = run.interrupt.number is not None
    deadline = time.monotonic() + (HURRIED_SECONDS if interrupted else ORPHAN_SECONDS)
    while orphans := run.database.sessions_of(f"ci-migrate/{run.id}"):
        if time.monotonic() >= deadline:
            return f"A session of this run is still at work in the database: {orphans[0]}."
        time.sleep(0.2)
    return ""


def mend_first(context: RepairContext) -> tuple[Repaired | None, str]:
    """What the first permitted repair did that fits (None: none does), and in words how that ended.

    The words begin with why the first one that seemed to fit did nothing. Who was interrupted gets nothing written:
    what is there is proved, no more.

    Raises:
        NotApprovedError: what fits is not approved; nothing was done.
    """
    record = context.run.ledger.run(context.run.subject)
    assert record is not None  # its context was made of it
    refused, denied = "", None
    fitting = find_fitting(context)
    does = describe_doing(context, fitting)
    for repair, plan in fitting:
        if repair.approval and context.run.interrupt.number is not None:
            refused = refused or "Interrupted: nothing is mended. "
            continue
        try:
            permit = authorize(context.run, Intent.repair(context.run, record, repair.approval, does))
        except NotApprovedError as error:
            denied = denied or error
            if repair.approval == FORWARD:  # somebody asked for this one: no other will do
                break
            continue
        context.run.tell(f"{context.diagnosis.words}; {plan}")
        try:
            repaired = _mend(repair, context.with_permit(permit))
        except RefusedError as error:  # nothing was done: the next one may fit
            refused = refused or f"{error.what} "
            context.run.tell(f"the repair {repair.name} does not fit after all: {error.what}")
        else:
            return repaired, f"{refused}{repaired.words}"
    if denied is not None:
        raise denied
    return None, f"{refused}{explain_none(context)}"


def _mend(repair: Repair, context: RepairContext) -> Repaired:
    try:
        return repair.mend(context)
    except RefusedError:
        raise
    except CiMigrateError as error:
        words = error.what
    except Exception as error:  # noqa: BLE001 - from migrate to the end of repair nothing gets in between
        words = f"{type(error).__name__}: {error}"
    return Repaired(state=TargetState.UNKNOWN, words=f"The repair {repair.name} failed: {words}")


def _give_up(context: RepairContext, words: str, *, denied: bool = False) -> StageResult:
    """A target of which nothing is proved: what state it is in, and what a person can type.

    `denied`: what would fit is not approved. Within the run that failed that is not what matters most.
    """
    asked = context.run.subject != context.run.id
    diagnosis = change(context.diagnosis, commands=list_next_commands(context))
    return StageResult(
        stage="repair",
        outcome=Outcome.FAILED,
        message=f"{words}\nState: {diagnosis.words}.",
        exit_code=int(ExitCode.NOT_APPROVED if denied and asked else ExitCode.FAILED_DIRTY),
        state=TargetState.UNKNOWN,
        diagnosis=diagnosis,
    )


def _conclude(
    run: WritingRun,
    diagnosis: Diagnosis,
    repaired: Repaired,
    proof: Comparison,
    accepted: tuple[str, ...],
) -> StageResult:
    """What was proved is written down: the run needs no repair any more."""
    words = f"accepted as somebody else's: {'; '.join(accepted)}"
    identity = run.database.identity()
    if run.ledger.identity_differences(identity):  # a restore by rename gives it another oid
        run.ledger.pin_identity(identity, replace=True)
    run.ledger.update_run(run.subject, needs_repair=False)
    return StageResult(
        stage="repair",
        outcome=Outcome.PASSED,
        message=f"{repaired.words}\n{words.capitalize()}." if accepted else repaired.words,
        state=repaired.state,
        proof=proof.plus(Comparison(exceptions=(words,))) if accepted else proof,
        diagnosis=diagnosis,
    )
