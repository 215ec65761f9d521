"""`ci-migrate token generate`."""

import shlex
from typing import Any

import click

from ci_migrate.approval.command_lines import go_on_command
from ci_migrate.approval.description import describe_rehearsal
from ci_migrate.commands.approve import sign_file
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import hand_over, say
from ci_migrate.commands.token.plan import plan_options, take_wanted
from ci_migrate.errors import UsageError
from ci_migrate.gate import actor
from ci_migrate.model import Approvable, Direction, Plan, Restoration, RunRepair, plural, show_heads
from ci_migrate.operations.tokens import confirm
from ci_migrate.run.run import require_ledger
from ci_migrate.session import open_session
from ci_migrate.verbs import VERBS


@click.command("generate")
@click.option("--reason", required=True, help="Why; stands in the audit trail.")
@click.option("--by", help="Who approves; by default the user of this machine or the CI's actor.")
@click.option("--request", metavar="FILE", help="Sign this approval request, as `ci-migrate approve` does.")
@click.option("--key", metavar="FILE", help="With --request: your SSH key.")
@plan_options
@click.option("--plan", "expected", metavar="DIGEST", help="Refuse if another plan is pending than this one.")
@click.option("--quiet", is_flag=True, help="Print the token alone.")
@settings_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    reason: str,
    request: str | None,
    key: str | None,
    by: str | None,
    expected: str | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Make a token for what is pending now. It is shown once and stored nowhere.

    With --request and --key it is signed, without reaching database or ledger.
    """
    wanted = take_wanted(options)
    if (request is None) != (key is None):
        raise UsageError("--request and --key go together.")
    if request is not None and key is not None:
        if by or wanted.anything or expected is not None:
            raise UsageError("What is approved stands in the request: --request and --key go alone.")
        hand_over(sign_file(environment, request, key, reason))
        return 0
    settings = settings_of(environment, options)
    with open_session(settings, wanted.ask(VERBS["token generate"]), environment.interrupt) as run:
        token, approval, plan = confirm(
            require_ledger(run), wanted, reason=reason, by=by or actor(settings), expected=expected
        )
    if not quiet:
        say(
            f"Approved: {_describe(plan)} (plan {plan.digest[:12]}), "
            f"by {approval.approved_by[0]}, until {approval.expires:%H:%M:%S} UTC, once.\n"
            + "".join(f"{words}\n" for words in describe_rehearsal(approval.rehearsal))
            + "Whoever reaches the ledger can confirm; keep the token secret. Use it:\n"
            f"  CI_MIGRATE_TOKEN=... {shlex.join(go_on_command(plan))}",
            err=True,
        )
    hand_over(token)
    return 0


def _describe(plan: Approvable) -> str:
    """What is approved, for who approves it."""
    place = plan.identity.place
    if isinstance(plan, Restoration):
        return f"restore of {plan.destination} (manifest {plan.manifest_sha256[:12]}) on {place}"
    if isinstance(plan, RunRepair) and not plan.accepts:
        return f"repair of {plan.destination} on {place}: {'; '.join(plan.does) or 'no repair fits'}"
    if not isinstance(plan, Plan):
        return f"{plan.purpose} of {plan.destination} on {place}"
    at, to = (show_heads([getattr(c, h) for c in plan.contexts]) for h in ("from_heads", "to_heads"))
    what = "stamp" if plan.direction is Direction.STAMP else plural(plan.pending, "revision")
    return f"{what} on {place}, at {at} -> {to}"
