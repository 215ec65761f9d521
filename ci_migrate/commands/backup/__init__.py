"""`ci-migrate backup create|list|show|verify|copy|restore|delete|prune`."""

import click

from ci_migrate.commands import VerbGroup


@click.group("backup", cls=VerbGroup, verb="backup")
def command() -> None:
    """Take, inspect, copy, restore and delete backups of the target."""
