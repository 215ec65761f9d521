"""`ci-migrate rollback`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import report_options, settings_options
from ci_migrate.commands.show import pipeline_command
from ci_migrate.model import Direction


@click.command("rollback")
@click.option(
    "--to", "destination", metavar="REVISION", required=True, help="Where to, as `alembic downgrade`."
)
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@settings_options
@report_options
@click.pass_obj
def command(environment: Environment, /, destination: str, token_file: str | None, **options: Any) -> int:
    """Go back to a revision by downgrade: backed up, rehearsed, approved like any migration."""
    return pipeline_command(
        environment,
        "rollback",
        options,
        direction=Direction.DOWNGRADE,
        destination=destination,
        token_file=token_file,
    )
