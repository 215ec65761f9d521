"""`ci-migrate doctor`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say, say_json
from ci_migrate.operations.doctor import Health, examine


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, as_json: bool, **options: Any) -> int:
    """Find what stops or weakens the gate, each with its fix. Only reads; ends with 1 if something is bad."""
    found = examine(settings_of(environment, options), environment.interrupt)
    if as_json:
        say_json(found)
    for one in () if as_json else found:
        say(f"{one.health.value:<7} {one.name}: {one.words}")
        if one.fix:
            say(f"        -> {one.fix}")
    return 1 if any(one.health is Health.BAD for one in found) else 0
