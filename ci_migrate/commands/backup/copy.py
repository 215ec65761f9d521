"""`ci-migrate backup copy`."""

from typing import Any

import click

from ci_migrate.backups.copy import copy
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.operations.backups import complete
from ci_migrate.reports.story import size
from ci_migrate.session import open_catalog


@click.command("copy")
@click.argument("backup_id")
@click.argument("url")
@settings_options
@click.pass_obj
def command(environment: Environment, /, backup_id: str, url: str, **options: Any) -> int:
    """Copy a complete backup to another folder or s3://bucket/prefix, and verify both."""
    settings = settings_of(environment, options)
    catalog = open_catalog(settings)
    copied = copy(complete(catalog.get(backup_id)), catalog, open_catalog(settings, url))
    say(f"{copied.backup_id}  {size(copied.backup_size)}  verified in {copied.backup_path}")
    return 0
