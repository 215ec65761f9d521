"""`ci-migrate token generate|validate|list|revoke`."""

import shlex
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

from ci_migrate.approval.command_lines import go_on_command
from ci_migrate.approval.envelope import merge as merged
from ci_migrate.approval.request import FILE_NAME, approval_request, write_request
from ci_migrate.approval.requester import commit_of
from ci_migrate.approval.tokens import generate as make_token
from ci_migrate.approval.tokens import list_tokens
from ci_migrate.approval.tokens import revoke as take_back
from ci_migrate.approval.verification import describe_token
from ci_migrate.commands.approve import approved
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import Function, settings_of, settings_options, target_option, token_of
from ci_migrate.errors import RefusedError, UsageError
from ci_migrate.gate import actor
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Direction, Plan, ProtectionChange
from ci_migrate.operations.backups import restore_plan
from ci_migrate.operations.protection import protection_change
from ci_migrate.operations.status import current_plan, sound_plan
from ci_migrate.run.authorization import refuse_confirmation, validated
from ci_migrate.run.run import Run, show_heads
from ci_migrate.session import GateRequest, open_session


def plan_options(function: Function) -> Function:
    """What a token is for; by default a run to where the settings say."""
    for option in (
        click.option(
            "--restore", "backup_id", metavar="BACKUP", help="For `ci-migrate backup restore BACKUP`."
        ),
        click.option(
            "--protection",
            "change",
            metavar="CHANGE",
            help="For `ci-migrate protect|unprotect`: unprotect, unfreeze, accept-identity, or what protect printed.",
        ),
        click.option("--rollback", is_flag=True, help="For `ci-migrate rollback --to`."),
        click.option("--stamp", is_flag=True, help="For `ci-migrate stamp`; --to says what it marks."),
        click.option(
            "--to", "destination", metavar="REVISION", help="Destination, as in the run that it is for."
        ),
    ):
        function = option(function)
    return function


def _order(command: str, destination: str | None, *, rollback: bool, stamp: bool) -> GateRequest:
    if (rollback or stamp) and destination is None:
        raise UsageError(f"{'--rollback' if rollback else '--stamp'} needs --to REVISION.")
    if rollback and stamp:
        raise UsageError("A token is either for --rollback or for --stamp.")
    direction = Direction.STAMP if stamp else Direction.DOWNGRADE if rollback else Direction.UPGRADE
    return GateRequest(command, direction=direction, destination=destination)


@click.group("token")
def command() -> None:
    """Approval tokens: each fits exactly one plan on one database, once."""


