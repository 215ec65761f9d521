"""Protection, changed: protect, unprotect, freeze, unfreeze, a database that moved. Weakening takes an approval."""

import re
from collections.abc import Callable

from ci_migrate.approval.signers import borrowed_keys, parse_signers, people_of
from ci_migrate.approval.sshsig import primitives
from ci_migrate.databases.base import Guards
from ci_migrate.databases.composite.database import members_of
from ci_migrate.errors import NotApprovedError, UsageError
from ci_migrate.ledger import protection as ledger_protection
from ci_migrate.ledger.protection import ACCEPT_IDENTITY, LIFT_GUARD, NOTES, RULES, UNFREEZE, UNPROTECT, Rules
from ci_migrate.model import Permit, ProtectionChange, plural, sha256_hex
from ci_migrate.run.approvals import protection
from ci_migrate.run.authorization import Intent, authorize
from ci_migrate.run.mark import keep_marks, place_marks, refuse_by_mark, take_copied_marks, take_marks
from ci_migrate.run.notes import notes_place, pin_notes
from ci_migrate.run.run import Run, require_ledger


def protection_change(run: Run, destination: str) -> ProtectionChange:
    """What an approval is given for: this change of this database's protection, nothing else."""
    known = (UNPROTECT, UNFREEZE, ACCEPT_IDENTITY, LIFT_GUARD)
    if destination not in known and not re.fullmatch(f"({RULES}|{NOTES})[0-9a-f]{{64}}", destination):
        raise UsageError(
            f"{destination} is no change of a protection.",
            hint=f"It is {', '.join(known)}, or what `ci-migrate protect` printed.",
        )
    return ProtectionChange(
        target=run.settings.target, identity=run.database.identity(), destination=destination
    )


def protect(run: Run, rules: Rules, by: str) -> str:
    """Protect the target, or change by whom it is; returns words.

    Raises:
        UsageError: a line is none, or there are fewer approvers than approvals.
        SettingsError: what verifies signatures is not installed.
        NotApprovedError: it is protected already, and nobody approved the change.
        RefusedError: the ledger belongs to another database.
    """
    try:
        approvers = parse_signers((*rules.approvers, *rules.emergency))
    except NotApprovedError as error:
        raise UsageError(error.what, hint=error.hint) from error
    if len(approvers) < len(rules.approvers) + len(rules.emergency):
        raise UsageError("An approver is empty.", hint="Write: --approver 'NAME ssh-ed25519 AAAA...'")
    if approvers:
        primitives()  # who registers keys that nobody here can verify has locked everybody out
    for words in borrowed_keys(approvers):
        raise UsageError(
            f"{words}.", hint="Whoever has it would count as one person: name a key of their own."
        )
    if rules.min_approvals > max(1, len(people_of(approvers[: len(rules.approvers)]))):
        raise UsageError(
            f"{plural(rules.min_approvals, 'approval')} of {plural(len(rules.approvers), 'approver')} can't be had.",
            hint="Name more: --approver 'KEYLINE'",
        )
    ledger = require_ledger(run).ledger
    refuse_by_mark(run.database, ledger, run.settings.target, protecting=True)
    found = protection(run)
    if found.protected and found.rules == rules:
        return f"{run.settings.target} is protected so already, since {found.since[:10]}."
    permit = permit_change(run, RULES + rules.digest, tightens=True)
    ledger.pin_identity(run.database.identity())
    place_marks(run.database, ledger)
    pin_notes(require_ledger(run))
    ledger_protection.protect(permit, ledger, rules, by=by)
    who = f"{plural(len(rules.approvers), 'approver')}, {rules.min_approvals} of them needed"
    return (
        f"Protected: {run.database.identity().place} ({who if rules.approvers else 'confirmation tokens'}). "
        "From now on every run against it needs an approval, whatever the repository's settings say."
    )


