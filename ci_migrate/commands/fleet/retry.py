"""`ci-migrate fleet retry`."""

from functools import partial
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.fleet.work import run_options, work
from ci_migrate.fleet.runs import resume_fleet


@click.command("retry")
@click.argument("fleet_run", required=False)
@run_options
@click.pass_obj
def command(environment: Environment, /, fleet_run: str | None, **options: Any) -> int:
    """Go on with a fleet run, also with the databases that failed or were left out.

    As `fleet resume` otherwise. Mend the cause first: what failed for a reason fails again.
    """
    return work(environment, partial(resume_fleet, fleet_run=fleet_run, retry=True), **options)
