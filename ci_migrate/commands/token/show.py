"""`ci-migrate token show`."""

import click

from ci_migrate.approval.verification import describe_token
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import token_of
from ci_migrate.commands.printing import say


@click.command("show")
@click.option(
    "--token-file", metavar="FILE", help="The token; - for standard input. Default: CI_MIGRATE_TOKEN."
)
@click.pass_obj
def command(environment: Environment, /, token_file: str | None) -> int:
    """Show what a signed token says, and whose keys signed it. Does not look whether they may approve."""
    token = token_of(environment, token_file)
    say(describe_token(token.reveal() if token else ""))
    return 0
