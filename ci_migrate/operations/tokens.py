"""What an approval can be asked for and given: found on the target as it is now, for the command line and for HTTP."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec

from ci_migrate.approval.command_lines import generate_command, go_on_command
from ci_migrate.approval.request import ApprovalRequest, approval_request
from ci_migrate.approval.requester import commit_of
from ci_migrate.approval.tokens import generate
from ci_migrate.errors import RefusedError, UsageError
from ci_migrate.gate import actor, resume_run
from ci_migrate.model import (
    Approvable,
    Approval,
    Direction,
    Evidence,
    Finding,
    Frozen,
    Plan,
    Report,
    RunRepair,
)
from ci_migrate.operations.backfills import backfill_run_of, find_registered
from ci_migrate.operations.backups import removal_of, replaced_of, restoration_of
from ci_migrate.operations.protection import protection_change
from ci_migrate.operations.status import current_plan, sound_plan
from ci_migrate.repairs.choice import describe_doing, find_fitting
from ci_migrate.repairs.context import RepairContext
from ci_migrate.run.approvals import refuse_confirmation
from ci_migrate.run.authorization import repair_of
from ci_migrate.run.identity import database_of
from ci_migrate.run.inputs import approved_inputs, covered_evidence, last_approved
from ci_migrate.run.reuse import name_rehearsal
from ci_migrate.run.run import LedgerRun, Run
from ci_migrate.session import GateRequest, create_manager, load_extensions
from ci_migrate.verbs import Verb


class Wanted(Frozen, frozen=True, kw_only=True):
    """What a token is for: one thing; where nothing is named, a run to where the settings say.

    Raises:
        UsageError: it names several things, or half of one.
    """

    destination: str | None = None
    rollback: bool = False
    stamp: bool = False
    backup_id: str | None = None  # to be restored
    tables: tuple[str, ...] = ()  # the rows of these alone
    backups: tuple[str, ...] = ()  # to be deleted
    drop_old: bool = False
    repair: str | None = None  # the run
    forward: bool = False
    accept_foreign: bool = False  # with `repair`: what somebody else changed meanwhile
    change: str | None = None  # of the protection
    backfill: str | None = None  # the name of a registered one
    again: bool = False  # with `backfill`: from its beginning

    def __post_init__(self) -> None:
        """See the class."""
        if self.forward and self.repair is None:
            raise UsageError("--forward needs --repair RUN: it says how that run is repaired.")
        if self.accept_foreign and self.repair is None:
            raise UsageError("--accept-foreign needs --repair RUN.")
        if self.accept_foreign and self.forward:
            raise UsageError("A token is for one thing: --forward or --accept-foreign.")
        if self.tables and self.backup_id is None:
            raise UsageError("--table needs --restore BACKUP: it says what of that is restored.")
        if self.again and self.backfill is None:
            raise UsageError("--again needs --backfill NAME.")
        if self.rollback and self.stamp:
            raise UsageError("A token is either for --rollback or for --stamp.")
        if self.others + (self.rollback or self.stamp) > 1:
            raise UsageError("A token is for one thing: name one.")
        if (self.rollback or self.stamp) and self.destination is None:
            raise UsageError(f"{'--rollback' if self.rollback else '--stamp'} needs --to REVISION.")

    @property
    def others(self) -> int:
        """How many things are named that no run of the pipeline asks for."""
        named = (self.backup_id, self.backups, self.drop_old, self.repair, self.change, self.backfill)
        return sum(map(bool, named))

    @property
    def anything(self) -> bool:
        """Whether anything is named."""
        return self != Wanted()

    def ask(self, verb: Verb) -> GateRequest:
        """What this asks of the gate."""
        way = Direction.DOWNGRADE if self.rollback else Direction.UPGRADE
        return GateRequest(
            verb, direction=Direction.STAMP if self.stamp else way, destination=self.destination
        )


def find_approvable(run: Run, wanted: Wanted) -> Approvable:
    """What is approved. Version rows that make no sense do not hinder a stamp that takes them away.

    Raises:
        UsageError: there is no such backup or backfill, or no such run that is to be repaired.
        RefusedError: what restores kept is meant, and none kept anything.
        SettingsError: a plugin of the repository, which may bring repairs, can't be imported.
    """
    if wanted.change:
        return protection_change(run, wanted.change)
    if wanted.backup_id:
        return restoration_of(run, run.catalog.get(wanted.backup_id), wanted.tables)
    if wanted.backups:
        return removal_of(run, [run.catalog.get(name) for name in wanted.backups])
    if wanted.drop_old:
        kept = replaced_of(run)
        if not kept.names:
            raise RefusedError(
                f"No restore of {kept.identity.place} kept anything: there is nothing to approve."
            )
        return kept
    if wanted.backfill:
        return backfill_run_of(run, find_registered(run.settings, wanted.backfill), again=wanted.again)
    if wanted.repair is not None:
        return _repair(run, wanted, wanted.repair)
    return current_plan(run) if wanted.stamp else sound_plan(run)


def _repair(run: Run, wanted: Wanted, run_id: str) -> RunRepair:
    record = run.ledger.unfinished(database_of(run)) if run.ledger is not None else None
    if record is None or record.run_id != run_id or not isinstance(run, LedgerRun):
        there = f"it is {record.run_id}" if record is not None else "there is none"
        raise UsageError(
            f"Run {run_id} is not the one of target {run.settings.target} that is to be repaired: {there}.",
            hint=f"ci-migrate status --target {run.settings.target}",
        )
    loaded = load_extensions(replace(run, forward=wanted.forward), create_manager(run.settings))
    context = RepairContext.of(*resume_run(loaded, record))
    if not wanted.accept_foreign:
        does = describe_doing(context, find_fitting(context))
        return repair_of(run, record, does, forward=wanted.forward)
    if not context.diagnosis.foreign:
        raise UsageError(
            "Nothing was changed by somebody else: there is nothing to accept.",
            hint=f"ci-migrate repair --dry-run --target {run.settings.target}",
        )
    return repair_of(run, record, accepts=context.diagnosis.foreign)


def confirm(
    run: LedgerRun, wanted: Wanted, *, reason: str, by: str, expected: str | None = None
) -> tuple[str, Approval, Approvable]:
    """A confirmation token, the approval that it stands for, and what is approved.

    Args:
        run: with the ledger that gets to know it.
        wanted: what it is for.
        reason: why.
        by: who confirms.
        expected: the digest of what they looked at; None where they name none.

    Raises:
        NotApprovedError: approvers are registered; they sign.
        RefusedError: nothing is pending, or something else than was looked at.
        UsageError: as `find_approvable`, `generate`.
    """
    refuse_confirmation(run)
    plan = find_approvable(run, wanted)
    if isinstance(plan, Plan) and plan.changes_nothing:
        raise RefusedError(f"Nothing is pending on {plan.identity.place}: there is nothing to approve.")
    if expected is not None and plan.digest != expected:
        raise RefusedError(
            f"What is pending on {plan.identity.place} is {plan.digest[:12]}, not {expected[:12] or 'none'}: "
            "it changed since that one was looked at.",
            hint="Look again, at a new request or dry run.",
        )
    settings, evidence = run.settings, covered_evidence(run, plan)
    inputs = approved_inputs(plan, evidence) if isinstance(plan, Plan) and evidence is not None else None
    token, approval = generate(
        run.ledger,
        plan=plan,
        target=settings.target,
        reason=reason,
        by=by,
        validity_minutes=settings.token_validity_minutes,
        inputs=inputs,
        rehearsal=name_rehearsal(run, evidence),
    )
    return token, approval, plan


def look_at_request(
    run: LedgerRun,
    plan: Approvable,
    *,
    stage: str | None = None,
    evidence: Evidence | None = None,
    findings: Sequence[Finding] = (),
) -> ApprovalRequest:
    """The request for an approval; `requester` is "" where nobody has asked for it.

    Args:
        run: with the ledger that knows who asked.
        plan: what is to be approved.
        stage: the tagged stage before the migration that it is for; None for the plan itself.
        evidence: of the dry run of a plan, as `last_evidence` gives it.
        findings: of the same run.
    """
    settings = run.settings
    return approval_request(
        plan,
        evidence,
        findings,
        settings.target,
        shlex.join(go_on_command(plan)),
        target_uuid=run.ledger.uuid,
        requester=min(run.ledger.requesters(plan.digest) - {""}, default=""),
        commit=commit_of(settings.environ),
        validity_minutes=settings.token_validity_minutes,
        stage=stage,
        last=last_approved(run),
        rehearsal=name_rehearsal(run, evidence),
    )


def ask_for_approval(run: LedgerRun, plan: Approvable, **more: Any) -> ApprovalRequest:
    """As `look_at_request`; the ledger notes who asks, unless somebody asked for the same before.

    An approver who looks at a request that is there does not become who asks for it.
    """
    request, by = look_at_request(run, plan, **more), actor(run.settings)
    asked = run.ledger.requesters(plan.digest) - {""}
    if not asked or by in asked:  # once more: it may have been denied since
        command = shlex.join(generate_command(plan))
        run.ledger.note_request(
            None, plan_digest=plan.digest, direction=str(plan.purpose), by=by, command=command
        )
    return msgspec.structs.replace(request, requester=request.requester or by)


def last_evidence(run: LedgerRun, plan: Plan) -> tuple[Evidence | None, tuple[Finding, ...]]:
    """Of the newest run that rehearsed this very plan and is not too old, with the findings of that run."""
    age = timedelta(seconds=run.settings.max_evidence_age)
    run_id = run.ledger.rehearsed(database_of(run), plan.digest, age)
    record = run.ledger.run(run_id) if run_id is not None else None
    if record is None:
        return None, ()
    report = Report(
        run_id=record.run_id,
        command=record.command,
        target=record.target,
        started=record.started,
        version="",
        results=run.ledger.stages(record.run_id),
    )
    return report.evidence, report.findings
