"""`ci-migrate settings`."""

import json
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.settings.listing import describe


@click.command("settings")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, as_json: bool, **options: Any) -> int:
    """Show each setting with its value and where it comes from. Never shows secrets."""
    rows = describe(settings_of(environment, options))
    if as_json:
        say(json.dumps({key: {"value": value, "source": source} for key, value, source in rows}, indent=2))
        return 0
    wide = max(len(key) for key, _, _ in rows)
    long = min(60, max(len(value) for _, value, _ in rows))
    for key, value, source in rows:
        say(f"{key:<{wide}}  {value:<{long}}  {source}")
    return 0
