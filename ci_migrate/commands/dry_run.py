"""`ci-migrate dry-run`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import report_options, settings_options
from ci_migrate.commands.show import pipeline_command


@click.command("dry-run")
@click.option("--to", "destination", metavar="REVISION", help="Destination, as `alembic upgrade`.")
@settings_options
@report_options
@click.pass_obj
def command(environment: Environment, /, destination: str | None, **options: Any) -> int:
    """Back up and rehearse on the restored copy; the target is not written."""
    return pipeline_command(environment, "dry-run", options, destination=destination)
