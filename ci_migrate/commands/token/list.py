"""`ci-migrate token list`."""

from typing import Any

import click

from ci_migrate.approval.tokens import list_tokens
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, target_option
from ci_migrate.commands.printing import say
from ci_migrate.reports.clean import one_line
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("list")
@target_option
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """List all tokens that were made, without the tokens themselves."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["token list"]), environment.interrupt) as run:
        records = list_tokens(run.ledger) if run.ledger is not None else ()
    for record in records:
        a = record.approval
        say(
            f"{a.approval_id}  {record.status:<8}  {a.created:%Y-%m-%d %H:%M}  {one_line(', '.join(a.approved_by))}  "
            f"-> {record.destination}  {one_line(a.reason)}"
        )
    if not records:
        say("No tokens.")
    return 0
