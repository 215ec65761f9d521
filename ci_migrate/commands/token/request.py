"""`ci-migrate token request`."""

from typing import Any

import click

from ci_migrate.approval.request import FILE_NAME, write_request
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import REPORTS, settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.commands.token.plan import change_options, take_wanted
from ci_migrate.errors import UsageError
from ci_migrate.operations.tokens import ask_for_approval, find_approvable
from ci_migrate.run.run import require_ledger
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("request")
@change_options
@click.option(
    "--out",
    default=f"{REPORTS}/{FILE_NAME}",
    show_default=True,
    metavar="FILE",
    help="Where it goes.",
)
@settings_options
@click.pass_obj
def command(environment: Environment, /, out: str, **options: Any) -> int:
    """Write a request for approvers to sign, for what no run asks for by itself: a restore, a repair, a removal."""
    wanted = take_wanted(options)
    settings = settings_of(environment, options)
    stage = None if wanted.others or not settings.is_tagged("check") else "check"
    if not wanted.others and stage is None:
        raise UsageError(
            "Name what it is for: --restore BACKUP, --delete-backup BACKUP, --drop-old, --repair RUN, "
            "--backfill NAME or --protection CHANGE."
        )
    with open_session(settings, GateRequest(VERBS["token request"]), environment.interrupt) as run:
        request = ask_for_approval(require_ledger(run), find_approvable(run, wanted), stage=stage)
    say(str(write_request(request, environment.directory / out)))
    return 0
