"""`ci-migrate token merge`."""

import click

from ci_migrate.approval.envelope import merge
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import token_of
from ci_migrate.commands.printing import hand_over


@click.command("merge")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.pass_obj
def command(environment: Environment, /, files: tuple[str, ...]) -> int:
    """Merge the signatures of several tokens of the same payload into one. Reaches no database."""
    tokens = [token_of(environment, file) for file in files]
    hand_over(merge([token.reveal() for token in tokens if token is not None]))
    return 0
