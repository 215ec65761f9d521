"""`ci-migrate fleet retry`."""

from functools import partial
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.fleet.work import run_options, work
from ci_migrate.commands.options import actor_options, settings_options
from ci_migrate.fleet.runs import resume_fleet


@click.command("retry")
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
    """Go on with a fleet run, also with the databases that failed or were left out.

    As `fleet resume` otherwise. Mend the cause first: what failed for a reason fails again.
    """
    go_on = partial(resume_fleet, fleet_run=fleet_run, retry=True)
    return work(environment, options, go_on, shard=shard, as_json=as_json, by=by, reason=reason)
