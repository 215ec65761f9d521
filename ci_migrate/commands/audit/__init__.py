"""`ci-migrate audit show|verify|export`."""

import click

from ci_migrate.commands import VerbGroup


@click.group("audit", cls=VerbGroup, verb="audit")
def command() -> None:
    """Show, verify or export the audit trail, in which each record carries the hash of the one before."""
