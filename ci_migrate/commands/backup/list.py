"""`ci-migrate backup list`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say, say_json
from ci_migrate.operations.backups import list_backups
from ci_migrate.reports.clean import one_line
from ci_migrate.reports.story import size


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="The manifests as JSON.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, as_json: bool, **options: Any) -> int:
    """List the backups of the target, oldest first. FAILED: half-written. UNREADABLE: can't be read."""
    backups, proven, unknown = list_backups(settings_of(environment, options), environment.interrupt)
    if unknown:
        say(f"Which are proven is not known: {unknown}", err=True)
    if as_json:
        say_json(backups)
        return 0
    for b in backups:
        shown = "proven" if b.backup_id in proven else ""
        say(
            f"{b.backup_id:<44} {b.backup_time:%Y-%m-%d %H:%M} UTC  {size(b.backup_size):>9}  {b.status.value:<10}"
            f"{shown:<7} {one_line(b.description)}".rstrip()
        )
    if not backups:
        say("No backups.")
    return 0
