"""What a token is for: the flags that say it, and the plan that they name."""

import click

from ci_migrate.commands.options import Function
from ci_migrate.errors import UsageError
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Direction, Plan, ProtectionChange
from ci_migrate.operations.backups import restore_plan
from ci_migrate.operations.protection import protection_change
from ci_migrate.operations.status import current_plan, sound_plan
from ci_migrate.run.run import Run
from ci_migrate.session import GateRequest
from ci_migrate.verbs import Verb


def plan_options(function: Function) -> Function:
    """What a token is for; by default a run to where the settings say."""
    for option in (
        click.option(
            "--restore", "backup_id", metavar="BACKUP", help="For `ci-migrate backup restore BACKUP`."
        ),
        click.option(
            "--protection",
            "change",
            metavar="CHANGE",
            help="For `ci-migrate protect|unprotect`: unprotect, unfreeze, accept-identity, or what protect printed.",
        ),
        click.option("--rollback", is_flag=True, help="For `ci-migrate rollback --to`."),
        click.option("--stamp", is_flag=True, help="For `ci-migrate stamp`; --to says what it marks."),
        click.option(
            "--to", "destination", metavar="REVISION", help="Destination, as in the run that it is for."
        ),
    ):
        function = option(function)
    return function


def plan_request(verb: Verb, destination: str | None, *, rollback: bool, stamp: bool) -> GateRequest:
    """What the flags of `plan_options` ask of the gate."""
    if (rollback or stamp) and destination is None:
        raise UsageError(f"{'--rollback' if rollback else '--stamp'} needs --to REVISION.")
    if rollback and stamp:
        raise UsageError("A token is either for --rollback or for --stamp.")
    direction = Direction.STAMP if stamp else Direction.DOWNGRADE if rollback else Direction.UPGRADE
    return GateRequest(verb, direction=direction, destination=destination)


def find_approvable(
    run: Run, backup_id: str | None, change: str | None, *, stamp: bool
) -> Plan | ProtectionChange:
    """What is approved. Version rows that make no sense do not hinder a stamp that takes them away."""
    if change:
        return protection_change(run, change)
    if backup_id:
        return restore_plan(run, backup_id)
    return current_plan(run) if stamp else sound_plan(run)


def ledger_of(run: Run) -> Ledger:
    """The ledger. Raises UsageError where there is none."""
    if run.ledger is None:
        raise UsageError(f"Target {run.settings.target} has no ledger yet, so there are no tokens.")
    return run.ledger
