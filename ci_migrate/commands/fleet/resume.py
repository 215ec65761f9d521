"""`ci-migrate fleet resume`."""

from functools import partial
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.fleet.work import run_options, work
from ci_migrate.fleet.runs import resume_fleet


@click.command("resume")
@click.argument("fleet_run", required=False)
@run_options
@click.pass_obj
def command(environment: Environment, /, fleet_run: str | None, **options: Any) -> int:
    """Go on with a fleet run that was killed or stopped: with the databases that have not ended.

    Without FLEET_RUN the last one of the fleet. What a killed process left in a database is repaired first, as by
    `ci-migrate repair`.
    """
    return work(environment, partial(resume_fleet, fleet_run=fleet_run), **options)
