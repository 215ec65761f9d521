"""What an approval is worth on a target: who may give one, and the token that a run was given.

Every refusal is put into the audit trail.
"""

import shlex
from collections.abc import Collection
from dataclasses import dataclass

from ci_migrate.approval import tokens
from ci_migrate.approval.command_lines import generate_command, request_command
from ci_migrate.approval.decision import Decision
from ci_migrate.approval.payload import Facts, Measured, count_changes, evidence_digest, payload_diff
from ci_migrate.approval.requester import actors, commit_of, starters
from ci_migrate.approval.signers import parse_signers, people_of
from ci_migrate.approval.trust import Trust, trust_lines
from ci_migrate.approval.verification import Verified, refuse_too_few
from ci_migrate.errors import CiMigrateError, NotApprovedError
from ci_migrate.ledger import protection as ledger_protection
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.protection import Protection
from ci_migrate.model import Approvable, Approval, Inputs, Plan, Report, TokenKind, list_some, plural
from ci_migrate.run.inputs import explain_inputs
from ci_migrate.run.notes import note_use, storages_for_notes
from ci_migrate.run.run import LedgerRun, Run


def protection(run: Run) -> Protection:
    """What the ledger says of the target: now, but nothing less than when this run began.

    Code of the repository has run since then, maybe with a login that can write the ledger.

    Raises:
        NotApprovedError: while this run was at work, the protection was taken away, or got other rules.
    """
    now = ledger_protection.read(run.ledger)
    if run.protection.protected and (not now.protected or now.rules != run.protection.rules):
        error = NotApprovedError(
            f"The protection of target {run.settings.target} was changed while this run was at work.",
            hint="Find out by whom: ci-migrate audit verify, ci-migrate audit show. Then run again.",
        )
        tell_refused(run, error)
        raise error
    return now


def tell_refused(run: Run, error: CiMigrateError) -> None:
    """Put a refusal into the audit trail."""
    if run.ledger is not None:
        run.ledger.audit("refused", run.id, command=run.verb.name, words=error.what)


@dataclass(frozen=True)
class TokenApprover:
    """Grants what this run's token was made for; the built-in approver.

    `evidence` is what the dry run gave, `inputs` what it executed and read; None where there was none.
    """

    run: Run
    evidence: Measured | None = None
    inputs: Inputs | None = None

    def decide(self, plan: Plan) -> Decision:
        """Say yes, or nothing where there is no token. Raises NotApprovedError for one that does not fit."""
        if self.run.token is None:
            return Decision(granted=None, reason="no token was given")
        approval = reserve_approval(self.run, plan, evidence=self.evidence, inputs=self.inputs)
        return Decision(
            granted=True, by=", ".join(approval.approved_by), reason=approval.reason, approval=approval
        )


def trust(run: Run) -> Trust | None:
    """Who may approve: whom the ledger names, else `CI_MIGRATE_TRUST`; None where confirmation tokens do.

    Raises:
        NotApprovedError: lines that can't be used; then nobody is trusted.
    """
    found = protection(run)
    rules = found.rules
    signers = (*parse_signers(rules.approvers), *parse_signers(rules.emergency, emergency=True))
    signers = signers or parse_signers(trust_lines(run.settings.environ, run.settings.project_dir))
    if not signers:
        return None
    active = {signer.key for signer in signers}
    return Trust(
        signers=(*signers, *(s for s in parse_signers(found.revoked) if s.key not in active)),
        revoked=frozenset(s.fingerprint for s in parse_signers(found.revoked) if s.key not in active),
        min_approvals=rules.min_approvals,
        forbid_self_approval=rules.forbid_self_approval,
    )


def evidence_of(report: Report) -> Measured | None:
    """What a dry run gave, as a request for an approval has it; None where there was none."""
    plan, evidence = report.plan, report.evidence
    if plan is None or evidence is None:
        return None
    digest = evidence_digest(
        plan.digest,
        evidence.before.digest,
        evidence.stream_digest,
        report.findings,
        without_rows=evidence.without_rows,
    )
    return Measured(digest=digest, rows=count_changes(evidence.tables))


