"""`ci-migrate token revoke`."""

from datetime import UTC, datetime
from typing import Any

import click

from ci_migrate.approval import nonces
from ci_migrate.approval.confirmation import revoke
from ci_migrate.approval.envelope import Envelope, looks_signed
from ci_migrate.approval.payload import decode_payload
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, target_option
from ci_migrate.commands.token.plan import ledger_of
from ci_migrate.gate import actor
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
    """Make a token useless: by its approval id, or all before a time. A signed one also by the token itself."""
    settings = settings_of(environment, options)
    before = all_before.replace(tzinfo=UTC) if all_before else None
    with open_session(settings, GateRequest(VERBS["token revoke"]), environment.interrupt) as run:
        if which is not None and looks_signed(which):
            payload = decode_payload(Envelope.decode(which).payload)
            nonces.revoke(ledger_of(run), payload, actor(settings))
            revoked: tuple[str, ...] = (payload.nonce,)
        else:
            revoked = revoke(ledger_of(run), which, all_before=before, by=actor(settings))
    click.echo(f"Revoked: {', '.join(revoked) or 'none'}.")
    return 0
