"""`ci-migrate token request`."""

import shlex
from typing import Any

import click

from ci_migrate.approval.command_lines import go_on_command
from ci_migrate.approval.request import FILE_NAME, approval_request, write_request
from ci_migrate.approval.requester import commit_of
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.commands.token.plan import Wanted, change_options, find_approvable, ledger_of
from ci_migrate.errors import UsageError
from ci_migrate.gate import actor
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("request")
@change_options
@click.option(
    "--out",
    default=f"ci-migrate-reports/{FILE_NAME}",
    show_default=True,
    metavar="FILE",
    help="Where it goes.",
)
@settings_options
@click.pass_obj
def command(environment: Environment, /, out: str, **options: Any) -> int:
    """Write a request that approvers sign, for what no run asks for by itself: a restore, a repair, a removal."""
    wanted = Wanted.take(options)
    settings = settings_of(environment, options)
    stage = None if wanted.others or not settings.is_tagged("check") else "check"
    if not wanted.others and stage is None:
        raise UsageError(
            "Name what it is for: --restore BACKUP, --delete-backup BACKUP, --drop-old, --repair RUN or "
            "--protection CHANGE."
        )
    with open_session(settings, GateRequest(VERBS["token request"]), environment.interrupt) as run:
        plan = find_approvable(run, wanted)
        ledger = ledger_of(run)
        request = approval_request(
            plan,
            None,
            (),
            settings.target,
            shlex.join(go_on_command(plan)),
            target_uuid=ledger.uuid,
            requester=actor(settings),
            commit=commit_of(settings.environ),
            validity_minutes=settings.token_validity_minutes,
            stage=stage,
        )
        ledger.note_request(None, plan_digest=plan.digest, direction=str(plan.purpose), by=request.requester)
    say(str(write_request(request, environment.directory / out)))
    return 0
