"""`ci-migrate fleet resume`."""

from functools import partial
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.fleet.work import run_options, work
from ci_migrate.commands.options import actor_options, settings_options
from ci_migrate.fleet.runs import resume_fleet


@click.command("resume")
@click.argument("fleet_run", required=False)
@run_options
@actor_options
@settings_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    fleet_run: str | None,
    as_json: bool,
    shard: str | None,
    by: str | None,
    reason: str | None,
    **options: Any,
) -> int:
    """Go on with a fleet run that was killed or stopped: with the databases that have not ended.

    Without FLEET_RUN the last one of the fleet. What a killed process left in a database is repaired first, as by
    `ci-migrate repair`.
    """
    go_on = partial(resume_fleet, fleet_run=fleet_run, retry=False)
    return work(environment, options, go_on, shard=shard, as_json=as_json, by=by, reason=reason)
