"""`ci-migrate token generate|request|validate|list|revoke|merge|show`."""

import click

from ci_migrate.commands import VerbGroup


@click.group("token", cls=VerbGroup, verb="token")
def command() -> None:
    """Approval tokens: each fits exactly one plan on one database, once."""
