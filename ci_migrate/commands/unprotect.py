"""`ci-migrate unprotect`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.protect import change_options, change_protection
from ci_migrate.operations.protection import unprotect
from ci_migrate.verbs import VERBS


@click.command("unprotect")
@change_options
@click.pass_obj
def command(environment: Environment, /, by: str | None, token_file: str | None, **options: Any) -> int:
    """Take the protection away; needs an approval itself."""
    return change_protection(
        environment, VERBS["unprotect"], options, lambda who: lambda run: unprotect(run, who), by, token_file
    )
