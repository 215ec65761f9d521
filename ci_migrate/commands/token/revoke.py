"""`ci-migrate token revoke`."""

from datetime import UTC, datetime
from typing import Any

import click

from ci_migrate.approval.tokens import revoke
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, target_option
from ci_migrate.commands.printing import say
from ci_migrate.gate import actor
from ci_migrate.run.run import require_ledger
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("revoke")
@click.argument("which", required=False)
@click.option("--all-before", type=click.DateTime(), metavar="TIME", help="All that were made before (UTC).")
@target_option
@click.pass_obj
def command(
    environment: Environment, /, which: str | None, all_before: datetime | None, **options: Any
) -> int:
    """Make a token useless: by its approval id or the token itself, or all that were made before a time."""
    settings = settings_of(environment, options)
    before = all_before.replace(tzinfo=UTC) if all_before else None
    with open_session(settings, GateRequest(VERBS["token revoke"]), environment.interrupt) as run:
        revoked = revoke(require_ledger(run).ledger, which, all_before=before, by=actor(settings))
    say(f"Revoked: {', '.join(revoked) or 'none'}.")
    return 0
