"""`ci-migrate check`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import report_options, settings_options
from ci_migrate.commands.show import pipeline_command


@click.command("check")
@click.option("--to", "destination", metavar="REVISION", help="Destination, as `alembic upgrade`.")
@settings_options
@report_options
@click.pass_obj
def command(environment: Environment, /, destination: str | None, **options: Any) -> int:
    """The plan and every static check. Reads only."""
    return pipeline_command(environment, "check", options, destination=destination)
