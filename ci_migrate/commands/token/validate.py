"""`ci-migrate token validate`."""

from dataclasses import replace
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options, token_of
from ci_migrate.commands.printing import say
from ci_migrate.commands.token.plan import plan_options, take_wanted
from ci_migrate.operations.tokens import find_approvable
from ci_migrate.run.approvals import validate_token
from ci_migrate.run.run import require_ledger
from ci_migrate.session import open_session
from ci_migrate.verbs import VERBS


@click.command("validate")
@click.option(
    "--token-file", metavar="FILE", help="The token; - for standard input. Default: CI_MIGRATE_TOKEN."
)
@plan_options
@settings_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    token_file: str | None,
    **options: Any,
) -> int:
    """Say whether a token could be used now, or why not (exit 4)."""
    wanted = take_wanted(options)
    settings = settings_of(environment, options)
    token = token_of(environment, token_file)
    with open_session(settings, wanted.ask(VERBS["token validate"]), environment.interrupt) as run:
        plan = find_approvable(run, wanted)
        approval = validate_token(replace(run, token=token), require_ledger(run).ledger, plan)
    say(
        f"Valid until {approval.expires:%Y-%m-%d %H:%M:%S} UTC: {approval.reason} ({', '.join(approval.approved_by)})."
    )
    return 0
