"""`ci-migrate plan`."""

from typing import Any

import click

from ci_migrate.commands.early import pipeline_command
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import destination_options, report_options, settings_options
from ci_migrate.verbs import VERBS


@click.command("plan")
@destination_options
@settings_options
@report_options
@click.pass_obj
def command(environment: Environment, /, destination: str | None, **options: Any) -> int:
    """Show what would run, on which database. Only reads."""
    return pipeline_command(environment, VERBS["plan"], options, destination=destination)
