"""What a token is for: the flags that say it, and the plan that they name."""

from dataclasses import dataclass
from typing import Any

import click

from ci_migrate.commands.options import Function
from ci_migrate.errors import UsageError
from ci_migrate.gate import resume_run
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Approvable, Direction, RunRecord
from ci_migrate.operations.backups import removal_of, replaced_of, restoration_of
from ci_migrate.operations.protection import protection_change
from ci_migrate.operations.status import current_plan, sound_plan
from ci_migrate.repairs.context import RepairContext
from ci_migrate.run.authorization import repair_of
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run, require_ledger
from ci_migrate.session import GateRequest
from ci_migrate.verbs import Verb


def plan_options(function: Function) -> Function:
    """What a token is for; by default a run to where the settings say."""
    for option in (
        click.option("--rollback", is_flag=True, help="For `ci-migrate rollback --to`."),
        click.option("--stamp", is_flag=True, help="For `ci-migrate stamp`; --to says what it marks."),
        click.option(
            "--to", "destination", metavar="REVISION", help="Destination, as in the run that it is for."
        ),
        change_options,
    ):
        function = option(function)
    return function


def change_options(function: Function) -> Function:
    """What a token is for that no run of the pipeline asks for by itself."""
    for option in (
        click.option(
            "--restore", "backup_id", metavar="BACKUP", help="For `ci-migrate backup restore BACKUP`."
        ),
        click.option(
            "--delete-backup",
            "backups",
            multiple=True,
            metavar="BACKUP",
            help="For `ci-migrate backup delete|prune`: of exactly these; several times.",
        ),
        click.option("--drop-old", is_flag=True, help="For `ci-migrate backup restore --drop-old`."),
        click.option("--repair", metavar="RUN", help="For `ci-migrate repair` of this run."),
        click.option("--forward", is_flag=True, help="With --repair: for `ci-migrate repair --forward`."),
        click.option(
            "--accept-foreign", is_flag=True, help="With --repair: for `ci-migrate repair --accept-foreign`."
        ),
        click.option(
            "--protection",
            "change",
            metavar="CHANGE",
            help="For `ci-migrate protect|unprotect`: unprotect, unfreeze, accept-identity, or what protect printed.",
        ),
    ):
        function = option(function)
    return function


@dataclass(frozen=True)
class Wanted:
    """What the flags of `plan_options`, or of `change_options` alone, say."""

    backup_id: str | None = None
    backups: tuple[str, ...] = ()
    drop_old: bool = False
    repair: str | None = None
    forward: bool = False
    accept_foreign: bool = False
    change: str | None = None
    destination: str | None = None
    rollback: bool = False
    stamp: bool = False

    @classmethod
    def take(cls, options: dict[str, Any]) -> "Wanted":
        """Take these flags out of all that were given.

        Raises:
            UsageError: they are for more than one thing.
        """
        wanted = cls(**{name: options.pop(name) for name in cls.__dataclass_fields__ if name in options})
        if wanted.forward and wanted.repair is None:
            raise UsageError("--forward needs --repair RUN.")
        if wanted.accept_foreign and wanted.repair is None:
            raise UsageError("--accept-foreign needs --repair RUN.")
        if wanted.accept_foreign and wanted.forward:
            raise UsageError("A token is for one thing: --forward or --accept-foreign.")
        if wanted.others + (wanted.rollback or wanted.stamp) > 1:
            raise UsageError("A token is for one thing: name one.")
        return wanted

    @property
    def others(self) -> int:
        """How many things are named that no run of the pipeline asks for."""
        named = (self.backup_id, self.backups, self.drop_old, self.repair, self.change)
        return sum(map(bool, named))

    @property
    def anything(self) -> bool:
        """Whether any of them was given."""
        return self != Wanted()


def plan_request(verb: Verb, wanted: Wanted) -> GateRequest:
    """What the flags ask of the gate."""
    rollback, stamp = wanted.rollback, wanted.stamp
    if (rollback or stamp) and wanted.destination is None:
        raise UsageError(f"{'--rollback' if rollback else '--stamp'} needs --to REVISION.")
    if rollback and stamp:
        raise UsageError("A token is either for --rollback or for --stamp.")
    direction = Direction.STAMP if stamp else Direction.DOWNGRADE if rollback else Direction.UPGRADE
    return GateRequest(verb, direction=direction, destination=wanted.destination)


def find_approvable(run: Run, wanted: Wanted) -> Approvable:
    """What is approved. Version rows that make no sense do not hinder a stamp that takes them away.

    Raises:
        UsageError: there is no such backup, or no such run that is to be repaired.
    """
    if wanted.change:
        return protection_change(run, wanted.change)
    if wanted.backup_id:
        return restoration_of(run, run.catalog.get(wanted.backup_id))
    if wanted.backups:
        return removal_of(run, [run.catalog.get(name).backup_id for name in wanted.backups])
    if wanted.drop_old:
        return replaced_of(run)
    if wanted.repair is not None:
        record = run.ledger.unfinished(database_of(run)) if run.ledger is not None else None
        if record is None or record.run_id != wanted.repair:
            there = f"it is {record.run_id}" if record is not None else "there is none"
            raise UsageError(
                f"Run {wanted.repair} is not the one of target {run.settings.target} that is to be repaired: {there}.",
                hint="ci-migrate status",
            )
        accepts = _foreign(run, record) if wanted.accept_foreign else ()
        return repair_of(run, record, forward=wanted.forward, accepts=accepts)
    return current_plan(run) if wanted.stamp else sound_plan(run)


def _foreign(run: Run, record: RunRecord) -> tuple[str, ...]:
    """What somebody else changed while a run was at work. Raises UsageError where that is nothing."""
    found = RepairContext.of(*resume_run(require_ledger(run), record)).diagnosis.foreign
    if not found:
        raise UsageError(
            "Nothing was changed by somebody else: there is nothing to accept.",
            hint=f"ci-migrate repair --dry-run --target {run.settings.target}",
        )
    return found


def ledger_of(run: Run) -> Ledger:
    """The ledger. Raises UsageError where there is none."""
    if run.ledger is None:
        raise UsageError(f"Target {run.settings.target} has no ledger yet, so there are no tokens.")
    return run.ledger
