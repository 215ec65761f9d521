"""`ci-migrate migrate`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import report_options, settings_options
from ci_migrate.commands.show import pipeline_command


@click.command("migrate")
@click.option("--to", "destination", metavar="REVISION", help="Destination, as `alembic upgrade`.")
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@settings_options
@report_options
@click.pass_obj
def command(
    environment: Environment, /, destination: str | None, token_file: str | None, **options: Any
) -> int:
    """As `run`, without the dry run. Refused on production."""
    return pipeline_command(environment, "migrate", options, destination=destination, token_file=token_file)
