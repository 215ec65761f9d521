"""`ci-migrate backfill run|dry-run|status`."""

import click

from ci_migrate.commands import VerbGroup


@click.group("backfill", cls=VerbGroup, verb="backfill")
def command() -> None:
    """Fill rows in batches after a deploy. Which backfills there are stands in the settings, as `backfills`."""