def reserve_approval(
    run: Run,
    plan: Approvable,
    what: str = "This run",
    evidence: Measured | None = None,
    stages: Collection[str] = (),
    inputs: Inputs | None = None,
) -> Approval:
    """The approval that this run's token stands for, bound to this run; `claim_approval` alone uses it up.

    Args:
        run: this run, with its token. What it repairs is what the approval is used for.
        plan: what is to be approved.
        what: needs the approval, in words.
        evidence: what the dry run gave; None where there was none yet.
        stages: those before the migration for one of which it is, perhaps: an approval of the plan covers them too.
        inputs: what plan and dry run executed and read; None where there was none yet.

    Raises:
        NotApprovedError: there is no token, or why it is of no use.
    """
    try:
        return _reserve(run, plan, what, evidence, stages, inputs)
    except CiMigrateError as error:
        tell_refused(run, error)
        raise


def _reserve(
    run: Run,
    plan: Approvable,
    what: str,
    evidence: Measured | None,
    stages: Collection[str],
    inputs: Inputs | None,
) -> Approval:
    if run.token is None or run.ledger is None:
        raise NotApprovedError(
            f"{what} needs an approval.",
            hint=f"{how_to_approve(run, plan)}, then again with CI_MIGRATE_TOKEN",
        )
    trusted = trust(run)
    refuse_wrong_kind(run, run.token.reveal(), trusted)
    asking = actors(run.settings.environ)
    if trusted is None:
        approval = tokens.reserve(run.ledger, run.token.reveal(), plan, run.subject, inputs)
        _refuse_self_confirmed(run, run.ledger, approval, plan)
        return approval
    verified = tokens.reserve_signed(run.ledger, run.token.reveal(), trusted, asking, run.subject)
    _refuse_other(run, run.ledger, verified, plan, evidence, stages, inputs)
    _refuse_self_signed(run, run.ledger, trusted, verified, plan)
    return tokens.signed_approval(verified.payload, verified.approved_by)


def validate_token(run: Run, ledger: Ledger, plan: Approvable) -> Approval:
    """As `reserve_approval`, looking only. Raises NotApprovedError: why the token could not be used now."""
    token = run.token.reveal() if run.token is not None else ""
    trusted = trust(run)
    if run.token is None or trusted is None:
        if run.token is not None:
            refuse_wrong_kind(run, run.token.reveal(), trusted)
        approval = tokens.validate(ledger, token, plan)
        _refuse_self_confirmed(run, ledger, approval, plan)
        return approval
    refuse_wrong_kind(run, run.token.reveal(), trusted)
    verified = tokens.validate_signed(ledger, token, trusted, actors(run.settings.environ))
    _refuse_other(run, ledger, verified, plan, None)
    _refuse_self_signed(run, ledger, trusted, verified, plan)
    return tokens.signed_approval(verified.payload, verified.approved_by)


def look_at_token(run: Run) -> None:
    """Look at the token that was given, whatever it is for. Raises NotApprovedError: why it could not be used now."""
    token, trusted = (run.token.reveal() if run.token is not None else ""), trust(run)
    refuse_wrong_kind(run, token, trusted)
    if run.ledger is None:
        raise NotApprovedError(f"Target {run.settings.target} has no ledger yet, so there are no tokens.")
    if trusted is None:
        tokens.validate(run.ledger, token, None)
    else:
        tokens.validate_signed(run.ledger, token, trusted, actors(run.settings.environ))


def how_to_approve(run: Run, plan: Approvable) -> str:
    """The command that gives an approval of a plan, or writes the request for one."""
    if trust(run) is None:
        return f"{shlex.join(generate_command(plan))} --reason 'why'"
    command = shlex.join(request_command(plan))
    return f"{command} --reason 'why'" if command.startswith("ci-migrate approve") else command


def how_others_sign(run: Run) -> str:
    """What the other approvers type, on lines of its own; "" where one suffices."""
    trusted = trust(run)
    if trusted is None or trusted.min_approvals < 2:
        return ""
    return "\n# each of the others signs the token that this prints\nci-migrate approve --key KEY --token-file FILE"


def how_many_approve(run: Run) -> str:
    """`2 of 3 approvers must sign: ada; bo; cy.`; of confirmation tokens, that one suffices."""
    trusted = trust(run)
    if trusted is None:
        return "One confirmation token suffices."
    signers = [s for s in trusted.signers if s.fingerprint not in trusted.revoked and not s.emergency]
    people = people_of(tuple(signers))
    names = list_some(sorted({s.principals[0] for s in signers}))
    return f"{trusted.min_approvals} of {plural(len(people), 'approver')} must sign: {names}."