def unprotect(run: Run, by: str) -> str:
    """Take the protection away; returns words. Raises as `protect`."""
    refuse_by_mark(run.database, run.ledger, run.settings.target)
    if not protection(run).protected:
        return f"{run.settings.target} is not protected."
    ledger, permit = require_ledger(run).ledger, permit_change(run, UNPROTECT)
    take_marks(run.database, ledger)  # first: a run marks it again where this dies in between
    ledger_protection.unprotect(permit, ledger, by=by)
    for member in members_of(run.database).values():
        if isinstance(member, Guards) and member.guarded():
            member.lift_guard()
    return f"No longer protected: {run.database.identity().place}."


def unprotect_copy(run: Run, by: str) -> str:
    """Take the marks away that came with a copy of a protected database; returns words.

    Raises:
        RefusedError: a mark is this database's own.
    """
    ledger = require_ledger(run).ledger
    taken = take_copied_marks(run.database, ledger)
    for mark in taken:
        ledger.audit("mark of the original taken away", None, by=by, ledger=mark.ledger, place=mark.place)
    refuse_by_mark(run.database, ledger, run.settings.target)
    place = run.database.identity().place
    if not taken:
        return f"{place} has no mark of another database."
    return f"{place} is a copy, and no longer marked as protected by {taken[0].place}."


def freeze(run: Run, reason: str, by: str) -> str:
    """Stop all runs against the target, at once and without an approval; returns words."""
    if not reason.strip():
        raise UsageError("A freeze needs a reason.", hint="Say why: --freeze 'incident 42'")
    ledger_protection.freeze(require_ledger(run).ledger, reason.strip(), by=by)
    return f"Frozen: {run.settings.target}. A run that is writing now goes on to its end."


def unfreeze(run: Run, by: str) -> str:
    """Let runs write again; returns words. Raises as `protect`."""
    if not protection(run).frozen:
        return f"{run.settings.target} is not frozen."
    ledger_protection.unfreeze(permit_change(run, UNFREEZE), require_ledger(run).ledger, by=by)
    return f"No longer frozen: {run.settings.target}."


def accept_identity(run: Run, by: str) -> str:
    """Pin the database that this is now, after a move or a failover; returns words. Raises as `protect`."""
    ledger = require_ledger(run).ledger
    identity = run.database.identity()
    differences = ledger.identity_differences(identity)
    replica = run.reader.identity() if run.reader is not run.database else identity
    if replica.key not in ledger.known_keys(identity) | {identity.key}:
        differences.append(f"read-url leads to its replica {replica.place}")
    if not differences:
        return f"{identity.place} is the database that this ledger belongs to."
    permit = permit_change(run, ACCEPT_IDENTITY, moved=True)
    ledger.audit("identity accepted", by=by, approvalId=permit.approval_id, differences=differences)
    ledger.pin_identity(identity, replace=True)
    ledger.note_key(replica)
    keep_marks(run.database, ledger)
    return f"This ledger now belongs to {identity.place}: {'; '.join(differences)}."


def move_notes(run: Run, by: str) -> str:
    """Note the use of tokens where `backup-dir` points now; returns words. Older notes stay where they are."""
    opened = require_ledger(run)
    here, pinned = notes_place(opened), opened.ledger.notes_place()
    if pinned in (None, here):
        pin_notes(opened)
        return f"The use of tokens is noted in {here}."
    permit = permit_change(run, NOTES + sha256_hex(here.encode()))
    opened.ledger.audit("notes moved", by=by, approvalId=permit.approval_id, before=pinned)
    opened.ledger.pin_notes(run.id, here)
    return f"The use of tokens is noted in {here} now; it was in {pinned}, which may be deleted in a week."


def permit_change(run: Run, destination: str, *, moved: bool = False, tightens: bool = False) -> Permit:
    """The permit of a change; an approval of it is used up. Raises NotApprovedError, and RefusedError as `admit`."""
    change = protection_change(run, destination)
    words = f"A change of the protection of target {run.settings.target}"
    return authorize(run, Intent.change(change, words, moved=moved, tightens=tightens))


Change = Callable[[Run], str]
