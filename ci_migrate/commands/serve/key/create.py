"""`ci-migrate serve key create`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, target_option
from ci_migrate.commands.printing import hand_over, say
from ci_migrate.commands.serve.key import line
from ci_migrate.gate import actor
from ci_migrate.ledger import keys
from ci_migrate.ledger.keys import Role
from ci_migrate.run.run import require_ledger
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("create")
@click.argument("name")
@click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="viewer reads; operator migrates; approver makes tokens; admin restores and deletes. Each may do all before.",
)
@click.option("--days", default=90, show_default=True, type=int, help="How long it is good.")
@click.option("--never-expires", is_flag=True, help="It is good until it is revoked.")
@target_option
@click.pass_obj
def command(
    environment: Environment, /, name: str, role: str, days: int, never_expires: bool, **options: Any
) -> int:
    """Make a key for NAME and print it. It is shown once and stored nowhere."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["serve key create"]), environment.interrupt) as run:
        made, record = keys.create(
            require_ledger(run).ledger,
            name=name,
            role=Role(role),
            target=settings.target,
            by=actor(settings),
            days=None if never_expires else days,
        )
    say(f"{line(record)}\nKeep it secret; it is not shown again:", err=True)
    hand_over(made)
    return 0
