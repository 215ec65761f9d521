"""`ci-migrate serve key list`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, target_option
from ci_migrate.commands.printing import say
from ci_migrate.commands.serve.key import line
from ci_migrate.ledger import keys
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("list")
@target_option
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """List all keys that were made, without the keys themselves."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["serve key list"]), environment.interrupt) as run:
        found = keys.list_keys(run.ledger) if run.ledger is not None else ()
    for record in found:
        say(line(record))
    if not found:
        say("No keys.")
    return 0
