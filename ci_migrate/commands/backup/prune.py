"""`ci-migrate backup prune`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, target_option, token_of
from ci_migrate.commands.printing import say
from ci_migrate.model import BackupStatus
from ci_migrate.operations.backups import prune_backups
from ci_migrate.reports.story import size
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("prune")
@click.option("--keep", type=int, help="Of how many migrations backups are kept; default: keep-backups.")
@click.option("--yes", is_flag=True, help="Really delete them.")
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@target_option
@click.pass_obj
def command(
    environment: Environment, /, keep: int | None, yes: bool, token_file: str | None, **options: Any
) -> int:
    """Delete backups older than the last migrations. Without --yes only say which."""
    settings = settings_of(environment, options)
    request = GateRequest(VERBS["backup prune"], token=token_of(environment, token_file))
    with open_session(settings, request, environment.interrupt) as run:
        removed = prune_backups(run, settings.keep_backups if keep is None else keep, sure=yes)
        # named, not removed: another process may be writing one, another version may read the other
        others = [b for b in run.catalog.list() if b.status is not BackupStatus.SUCCESS]
    for b in removed:
        say(f"{'Deleted' if yes else 'Would delete'}: {b.backup_id}, {size(b.backup_size)}")
    if not removed:
        say("Nothing to delete.")
    elif not yes:
        say("Add --yes to delete them.")
    for b in others:
        why = (
            f"ci-migrate backup delete {b.backup_id} --yes"
            if b.status is BackupStatus.FAILED
            else b.description
        )
        say(f"{b.status.value}, not touched: {b.backup_id} ({why})")
    return 0
