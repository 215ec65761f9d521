"""The gatekeeper: what the ledger, not the repository, demands before a target is written.

Settings can only tighten what stands here. Every refusal is put into the audit trail.
"""

import shlex

from ci_migrate.approval import claim, reserve
from ci_migrate.approval_commands import generate_command
from ci_migrate.approval_trust import actors, trust_lines
from ci_migrate.errors import BackupError, CiMigrateError, NotApprovedError, RefusedError
from ci_migrate.ledger import protection as ledger_protection
from ci_migrate.ledger.protection import Protection
from ci_migrate.model import Approval, Direction, Plan
from ci_migrate.stages.base import Run

STAGES = {Direction.DOWNGRADE: "rollback", Direction.RESTORE: "restore"}
"""What settings call the directions that do not go forward."""


def protection(run: Run) -> Protection:
    """What the ledger says of the target."""
    return ledger_protection.read(run.ledger)


def why_needed(run: Run, direction: Direction) -> str:
    """Why writing in this direction needs an approval, in words; "" where it does not."""
    found = protection(run)
    if found.protected:
        return f"the database is protected since {found.since[:10]}"
    if run.settings.needs_approval(STAGES.get(direction, "migrate")):
        return run.settings.production_reason or "this stage needs an approval"
    return ""


def refuse_frozen(run: Run) -> None:
    """Raise NotApprovedError where the target is frozen: then no token helps."""
    frozen = protection(run).frozen
    if frozen:
        error = NotApprovedError(
            f"Target {run.settings.target} is frozen: {frozen}.",
            hint=f"ci-migrate protect --target {run.settings.target} --unfreeze",
        )
        _tell(run, error)
        raise error


def refuse_other_database(run: Run) -> None:
    """Raise RefusedError where the ledger belongs to another database than this one."""
    if run.ledger is None:
        return
    differences = run.ledger.identity_differences(run.database.identity())
    if differences:
        error = RefusedError(
            f"This ledger belongs to another database: {'; '.join(differences)}.",
            hint="Is the URL right? If the database was moved or failed over: "
            f"ci-migrate protect --target {run.settings.target} --accept-identity",
        )
        _tell(run, error)
        raise error


def reserved(run: Run, plan: Plan, what: str = "This run") -> Approval:
    """The approval that this run's token stands for, bound to this run; it is used up by `claimed` alone.

    Args:
        run: this run, with its token.
        plan: what is to be approved.
        what: needs the approval, in words.

    Raises:
        NotApprovedError: there is no token, or why it is of no use.
    """
    try:
        return _reserved(run, plan, what)
    except CiMigrateError as error:
        _tell(run, error)
        raise


def _reserved(run: Run, plan: Plan, what: str) -> Approval:
    if run.token is None or run.ledger is None:
        command = shlex.join(generate_command(plan))
        raise NotApprovedError(
            f"{what} needs an approval.", hint=f"{command} --reason 'why', then again with CI_MIGRATE_TOKEN"
        )
    rules = protection(run).rules
    refuse_confirmation(run)
    approval = reserve(run.ledger, run.token.reveal(), plan, run.id)
    if rules.forbid_self_approval:
        refuse_self_approval(approval.approved_by, actors(run.settings.environ))
    return approval


def refuse_confirmation(run: Run) -> None:
    """Raise NotApprovedError where approvers are registered: then a confirmation token is worth nothing."""
    rules = protection(run).rules
    if rules.approvers or rules.emergency or trust_lines(run.settings.environ, run.settings.project_dir):
        raise NotApprovedError(
            f"Target {run.settings.target} has approvers: a confirmation token is not enough, they sign.",
            hint="Send them approval-request.json.",
        )


def refuse_self_approval(approved_by: tuple[str, ...], asking: frozenset[str]) -> None:
    """Raise NotApprovedError where somebody approves what they themselves start."""
    both = [name for name in approved_by if name.casefold() in asking]
    if both:
        raise NotApprovedError(
            f"{both[0]} asks and approves: on this target that takes two people.",
            hint="Let somebody else approve.",
        )


def claimed(run: Run, approval: Approval) -> None:
    """Use an approval up: committed in the ledger, and noted create-only where backups are.

    The note keeps a token used even if the ledger is lost or put back to an older state.

    Raises:
        NotApprovedError: another run used it, or it was revoked.
        CiMigrateError: it could not be noted; nothing may run.
    """
    assert run.ledger is not None
    try:
        claim(run.ledger, approval.approval_id, run.id)
        try:
            mine = run.catalog.storage.claim(approval.approval_id, run.id.encode())
        except OSError as error:
            raise BackupError(
                f"The use of {approval.approval_id} could not be noted in {run.catalog.storage.place}: "
                f"{error.strerror}.",
                hint="Backups and notes go to the same place: make it writable.",
            ) from error
        if not mine:
            raise NotApprovedError(
                f"The token was used already: {run.catalog.storage.place} has a note of it, the ledger had none.",
                hint="Somebody put the ledger back to an older state: ci-migrate audit verify",
            )
    except CiMigrateError as error:
        _tell(run, error)
        raise


def _tell(run: Run, error: CiMigrateError) -> None:
    if run.ledger is not None:
        run.ledger.audit("refused", run.id, command=run.command, words=error.what)
