"""The guard: the database itself refuses DDL outside of a run. Putting it up is free, lifting it takes an approval."""

from collections.abc import Sequence

from ci_migrate.databases.base import Database, Guards
from ci_migrate.databases.composite.database import members_of
from ci_migrate.errors import RefusedError
from ci_migrate.ledger.protection import LIFT_GUARD
from ci_migrate.operations.protection import permit_change
from ci_migrate.run.approvals import protection
from ci_migrate.run.run import Run, require_ledger


def guard(run: Run, roles: Sequence[str], by: str) -> str:
    """Let the database refuse DDL by whoever is not a run of ours, and not one of these roles; returns words.

    Raises:
        RefusedError: the target is not protected, or its engine has no guard.
        DatabaseError: this role may not make event triggers.
    """
    ledger = require_ledger(run).ledger
    place = run.database.identity().place
    if not protection(run).protected:
        raise RefusedError(
            f"{place} is not protected: there is nothing to guard.",
            hint=f"ci-migrate protect --target {run.settings.target}",
        )
    for member in _guarding(run):
        member.guard(roles)
    ledger.audit("guard put up", by=by, roles=list(roles))
    but = f", but for {', '.join(roles)}" if roles else ""
    return f"Guarded: {place}. From now on it refuses DDL outside of a run{but}."


def lift_guard(run: Run, by: str) -> str:
    """Take the guard away; returns words. Raises as `guard`, and NotApprovedError."""
    members = [member for member in _guarding(run) if member.guarded()]
    if not members:
        return f"{run.settings.target} is not guarded."
    permit = permit_change(run, LIFT_GUARD)
    for member in members:
        member.lift_guard()
    require_ledger(run).ledger.audit("guard lifted", by=by, approvalId=permit.approval_id)
    return f"No longer guarded: {run.database.identity().place}."


def _guarding(run: Run) -> list[Guards]:
    return [_as_guarding(member) for member in members_of(run.database).values()]


def _as_guarding(member: Database) -> Guards:
    if isinstance(member, Guards):
        return member
    raise RefusedError(
        f"{member.dialect} can't refuse DDL by itself ({member.identity().place}).",
        hint="Put the line of ci_migrate.guard into env.py: docs/protection.md",
    )
