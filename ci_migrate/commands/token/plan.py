"""What a token is for: the flags that say it."""

from typing import Any

import click

from ci_migrate.commands.options import Function
from ci_migrate.operations.tokens import Wanted


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
            "--table",
            "tables",
            multiple=True,
            metavar="NAME",
            help="With --restore: the rows of this table alone.",
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
        click.option("--backfill", metavar="NAME", help="For `ci-migrate backfill run NAME`."),
        click.option("--again", is_flag=True, help="With --backfill: for `ci-migrate backfill run --again`."),
        click.option(
            "--protection",
            "change",
            metavar="CHANGE",
            help="For `ci-migrate protect|unprotect`: unprotect, unfreeze, accept-identity, or what protect printed.",
        ),
    ):
        function = option(function)
    return function


def take_wanted(options: dict[str, Any]) -> Wanted:
    """Take what the flags above say out of all that were given. Raises UsageError: they are for more than one thing."""
    return Wanted(**{name: options.pop(name) for name in Wanted.__struct_fields__ if name in options})
