"""`ci-migrate backup restore`."""

from typing import Any

import click

from ci_migrate.commands.confirm import Lost, confirm_restore
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options, token_of
from ci_migrate.commands.printing import say
from ci_migrate.commands.progress import say_aside, watch_progress
from ci_migrate.errors import UsageError
from ci_migrate.model import Backup
from ci_migrate.operations.backups import Restoring, drop_old, restore_backup
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import Secret, Settings
from ci_migrate.verbs import VERBS


@click.command("restore")
@click.argument("backup_id", required=False)
@click.option(
    "--drop-old", "drop", is_flag=True, help="Instead: drop what earlier restores kept of this target."
)
@click.option(
    "--table", "tables", multiple=True, metavar="NAME", help="The rows of this table alone; several times."
)
@click.option("--from-other-database", is_flag=True, help="Although the backup is another database's.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-safety-backup", is_flag=True, help="Do not back up what is replaced.")
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@settings_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    backup_id: str | None,
    drop: bool,
    tables: tuple[str, ...],
    from_other_database: bool,
    yes: bool,
    no_safety_backup: bool,
    token_file: str | None,
    **options: Any,
) -> int:
    """Put a backup in the place of the target. Shows what that loses, asks, and keeps what it replaces."""
    if (backup_id is None) != drop or (drop and tables):
        raise UsageError("Name either a backup or --drop-old.", hint="ci-migrate backup list")
    settings = settings_of(environment, options)
    environment.listen()
    if backup_id is None:
        return _drop_old(environment, settings, yes=yes, token=token_of(environment, token_file))

    def sure(backup: Backup, lost: Lost) -> None:
        confirm_restore(environment, run, backup, lost, yes=yes, tables=tables)

    request = GateRequest(
        VERBS["backup restore --table" if tables else "backup restore"],
        token=token_of(environment, token_file),
        tell=say_aside,
        watch=watch_progress(environment),
    )
    # an approval is used up in a ledger; without one no ledger is made for a restore, nor missed
    needed = settings.needs_approval("restore")
    with open_session(settings, request, environment.interrupt, ledger=needed or None) as run:
        words = restore_backup(
            run,
            run.catalog.get(backup_id),
            Restoring(
                sure,
                safety_backup=not no_safety_backup,
                tables=tables,
                from_other_database=from_other_database,
            ),
        )
    say(words)
    return 0


def _drop_old(environment: Environment, settings: Settings, *, yes: bool, token: Secret | None) -> int:
    request = GateRequest(VERBS["backup restore --drop-old"], token=token)
    with open_session(settings, request, environment.interrupt) as run:
        names = drop_old(run, sure=yes)
    for name in names:
        say(f"{'Dropped' if yes else 'Would drop (add --yes)'}: {name}")
    if not names:
        say("No restore kept anything.")
    return 0
