"""`ci-migrate fleet run`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.fleet.work import run_options, work
from ci_migrate.fleet.runs import run_fleet


@click.command("run")
@run_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Migrate all databases of a fleet that are behind: the canary first, then in waves.

    Each is migrated as by `ci-migrate run`: checked, backed up, rehearsed on its own copy, locked, verified. Those that
    have drifted, have an unknown revision or an unfinished run, or can't be reached are left out and reported.

    On production each asks for an approval; one token can be for many (ci-migrate fleet request).

    Ends with 0 if all databases are at the destination, otherwise with the code of the one that fared worst.
    """
    return work(environment, run_fleet, **options)
