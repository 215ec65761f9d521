"""`ci-migrate fleet status|run|resume|retry|matrix`."""

import click

from ci_migrate.commands import VerbGroup


@click.group("fleet", cls=VerbGroup, verb="fleet")
def command() -> None:
    """Look at, and migrate, many databases with the same scripts: a database or a file per tenant."""
