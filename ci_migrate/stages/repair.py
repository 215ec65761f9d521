"""repair: says what state the target is in, brings it to a known good one, and proves it."""

import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import cache

from ci_migrate.backups.restore import restore
from ci_migrate.errors import CiMigrateError, ExitCode, LockedError, RefusedError
from ci_migrate.migrations.requests import Mode, RunRequest, make_table
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import (
    Backup,
    Diagnosis,
    Direction,
    Evidence,
    Fingerprint,
    Outcome,
    Plan,
    Report,
    StageResult,
    TargetState,
)
from ci_migrate.repairs.additions import Additions
from ci_migrate.repairs.base import Repair, Repaired, Situation
from ci_migrate.repairs.diagnosis import revisions_done
from ci_migrate.repairs.foreign_writes import others_wrote, others_wrote_to, rows_loss
from ci_migrate.repairs.journalled import diagnosis_of
from ci_migrate.repairs.restore_rows import journal_restore, restore_rows
from ci_migrate.repairs.restore_tables import half_done
from ci_migrate.repairs.resume import resume, why_not
from ci_migrate.repairs.undo import UNDONE
from ci_migrate.repairs.undo_additions import Undo
from ci_migrate.run.authorization import ways_back
from ci_migrate.run.heartbeat import Heartbeat
from ci_migrate.run.run import Run, bare_schema, child_setup, heads_of, show_heads
from ci_migrate.run.since_last_run import definitions_of, schema_diff

RELOCK_SECONDS = 5.0
"""How long a run lock that was lost is tried for before a repair."""

ORPHAN_SECONDS = 30.0
"""How long a session of a child that died is waited for: what it is doing could still be committed."""


def run_stage(run: Run, report: Report) -> StageResult:
    """Diagnose, choose the first repair that fits, mend, prove."""
    with ExitStack() as stack:
        why = _locked_again(run, stack)
        if why:
            return _dirty(situation_of(run, report), why)
        return _repair(run, report)


def _locked_again(run: Run, stack: ExitStack) -> str:
    """Make sure that nobody else mends or migrates: a lock that was lost is taken anew; why that can't be, in words."""
    assert run.ledger is not None
    try:
        if run.lock is not None:
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
    stack.callback(_freed, again)
    record = run.ledger.run(run.subject)
    if record is None or not record.needs_repair:
        return f"{gone} Somebody else has repaired this run since."
    return ""


def _freed(lock: ExitStack) -> None:
    with suppress(LockedError):  # lost once more: what was mended is proved all the same
        lock.close()


def _repair(run: Run, report: Report) -> StageResult:
    orphan = wait_for_orphans(run)
    situation = situation_of(run, report)
    if orphan:
        return _dirty(situation, f"A session of this run is still at work in the database: {orphan}.")
    diagnosis = situation.diagnosis
    repaired, refused = _first_that_mends(run, situation)
    if repaired is not None and repaired.goes_on:
        situation = situation_of(run, report)
        repaired = _first_that_mends(run, situation)[0] or repaired
    if repaired is None:
        return _dirty(situation, f"{refused}{none_fits(situation)}")
    if repaired.state is not TargetState.UNKNOWN:
        return _result(run, diagnosis, repaired)
    return _dirty(situation, f"{refused}{repaired.words}")


def _first_that_mends(run: Run, situation: Situation) -> tuple[Repaired | None, str]:
    """What the first repair did that fits, and why those before it did not fit after all, in words."""
    refused = ""
    for repair, plan in fitting(allowed(run), situation):
        run.tell(f"{situation.diagnosis.words}; {plan}")
        try:
            return _mend(repair, situation), refused
        except RefusedError as error:  # nothing was done: the next one may fit
            refused = refused or f"{error.what} "
            run.tell(f"the repair {repair.name} does not fit after all: {error.what}")
    return None, refused


def none_fits(situation: Situation) -> str:
    """Why nothing is done."""
    reason = situation.why_not_forward() if situation.forward else ""
    if reason:
        return f"It can't go on: {reason}."
    undo = situation.additions().why_not if situation.diagnosis.found in UNDONE else ""
    return f"No repair fits; what was added is not dropped: {undo}." if undo else "No repair fits."


