"""`ci-migrate backup verify`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.commands.progress import watch_progress
from ci_migrate.operations.backups import verify_by_restore, verify_files
from ci_migrate.session import GateRequest, open_catalog, open_session
from ci_migrate.verbs import VERBS


@click.command("verify")
@click.argument("backup_id")
@click.option("--restore", "by_restore", is_flag=True, help="Prove it by restoring it into a scratch copy.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, backup_id: str, by_restore: bool, **options: Any) -> int:
    """Compare every file with its checksum; with --restore also what a restore gives."""
    settings = settings_of(environment, options)
    environment.listen()
    watch = watch_progress(environment)
    if not by_restore:
        catalog = open_catalog(settings)
        say(verify_files(catalog, catalog.get(backup_id), watch))
        return 0
    with open_session(
        settings, GateRequest(VERBS["backup verify"], watch=watch), environment.interrupt
    ) as run:
        say(verify_by_restore(run, run.catalog.get(backup_id)))
    return 0
