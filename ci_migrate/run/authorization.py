"""The one door: whatever writes to a target, or takes a way back away, is let through here and gets a Permit.

It looks at freeze, protection, stage tags, an unfinished run, identity, inputs and token, in this order and nowhere
else. What the ledger demands stands above settings, which can only tighten it. Each refusal is put into the audit
trail.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ci_migrate.approval import tokens
from ci_migrate.approval.payload import BEFORE_WRITING, STAGE_OF, WAYS_BACK, Measured
from ci_migrate.approval.requester import actors
from ci_migrate.errors import CiMigrateError, DirtyError, NotApprovedError, RefusedError
from ci_migrate.ledger.protection import NOTES
from ci_migrate.model import (
    Approvable,
    Approval,
    Inputs,
    Permit,
    Plan,
    ProtectionChange,
    Purpose,
    RunRecord,
    RunRepair,
    TokenKind,
    TokenRecord,
    repair_subject,
)
from ci_migrate.model.permit import SEAL
from ci_migrate.run.approvals import (
    claim_approval,
    how_to_approve,
    look_at_token,
    protection,
    refuse_wrong_kind,
    reserve_approval,
    tell_refused,
    trust,
)
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run, require_ledger
from ci_migrate.settings.settings import Settings
from ci_migrate.verbs import Verb

MIGRATING = (Purpose.UPGRADE, Purpose.DOWNGRADE, Purpose.STAMP)
"""What walks the pipeline."""

TAGGED_AS = {Purpose.DOWNGRADE: "rollback", Purpose.RESTORE: "restore", Purpose.REMOVAL: "restore",
             Purpose.REPAIR: "repair"}  # fmt: skip
"""Whose tags count for what does not go forward. Without its backups nothing is restored, so a removal is as one."""

AT_APPROVE = ("approve", "verify", "repair")
"""The stages whose tags the stage `approve` asks for, besides those of what it lets through."""

ACCEPT_FOREIGN = "accept-foreign"
"""The way of a repair that accepts what somebody else changed in the schema: each list needs an approval of its own."""

FORWARD = "forward"
"""The way of a repair that runs what is left; the others are `WAYS_BACK`, and "" is one that writes nothing."""


@dataclass(frozen=True)
class Intent:
    """What is to be written or taken away.

    `approvable` makes what an approval is given for, where one is needed: that may take a look at the target.
    """

    purpose: Purpose
    subjects: tuple[str, ...]
    approvable: Callable[[], Approvable]
    words: str  # what needs the approval
    way: str = ""  # of a repair
    moved: bool = False  # another database may rightly be there
    tightens: bool = False  # only what is protected already asks for an approval of this
    inputs: Inputs | None = None  # what a dry run executed and read, the plan's included

    @classmethod
    def migrate(cls, plan: Plan, inputs: Inputs | None = None) -> "Intent":
        """Run a plan: upgrade, downgrade or stamp; `inputs` as its dry run executed and read them."""
        return cls(Purpose(plan.purpose), (plan.digest,), lambda: plan, "This run", inputs=inputs)

    @classmethod
    def change(
        cls, change: ProtectionChange, words: str, *, moved: bool = False, tightens: bool = False
    ) -> "Intent":
        """Change the protection."""
        return cls(
            Purpose.PROTECTION, (change.destination,), lambda: change, words, moved=moved, tightens=tightens
        )

    @classmethod
    def repair(cls, run: Run, record: RunRecord, way: str = "", does: Sequence[str] = ()) -> "Intent":
        """Mend what a run left, one way: "undo", "downgrade", "restore", "forward"; "" for what writes nothing.

        `does` says what each repair would do that fits.
        """
        subjects = (
            repair_subject(record.run_id, way),
            *([record.backup_id] if way == "restore" and record.backup_id else []),
        )
        words = f"The repair of run {record.run_id} ({way or 'nothing is written'})"
        moved = record.phase == "repairing"
        return cls(
            Purpose.REPAIR,
            subjects,
            lambda: repair_of(run, record, does, forward=way == FORWARD),
            words,
            way,
            moved,
        )

    @classmethod
    def accept_foreign(cls, run: Run, record: RunRecord, accepts: tuple[str, ...]) -> "Intent":
        """Accept what somebody else changed in the schema while a run was at work."""
        return cls(
            Purpose.REPAIR,
            (repair_subject(record.run_id, ACCEPT_FOREIGN),),
            lambda: repair_of(run, record, accepts=accepts),
            "To accept what somebody else changed",
            ACCEPT_FOREIGN,
        )


def repair_of(
    run: Run,
    record: RunRecord,
    does: Sequence[str] = (),
    *,
    forward: bool = False,
    accepts: tuple[str, ...] = (),
) -> RunRepair:
    """What an approval of a repair is given for: of this run, this way, doing this.

    `accepts`: what somebody else changed, in words.
    """
    return RunRepair(
        target=run.settings.target,
        identity=run.database.identity(),
        run_id=record.run_id,
        forward=forward,
        plan_digest=record.plan.digest if record.plan is not None else "",
        accepts=accepts,
        does=tuple(does),
    )


class UnfinishedError(DirtyError):
    """A run did not end; the gate knows how to say in what state it left the target."""

    def __init__(self, run: Run, record: RunRecord) -> None:
        super().__init__(
            f"Run {record.run_id} of {record.started:%Y-%m-%d %H:%M} UTC did not end.",
            state="The target is left as it is.",
            hint=f"ci-migrate repair --target {run.settings.target}",
        )
        self.record = record


# --------------------------------------------------------------------------- the door


def authorize(run: Run, intent: Intent, evidence: Measured | None = None) -> Permit:
    """Let a run write, or take away, what it intends; where an approval is needed it is used up by this.

    Args:
        run: this run, with its token.
        intent: what is to be done.
        evidence: what a dry run gave; None where there was none.

    Raises:
        NotApprovedError: the target is frozen, or there is no approval of this.
        RefusedError, DirtyError: as `admit`.
    """
    _admit(run, intent)
    approval = None
    if why_approval(run, intent):
        approval = _used_already(run, intent)
        if approval is None:
            approval = _reserve(run, intent, evidence)
            moving = intent.purpose is Purpose.PROTECTION and intent.subjects[0].startswith(NOTES)
            claim_approval(require_ledger(run), approval, moving=moving)
    return Permit(run.id, intent.purpose, intent.subjects, approval, seal=SEAL)


def foresee(run: Run, intent: Intent) -> Approval | None:
    """As `authorize`, before anybody is asked or anything is copied: the token is reserved, and not used up yet."""
    _admit(run, intent)
    return _reserve(run, intent, None) if why_approval(run, intent) else None


def _admit(run: Run, intent: Intent) -> None:
    admit(run, intent.purpose, goes_on=_goes_on(run, intent), moved=intent.moved)


def admit(run: Run, purpose: Purpose, *, goes_on: bool = False, moved: bool = False) -> None:
    """All that the door looks at but the token.

    Args:
        run: this run.
        purpose: what is to be done.
        goes_on: this run has begun to write, and brings that to its end.
        moved: another database may rightly be there: a restore was cut short, or its identity is to be accepted.

    Raises:
        NotApprovedError: the target is frozen.
        RefusedError: the verb leaves out what this target needs, or this is not the database that it was.
        UnfinishedError: an unfinished run must be repaired first.
    """
    found = protection(run)
    if purpose is not Purpose.PROTECTION and not goes_on:
        _refuse_frozen(run, found.frozen)
    if purpose in MIGRATING and found.protected:
        refuse_careless(run.settings, run.verb, f"protected since {found.since[:10]}")
    if purpose in (*MIGRATING, Purpose.BACKFILL):
        refuse_unfinished(run)
    if (
        purpose in (*MIGRATING, Purpose.BACKFILL, Purpose.REPAIR, Purpose.PROTECTION)
        and not moved
        and not goes_on
    ):
        refuse_other_database(run)
    # inputs: an approval is held against them (`reserve_approval`), and so is each file that a child executes or reads


def _goes_on(run: Run, intent: Intent) -> bool:
    """Whether a run mends what it has just done itself: what was begun before a freeze is brought to its end."""
    return intent.purpose is Purpose.REPAIR and run.subject == run.id


def why_approval(run: Run, intent: Intent) -> str:
    """Why this needs an approval, in words; "" where it does not."""
    if intent.tightens and not protection(run).protected:
        return ""
    if intent.purpose is not Purpose.REPAIR:
        return why_needed(run, intent.purpose)
    if not intent.way:
        return ""
    why = why_needed(run, Purpose.REPAIR)
    # whatever the settings say by now: who approved the run approved these ways
    return why or ("the run was approved" if _approvals_of(run) else "")


def why_needed(run: Run, purpose: str) -> str:
    """Why writing for this purpose (or in this direction) needs an approval, in words; "" where it does not."""
    found = protection(run)
    if found.protected:
        return f"the database is protected since {found.since[:10]}"
    stage = TAGGED_AS.get(Purpose(purpose), "migrate")
    asked = (stage, *(s for s in AT_APPROVE if s in run.verb.stages)) if purpose in MIGRATING else (stage,)
    tagged = next((s for s in asked if run.settings.needs_approval(s) and run.settings.is_tagged(s)), None)
    if tagged is not None:
        return f"stage {tagged} is tagged production"
    return run.settings.production_reason if run.settings.needs_approval(stage) else ""


def ask_at_stage(run: Run, stage: str, plan: Plan | None) -> None:
    """Ask for an approval before a stage begins that is tagged by itself; it is used up by that.

    What comes after `BEFORE_WRITING` is asked for by the stage `approve`: from migrate on nothing gets in between.

    Raises:
        NotApprovedError: there is none for this stage.
    """
    if not _asks_at(run, stage):
        return
    words = f"The stage {stage} of target {run.settings.target} (stage {stage} is tagged production)"
    if plan is not None:
        claim_approval(require_ledger(run), reserve_approval(run, plan, words, stages=(stage,)))
        return
    # the stage `check` makes the plan: what the token was made for is compared at its end
    error = run.unfit or _refusal_of_any(run, words)
    if error is not None:
        tell_refused(run, error)
        raise error


def asked_before(run: Run) -> tuple[str, ...]:
    """The stages of this run that ask for an approval by themselves."""
    return tuple(stage for stage in run.verb.stages if _asks_at(run, stage))


def _asks_at(run: Run, stage: str) -> bool:
    settings = run.settings
    asks = settings.require_confirmation or protection(run).protected
    return stage in BEFORE_WRITING and settings.is_tagged(stage) and asks


def _refusal_of_any(run: Run, words: str) -> CiMigrateError | None:
    """Why the token that was given can be good for nothing, whatever is planned; None where it may be good."""
    if run.token is None or run.ledger is None:
        command = f"ci-migrate token generate --target {run.settings.target} --reason 'why'"
        signs = f"ci-migrate token request --target {run.settings.target}, and let approvers sign it"
        hint = command if trust(run) is None else signs
        return NotApprovedError(
            f"{words} needs an approval.", hint=f"{hint}; then again with CI_MIGRATE_TOKEN"
        )
    try:
        look_at_token(run)
    except NotApprovedError as error:
        return error
    return None


def asks(run: Run) -> bool:
    """Whether any stage of this run asks for an approval."""
    return bool(why_needed(run, run.direction)) or bool(asked_before(run))


def first_look(run: Run) -> CiMigrateError | None:
    """Verify and reserve a signed token, before anything of the repository runs; what is wrong with it, if it is.

    It is told, not raised: a run that has nothing to do needs no token, and nobody knows that yet.
    """
    if run.token is None or run.ledger is None or not asks(run):
        return None
    try:
        trusted = trust(run)
        refuse_wrong_kind(run, run.token.reveal(), trusted)
        if trusted is not None:
            tokens.reserve_signed(
                run.ledger, run.token.reveal(), trusted, actors(run.settings.environ), run.id
            )
    except CiMigrateError as error:
        return error
    return None


# --------------------------------------------------------------------------- what forbids


def _refuse_frozen(run: Run, frozen: str) -> None:
    if frozen:
        error = NotApprovedError(
            f"Target {run.settings.target} is frozen: {frozen}.",
            hint=f"ci-migrate protect --target {run.settings.target} --unfreeze",
        )
        tell_refused(run, error)
        raise error


def refuse_careless(settings: Settings, verb: Verb, why: str) -> None:
    """Raise RefusedError for what nobody may leave out on production; `why` it is one."""
    if verb.leaves_out:
        raise RefusedError(
            f"`{verb.name}` leaves out {verb.leaves_out}; target {settings.target} is a production one ({why}).",
            hint="Use `ci-migrate run`.",
        )
    if not verb.rehearses_first:
        return
    if settings.dry_run == "off":
        raise RefusedError(
            f"dry-run is off ({settings.sources['dry-run']}), and target {settings.target} is a production one "
            f"({why}).",
            hint='Set dry-run = "backup".',
        )
    if not settings.auto_backup:
        raise RefusedError(
            f"auto-backup is off ({settings.sources['auto-backup']}), and target {settings.target} is a production "
            f"one ({why}): there would be nothing to rehearse on, and no rollback path.",
            hint="Set auto-backup = true.",
        )


def refuse_unfinished(run: Run) -> None:
    """Raise UnfinishedError where a run of this database must be repaired first."""
    record = run.ledger.unfinished(database_of(run)) if run.ledger is not None else None
    if record is not None:
        raise UnfinishedError(run, record)


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
        tell_refused(run, error)
        raise error


# --------------------------------------------------------------------------- approvals that were used, or are given now


def permitted_ways(run: Run) -> frozenset[str] | None:
    """The ways of a repair that the approvals of the repaired run name; None where it takes none: all are open."""
    if not why_needed(run, Purpose.REPAIR) and not _approvals_of(run):
        return None
    record = run.ledger.run(run.subject) if run.ledger is not None else None
    digest = record.plan.digest if record is not None and record.plan is not None else None
    return frozenset(way for used in _approvals_of(run) for way in _ways_of(used, digest))


def _ways_of(used: TokenRecord, plan_digest: str | None) -> tuple[str, ...]:
    """What an approval that was used by a run allows a repair of it to do.

    To go back to where the run began is what each approval allows, by the ways that a signed one names; to run what is
    left is what an approval of this very plan allows. One of a repair allows that repair.
    """
    confirmed = used.approval.kind is TokenKind.CONFIRMATION
    back = WAYS_BACK if confirmed else tuple(way for way in WAYS_BACK if way in used.stages)
    if used.direction is Purpose.REPAIR:
        if " accepts " in used.destination:
            return ()
        return (FORWARD,) if used.destination.endswith(f" {FORWARD}") else back
    if used.approval.plan_digest != plan_digest:
        return ()
    if STAGE_OF[used.direction] != STAGE_OF[Purpose.UPGRADE]:
        back = WAYS_BACK  # one that goes back itself can name none
    return (FORWARD, *back)


def _approvals_of(run: Run) -> tuple[TokenRecord, ...]:
    return tokens.used_by(run.ledger, run.subject) if run.ledger is not None else ()


def _used_already(run: Run, intent: Intent) -> Approval | None:
    """The approval that this run has used for this before: the stage `approve` did, or a repair that was killed."""
    approvals = _approvals_of(run)
    if intent.purpose is Purpose.REPAIR:
        if intent.way not in (permitted_ways(run) or ()):
            return None
        return approvals[-1].approval
    if intent.purpose not in MIGRATING:
        return None
    return next((a.approval for a in approvals if a.approval.plan_digest in intent.subjects), None)


def _reserve(run: Run, intent: Intent, evidence: Measured | None) -> Approval:
    approvable = intent.approvable()
    if _goes_on(run, intent):  # its token was for the way forward, and has been looked at
        raise NotApprovedError(
            f"{intent.words} is not in the approval of this run.", hint=how_to_approve(run, approvable)
        )
    words = f"{intent.words} ({why_approval(run, intent)})"
    return reserve_approval(run, approvable, words, evidence, inputs=intent.inputs)
