"""`ci-migrate migrate`."""

from typing import Any

import click

from ci_migrate.commands.early import pipeline_command
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import actor_options, destination_options, report_options, settings_options
from ci_migrate.verbs import VERBS


@click.command("migrate")
@destination_options
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@actor_options
@settings_options
@report_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    destination: str | None,
    token_file: str | None,
    by: str | None,
    reason: str | None,
    **options: Any,
) -> int:
    """Like `run`, without the dry run. Refused on production."""
    return pipeline_command(
        environment,
        VERBS["migrate"],
        options,
        destination=destination,
        token_file=token_file,
        by=by,
        reason=reason,
    )
