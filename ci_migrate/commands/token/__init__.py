"""`ci-migrate token generate|request|validate|list|revoke|merge|show`."""

import click

from ci_migrate.commands import VerbGroup


@click.group("token", cls=VerbGroup, verb="token")
def command() -> None:
    """Make, check, list, revoke and merge approval tokens. Each fits one plan on one database, once."""
