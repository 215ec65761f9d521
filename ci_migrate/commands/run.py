"""`ci-migrate run`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import report_options, settings_options
from ci_migrate.commands.show import pipeline_command


@click.command("run")
@click.option("--to", "destination", metavar="REVISION", help="Destination, as `alembic upgrade`.")
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@settings_options
@report_options
@click.pass_obj
def command(
    environment: Environment, /, destination: str | None, token_file: str | None, **options: Any
) -> int:
    """Check, back up, rehearse on the restored backup, approve, migrate, verify; repair if it fails."""
    return pipeline_command(environment, "run", options, destination=destination, token_file=token_file)
