"""`ci-migrate backfill dry-run`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.commands.progress import say_aside, watch_progress
from ci_migrate.operations.backfills import find_registered, newest_backup, rehearse_backfill
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("dry-run")
@click.argument("name")
@click.option("--backup", "backup_id", metavar="ID", help="Which backup; by default the newest.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, name: str, backup_id: str | None, **options: Any) -> int:
    """Try a registered backfill on a restored backup, from its beginning. The target is not written."""
    settings = settings_of(environment, options)
    registered = find_registered(settings, name)
    environment.listen()
    request = GateRequest(VERBS["backfill dry-run"], tell=say_aside, watch=watch_progress(environment))
    with open_session(settings, request, environment.interrupt) as run:
        backup = run.catalog.get(backup_id) if backup_id is not None else newest_backup(run)
        progress = rehearse_backfill(run, registered, backup)
    say(
        f"OK on {backup.backup_id}: {progress.rows:,} rows in {progress.batches:,} batches, {progress.changed:,} of "
        f"them changed, in {progress.seconds:.1f} s without pauses. The target was not written."
    )
    return 0
