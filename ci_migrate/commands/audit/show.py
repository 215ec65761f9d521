"""`ci-migrate audit show`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say_json
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("show")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 1_000_000), help="How many records."
)
@settings_options
@click.pass_obj
def command(environment: Environment, /, limit: int, **options: Any) -> int:
    """Show the records, one JSON object a line."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["audit show"]), environment.interrupt) as run:
        for record in run.ledger.audit_records(limit) if run.ledger is not None else ():
            say_json(record, indent=False)
    return 0