def wait_for_orphans(run: Run, seconds: float = ORPHAN_SECONDS) -> str:
    """Wait until no session of this run's children is left; the first one that is, in words, if it takes longer."""
    deadline = time.monotonic() + seconds
    while orphans := run.database.sessions_of(f"ci-migrate/{run.id}"):
        if time.monotonic() >= deadline:
            return orphans[0]
        time.sleep(0.2)
    return ""


def situation_of(run: Run, report: Report) -> Situation:
    """What is planned, measured and found."""
    plan, evidence, backup = report.plan, report.evidence, report.backup
    assert plan is not None
    assert run.ledger is not None
    record = run.ledger.run(run.subject)
    assert record is not None
    assert record.before is not None
    before = record.before
    diagnosis = diagnosis_of(run, plan, evidence, before)
    half = None
    if evidence is not None and diagnosis.commit_point and diagnosis.found == "half a revision":
        half = half_done(plan, evidence, diagnosis.commit_point)

    undo = Undo(run, plan, evidence, diagnosis, before) if evidence is not None else None

    def proved_as_before() -> list[str]:
        return _not_as_before(run, plan, before, evidence)

    @cache
    def additions() -> Additions:
        if undo is None:
            return Additions("there was no dry run to compare with")
        try:
            return undo.additions()
        except CiMigrateError as error:
            return Additions(error.what.rstrip("."))

    return Situation(
        plan=plan,
        evidence=evidence,
        backup=backup,
        diagnosis=diagnosis,
        on_failure=run.settings.on_failure,
        restore_mode=run.settings.restore,
        target=run.settings.target,
        proved_as_before=proved_as_before,
        downgrade=lambda: _downgrade(run, plan, evidence, diagnosis),
        others_wrote=lambda: others_wrote(run, plan, evidence, backup, diagnosis.commit_point),
        restore=lambda: _restore(run, backup),
        forward=run.forward,
        why_not_forward=lambda: why_not(run, plan, evidence, diagnosis),
        resume=lambda: (
            resume(run, plan, evidence, diagnosis, before) if evidence else ["there is no evidence"]
        ),
        half=half,
        others_wrote_to=lambda half: others_wrote_to(run, half.tables),
        would_lose=lambda half: rows_loss(run, half.tables),
        restore_tables=lambda half: (
            restore_rows(run, plan, evidence, backup, half, before)
            if evidence and backup
            else ["there is no backup"]
        ),
        additions=additions,
        undo=lambda added: undo.drop(added) if undo is not None else ["there is no evidence"],
    )


_GATED = {
    "undo": "undo",
    "downgrade": "downgrade",
    "restore": "restore",
    "restore-tables": "restore",
}
"""Repairs that go back, and what a signed approval calls them."""


def allowed(run: Run) -> list[Repair]:
    """The repairs of this run, without those ways back that its signed approval does not name."""
    ways = ways_back(run)
    return [r for r in run.repairs if ways is None or _GATED.get(r.name, "") in ("", *ways)]


def fitting(repairs: Sequence[Repair], situation: Situation) -> list[tuple[Repair, str]]:
    """The repairs that fit, in their order, each with what it would do."""
    found = []
    for repair in sorted(repairs, key=lambda r: (r.order, r.name)):
        try:
            plan = repair.fits(situation)
        except Exception:  # noqa: BLE001, S112 - a plugin's repair that raises is left out
            continue
        if plan is not None:
            found.append((repair, plan))
    return found


def _mend(repair: Repair, situation: Situation) -> Repaired:
    try:
        return repair.mend(situation)
    except RefusedError:
        raise
    except CiMigrateError as error:
        return Repaired(state=TargetState.UNKNOWN, words=f"The repair {repair.name} failed: {error.what}")
    except Exception as error:  # noqa: BLE001 - from migrate to the end of repair nothing gets in between
        return Repaired(
            state=TargetState.UNKNOWN,
            words=f"The repair {repair.name} failed: {type(error).__name__}: {error}",
        )


def _result(run: Run, diagnosis: Diagnosis, repaired: Repaired) -> StageResult:
    assert run.ledger is not None
    identity = run.database.identity()
    if run.ledger.identity_differences(identity):  # a restore by rename gives it another oid
        run.ledger.pin_identity(identity, replace=True)
    run.ledger.update_run(run.subject, needs_repair=False)
    return StageResult(
        stage="repair",
        outcome=Outcome.PASSED,
        message=repaired.words,
        state=repaired.state,
        diagnosis=diagnosis,
    )