@command.command("generate")
@click.option("--reason", required=True, help="Why; stands in the audit trail.")
@click.option("--by", help="Who approves; by default the user of this machine or the CI's actor.")
@click.option("--request", metavar="FILE", help="Sign this approval request, as `ci-migrate approve` does.")
@click.option("--key", metavar="FILE", help="With --request: your SSH key.")
@plan_options
@click.option("--plan", "expected", metavar="DIGEST", help="Refuse if another plan is pending than this one.")
@click.option("--quiet", is_flag=True, help="Print the token alone.")
@settings_options
@click.pass_obj
def generate(
    environment: Environment,
    /,
    reason: str,
    request: str | None,
    key: str | None,
    by: str | None,
    destination: str | None,
    rollback: bool,
    stamp: bool,
    backup_id: str | None,
    change: str | None,
    expected: str | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Make a token for what is pending now. It is shown once and kept nowhere.

    With --request and --key it is signed, and neither database nor ledger is reached.
    """
    if (request is None) != (key is None):
        raise UsageError("--request and --key go together.")
    if request is not None and key is not None:
        if by or destination or rollback or stamp or backup_id or change or expected is not None:
            raise UsageError("What is approved stands in the request: --request and --key go alone.")
        click.echo(approved(environment, request, key, reason))
        return 0
    settings = settings_of(environment, options)
    order = _order("token generate", destination, rollback=rollback, stamp=stamp)
    with open_session(settings, order, environment.interrupt, ledger=True) as (run, _):
        refuse_confirmation(run)
        plan = _approvable(run, backup_id, change, stamp=stamp)
        if isinstance(plan, Plan) and plan.changes_nothing and not backup_id:
            raise RefusedError(f"Nothing is pending on {plan.identity.place}: there is nothing to approve.")
        if expected is not None and plan.digest != expected:
            raise RefusedError(
                f"What is pending on {plan.identity.place} is plan {plan.digest[:12]}, not {expected[:12] or 'none'}: "
                "it changed since that one was looked at.",
                hint="ci-migrate dry-run, and look again.",
            )
        token, approval = make_token(
            _ledger(run),
            plan=plan,
            target=settings.target,
            reason=reason,
            by=by or actor(settings),
            validity_minutes=settings.token_validity_minutes,
        )
    if not quiet:
        click.echo(
            f"Approved: {_describe(plan)} (plan {plan.digest[:12]}), "
            f"by {approval.approved_by[0]}, until {approval.expires:%H:%M:%S} UTC, once.\n"
            f"Whoever reaches the ledger can confirm; keep the token secret. Use it:\n"
            f"  CI_MIGRATE_TOKEN=... {shlex.join(go_on_command(plan))}",
            err=True,
        )
    click.echo(token)
    return 0


@command.command("request")
@click.option("--restore", "backup_id", metavar="BACKUP", help="For `ci-migrate backup restore BACKUP`.")
@click.option("--protection", "change", metavar="CHANGE", help="For `ci-migrate protect|unprotect`.")
@click.option(
    "--out",
    default=f"ci-migrate-reports/{FILE_NAME}",
    show_default=True,
    metavar="FILE",
    help="Where it goes.",
)
@settings_options
@click.pass_obj
def request_(
    environment: Environment, /, backup_id: str | None, change: str | None, out: str, **options: Any
) -> int:
    """Write a request that approvers sign, for what no run asks for by itself: a restore, a change of protection."""
    if (backup_id is None) == (change is None):
        raise UsageError("Name what it is for: --restore BACKUP or --protection CHANGE.")
    settings = settings_of(environment, options)
    order = GateRequest("token generate")
    with open_session(settings, order, environment.interrupt, ledger=True) as (run, _):
        plan = _approvable(run, backup_id, change, stamp=False)
        ledger = _ledger(run)
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
        )
        ledger.audit("approval requested", None, planDigest=plan.digest, by=request.requester)
    click.echo(write_request(request, environment.directory / out))
    return 0


@command.command("validate")
@click.option(
    "--token-file", metavar="FILE", help="The token; - for standard input. Default: CI_MIGRATE_TOKEN."
)
@plan_options
@settings_options
@click.pass_obj
def validate(
    environment: Environment,
    /,
    token_file: str | None,
    destination: str | None,
    rollback: bool,
    stamp: bool,
    backup_id: str | None,
    change: str | None,
    **options: Any,
) -> int:
    """Say whether a token could be used now, or why not (exit 4)."""
    settings = settings_of(environment, options)
    token = token_of(environment, token_file)
    order = _order("token validate", destination, rollback=rollback, stamp=stamp)
    with open_session(settings, order, environment.interrupt, ledger=False) as (run, _):
        plan = _approvable(run, backup_id, change, stamp=stamp)
        approval = validated(replace(run, token=token), _ledger(run), plan)
    click.echo(
        f"Valid until {approval.expires:%Y-%m-%d %H:%M:%S} UTC: {approval.reason} ({', '.join(approval.approved_by)})."
    )
    return 0


@command.command("list")
@target_option
@click.pass_obj
def list_(environment: Environment, /, **options: Any) -> int:
    """All tokens that were made, without the tokens themselves."""
    with open_session(
        settings_of(environment, options), GateRequest("token list"), environment.interrupt
    ) as (run, _):
        records = list_tokens(run.ledger) if run.ledger is not None else ()
    for record in records:
        a = record.approval
        click.echo(
            f"{a.approval_id}  {record.status:<8}  {a.created:%Y-%m-%d %H:%M}  {', '.join(a.approved_by)}  "
            f"-> {record.destination}  {a.reason}"
        )
    if not records:
        click.echo("No tokens.")
    return 0


@command.command("revoke")
@click.argument("which", required=False)
@click.option("--all-before", type=click.DateTime(), metavar="TIME", help="All that were made before (UTC).")
@target_option
@click.pass_obj
def revoke(
    environment: Environment, /, which: str | None, all_before: datetime | None, **options: Any
) -> int:
    """Make a token useless: by its approval id or the token itself, or all that were made before a time."""
    settings = settings_of(environment, options)
    before = all_before.replace(tzinfo=UTC) if all_before else None
    with open_session(settings, GateRequest("token revoke"), environment.interrupt, ledger=False) as (run, _):
        revoked = take_back(_ledger(run), which, all_before=before, by=actor(settings))
    click.echo(f"Revoked: {', '.join(revoked) or 'none'}.")
    return 0


def _approvable(
    run: Run, backup_id: str | None, change: str | None, *, stamp: bool
) -> Plan | ProtectionChange:
    """What is approved."""
    return protection_change(run, change) if change else _plan(run, backup_id, stamp=stamp)


def _plan(run: Run, backup_id: str | None, *, stamp: bool) -> Plan:
    """Rows that make no sense are no hindrance to what takes them away."""
    if backup_id:
        return restore_plan(run, backup_id)
    return current_plan(run) if stamp else sound_plan(run)


@command.command("merge")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.pass_obj
def merge(environment: Environment, /, files: tuple[str, ...]) -> int:
    """One token with the signatures of several, under the same payload. Reaches no database."""
    tokens = [token_of(environment, file) for file in files]
    click.echo(merged([token.reveal() for token in tokens if token is not None]))
    return 0


@command.command("show")
@click.option(
    "--token-file", metavar="FILE", help="The token; - for standard input. Default: CI_MIGRATE_TOKEN."
)
@click.pass_obj
def show(environment: Environment, /, token_file: str | None) -> int:
    """What a signed token says, and whose keys signed it. Whether they may approve is not looked at."""
    token = token_of(environment, token_file)
    click.echo(describe_token(token.reveal() if token else ""))
    return 0


def _describe(plan: Plan | ProtectionChange) -> str:
    """What is approved, for who approves it."""
    place = plan.identity.place
    if isinstance(plan, ProtectionChange):
        return f"{plan.destination} on {place}"
    at, to = (show_heads([getattr(c, h) for c in plan.contexts]) for h in ("from_heads", "to_heads"))
    if plan.direction is Direction.RESTORE:
        return f"restore of {plan.destination} on {place}, at {at}"
    what = "stamp" if plan.direction is Direction.STAMP else f"{plan.pending} revisions"
    return f"{what} on {place}, at {at} -> {to}"


def _ledger(run: Run) -> Ledger:
    if run.ledger is None:
        raise UsageError(f"Target {run.settings.target} has no ledger yet, so there are no tokens.")
    return run.ledger
