"""`ci-migrate backup show`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say_json
from ci_migrate.session import open_catalog


@click.command("show")
@click.argument("backup_id")
@settings_options
@click.pass_obj
def command(environment: Environment, /, backup_id: str, **options: Any) -> int:
    """Show the manifest of a backup, as JSON."""
    backup = open_catalog(settings_of(environment, options)).get(backup_id)
    say_json(backup)
    return 0