def _dirty(situation: Situation, words: str) -> StageResult:
    commands = next_commands(situation)
    diagnosis = Diagnosis(
        found=situation.diagnosis.found,
        words=situation.diagnosis.words,
        commit_point=situation.diagnosis.commit_point,
        last_statement=situation.diagnosis.last_statement,
        next_commands=commands,
    )
    message = f"{words}\nState: {diagnosis.words}.\nNext: {' | '.join(commands)}"
    return StageResult(
        stage="repair",
        outcome=Outcome.FAILED,
        message=message,
        exit_code=int(ExitCode.FAILED_DIRTY),
        state=TargetState.UNKNOWN,
        diagnosis=diagnosis,
    )


def next_commands(situation: Situation) -> tuple[str, ...]:
    """What a person can type now, with what it would lose."""
    target = f"--target {situation.target}"
    found, backup = situation.diagnosis.found, situation.backup
    commands = []
    if not situation.why_not_forward():
        commands.append(f"ci-migrate repair --forward {target}   (runs what is left; loses nothing)")
    if found in UNDONE and not situation.additions().why_not:
        commands.append(f"ci-migrate repair {target}   (drops what was added, and nothing else)")
    if situation.plan.direction is Direction.STAMP:
        revisions = " ".join(sorted({r for c in situation.plan.contexts for r in c.to_heads})) or "base"
        commands.append(f"alembic stamp --purge {revisions}   (then: ci-migrate repair {target})")
    if found == "revision committed":
        commands.append(f"CI_MIGRATE_ON_FAILURE=keep ci-migrate repair {target}   (loses nothing)")
    if backup is not None and situation.half is not None and situation.half.tables:
        tables = " ".join(f"--table {shlex.quote(table)}" for table in sorted(situation.half.tables))
        try:
            loses = situation.would_lose(situation.half)
        except CiMigrateError:  # what can be typed is shown all the same
            loses = "loses what was written to them since"
        commands.append(f"ci-migrate backup restore {backup.backup_id} {tables} {target}   ({loses})")
    if backup is not None:
        loses = f"   (loses what was written since {backup.backup_time:%Y-%m-%d %H:%M} UTC)"
        commands.append(f"ci-migrate backup restore {backup.backup_id} {target}{loses}")
    commands.append(f"ci-migrate repair {target}   (once it is as it was before, or as it should be after)")
    return tuple(commands)


def _not_as_before(run: Run, plan: Plan, before: Fingerprint, evidence: Evidence | None) -> list[str]:
    """Differences of heads and fingerprint to those before the run, in words."""
    words = []
    heads = heads_of(run.database, plan)
    start = tuple(c.from_heads for c in plan.contexts)
    if heads != start:
        words.append(f"it is at {show_heads(heads)} instead of {show_heads(start)}")
    return words + schema_diff(before, bare_schema(run.database, plan), definitions_of(evidence))


def _downgrade(run: Run, plan: Plan, evidence: Evidence | None, diagnosis: Diagnosis) -> Ended:
    """Run the way back from the commit point where the target stands to where it began."""
    assert evidence is not None
    assert diagnosis.commit_point is not None
    heads = evidence.commit_points[diagnosis.commit_point - 1].heads
    done = revisions_done(plan, evidence, diagnosis.commit_point)
    request = RunRequest(
        setup=child_setup(run, "repair", direction=Direction.DOWNGRADE),
        mode=Mode.MIGRATE,
        contexts=tuple(make_table(c, heads[n], done[n][::-1]) for n, c in enumerate(plan.contexts)),
    )
    heart = Heartbeat(run, run.database)
    return run.workers.run(request, heart.around(lambda _event: None), tick=heart.beat)


def _restore(run: Run, backup: Backup | None) -> str:
    assert backup is not None
    assert run.ledger is not None
    run.ledger.update_run(run.subject, phase="repairing")
    with run.watch("restore", backup.backup_size), journal_restore(run.ledger, run.subject, 0):
        words = restore(run.database, backup, run.catalog)
    run.ledger.audit("backup restored", run.subject, backup=backup.backup_id, target=run.settings.target)
    return words
