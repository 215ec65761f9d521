"""`ci-migrate backup delete`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, target_option, token_of
from ci_migrate.commands.printing import say
from ci_migrate.operations.backups import delete_backup
from ci_migrate.reports.story import size
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("delete")
@click.argument("backup_id")
@click.option("--yes", is_flag=True, help="Really delete it.")
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@target_option
@click.pass_obj
def command(
    environment: Environment, /, backup_id: str, yes: bool, token_file: str | None, **options: Any
) -> int:
    """Delete a backup. Without --yes only say what would be deleted."""
    settings = settings_of(environment, options)
    request = GateRequest(VERBS["backup delete"], token=token_of(environment, token_file))
    with open_session(settings, request, environment.interrupt) as run:
        backup = delete_backup(run, backup_id, sure=yes)
    say(f"{'Deleted' if yes else 'Would delete (add --yes)'}: {backup_id}, {size(backup.backup_size)}")
    return 0
