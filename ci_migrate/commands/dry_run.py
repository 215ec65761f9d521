"""`ci-migrate dry-run`."""

from typing import TYPE_CHECKING, Any

import click

from ci_migrate.commands.early import pipeline_command
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import deployed_option, destination_options, report_options, settings_options
from ci_migrate.verbs import VERBS

if TYPE_CHECKING:
    from ci_migrate.model import Report
    from ci_migrate.session import GateRequest
    from ci_migrate.settings.settings import Settings


@click.command("dry-run")
@destination_options
@click.option(
    "--on",
    "stand_in",
    metavar="WHAT",
    help="Instead of the target, which is not reached: empty, backup:latest, backup:ID.",
)
@deployed_option
@settings_options
@report_options
@click.pass_obj
def command(
    environment: Environment, /, destination: str | None, stand_in: str | None, **options: Any
) -> int:
    """Back up and rehearse on the restored copy. The target is not written."""
    work = None
    if stand_in is not None:

        def work(settings: "Settings", request: "GateRequest") -> "Report":
            from ci_migrate.operations.dry_run_on import dry_run_on

            return dry_run_on(settings, request, stand_in, environment.interrupt)

    return pipeline_command(environment, VERBS["dry-run"], options, destination=destination, work=work)
