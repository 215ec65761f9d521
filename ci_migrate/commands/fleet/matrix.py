"""`ci-migrate fleet matrix`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say_json
from ci_migrate.fleet.members import read_members, shard_of


@click.command("matrix")
@click.option(
    "--shards", type=click.IntRange(1, 256), required=True, help="Into how many parts the fleet is divided."
)
@settings_options
@click.pass_obj
def command(environment: Environment, /, shards: int, **options: Any) -> int:
    """Print the parts of a fleet as JSON, for the matrix of GitHub Actions: {"shard": ["1/4", ...]}.

    Parts without a database are left out. No URL is printed. No database is reached but the one of `fleet-query`.
    """
    members = read_members(settings_of(environment, options))
    numbers = {shard_of(member.name, shards) for member in members}
    say_json({"shard": [f"{number}/{shards}" for number in sorted(numbers)]}, indent=False)
    return 0
