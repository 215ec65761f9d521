"""`ci-migrate unprotect`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.protect import change_options, change_protection
from ci_migrate.operations.protection import unprotect, unprotect_copy
from ci_migrate.verbs import VERBS


@click.command("unprotect")
@click.option(
    "--copy",
    "copied",
    is_flag=True,
    help="Instead: this is a copy of a protected database; take the original's mark away, without an approval.",
)
@change_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    copied: bool,
    by: str | None,
    token_file: str | None,
    **options: Any,
) -> int:
    """Take the protection away. Needs an approval."""
    change = unprotect_copy if copied else unprotect
    return change_protection(
        environment, VERBS["unprotect"], options, lambda who: lambda run: change(run, who), by, token_file
    )
