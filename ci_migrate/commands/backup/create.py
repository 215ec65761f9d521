"""`ci-migrate backup create`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.commands.progress import say_aside, watch_progress
from ci_migrate.operations.backups import create_backup
from ci_migrate.reports.story import size
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("create")
@click.option(
    "--table", "tables", multiple=True, metavar="NAME", help="The rows of this table alone; several times."
)
@settings_options
@click.pass_obj
def command(environment: Environment, /, tables: tuple[str, ...], **options: Any) -> int:
    """Back up the target: all of it, or with --table the rows of some tables."""
    settings = settings_of(environment, options)
    environment.listen()
    request = GateRequest(VERBS["backup create"], tell=say_aside, watch=watch_progress(environment))
    with open_session(settings, request, environment.interrupt) as run:
        backup = create_backup(run, tables)
    say(f"{backup.backup_id}  {size(backup.backup_size)}  {backup.description}  {backup.backup_path}")
    return 0