def _refuse_other(
    run: Run,
    ledger: Ledger,
    verified: Verified,
    plan: Approvable,
    evidence: Measured | None,
    stages: Collection[str] = (),
    inputs: Inputs | None = None,
) -> None:
    covered = next((stage for stage in stages if stage in verified.payload.stages), None)
    facts = Facts(
        plan=plan,
        stage=covered,
        target_uuid=ledger.uuid,
        commit=commit_of(run.settings.environ),
        evidence_digest=evidence.digest if evidence is not None else None,
        rows=evidence.rows if evidence is not None else None,
        inputs_digest=inputs.digest if inputs is not None else None,
    )
    named = payload_diff(verified.payload, facts)
    if named:
        named = explain_inputs(run, plan, verified.payload.inputs_digest, inputs) + named
        raise NotApprovedError(
            f"The token was made for something else: {'; '.join(named[:5])}.",
            hint="Ask for another approval: run again, and send the approvers approval-request.json.",
        )


def refuse_wrong_kind(run: Run, token: str, trusted: Trust | None) -> None:
    """Raise NotApprovedError for a token that is sound, and not of the kind that counts on this target."""
    kind = tokens.kind_of(token)
    if trusted is not None and kind is TokenKind.CONFIRMATION:
        refuse_confirmation(run)
    if trusted is None and kind is TokenKind.SIGNED:
        raise NotApprovedError(
            f"The token is signed, and nobody says whose signature counts on target {run.settings.target}.",
            hint=f"ci-migrate protect --target {run.settings.target} --approver 'NAME ssh-ed25519 AAAA...'",
        )


def refuse_confirmation(run: Run) -> None:
    """Raise NotApprovedError where approvers are registered: then a confirmation token is worth nothing."""
    if trust(run) is not None:
        raise NotApprovedError(
            f"Target {run.settings.target} has approvers: a confirmation token is not enough, they sign.",
            hint="Send them approval-request.json.",
        )


def _refuse_self_confirmed(run: Run, ledger: Ledger, approval: Approval, plan: Approvable) -> None:
    """Raise NotApprovedError where somebody confirms what they themselves ask for or start."""
    if not protection(run).rules.forbid_self_approval:
        return
    asking = _starters(run) | {name.casefold() for name in ledger.requesters(plan.digest)}
    both = [name for name in approval.approved_by if name.casefold() in asking]
    if both:
        raise NotApprovedError(
            f"{both[0]} asks and approves: on this target that takes two people.",
            hint="Let somebody else approve.",
        )


def _refuse_self_signed(
    run: Run, ledger: Ledger, trusted: Trust, verified: Verified, plan: Approvable
) -> None:
    """As for a confirmation. Who asked is what the ledger wrote down: the request is a file, and was in many hands.

    Raises:
        NotApprovedError: somebody approves what they asked for or start, or it is not known who did that.
    """
    if not trusted.forbid_self_approval or verified.emergency:
        return
    recorded = ledger.requesters(plan.digest) - {""}
    if not recorded:
        raise NotApprovedError(
            f"The ledger ({ledger.place}) has no record of who asked for this approval, and nobody may approve "
            "what they ask for.",
            hint="Run again without a token: what stops then writes down who asks, and the request to sign.",
        )
    refuse_too_few(verified, trusted, _starters(run) | recorded)


def _starters(run: Run) -> frozenset[str]:
    found = starters(run.settings.environ)
    if not found:
        raise NotApprovedError(
            "This CI does not say who started the job, and nobody may approve what they start.",
            hint="Set CI_MIGRATE_ACTOR from what the CI knows of the person, where the repository can't change it.",
        )
    return found


def claim_approval(run: LedgerRun, approval: Approval, *, moving: bool = False) -> None:
    """Use an approval up: committed in the ledger, and noted where `storages_for_notes` says.

    Args:
        run: this run.
        approval: what it has reserved.
        moving: it is an approval of moving those notes.

    Raises:
        NotApprovedError: another run used it, or it was revoked.
        CiMigrateError: it could not be noted; nothing may run.
    """
    try:
        storages = storages_for_notes(run, moving=moving)
        tokens.claim(run.ledger, approval.approval_id, run.subject)
        note_use(run, storages, approval.approval_id)
    except CiMigrateError as error:
        tell_refused(run, error)
        raise
