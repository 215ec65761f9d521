"""`ci-migrate serve key revoke`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, target_option
from ci_migrate.commands.printing import say
from ci_migrate.commands.serve.key import line
from ci_migrate.errors import UsageError
from ci_migrate.gate import actor
from ci_migrate.ledger import keys
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("revoke")
@click.argument("key_id")
@target_option
@click.pass_obj
def command(environment: Environment, /, key_id: str, **options: Any) -> int:
    """Revoke a key, at once."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["serve key revoke"]), environment.interrupt) as run:
        if run.ledger is None:
            raise UsageError(f"Target {settings.target} has no ledger yet, so there are no keys.")
        record = keys.revoke(run.ledger, key_id, by=actor(settings))
    say(f"Revoked: {line(record)}")
    return 0
