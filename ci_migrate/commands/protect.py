"""`ci-migrate protect`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import Function, settings_of, target_option, token_of
from ci_migrate.commands.printing import say
from ci_migrate.errors import UsageError
from ci_migrate.gate import actor
from ci_migrate.ledger.protection import Rules
from ci_migrate.operations.guard import guard, lift_guard
from ci_migrate.operations.protection import Change, accept_identity, freeze, move_notes, protect, unfreeze
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS, Verb


def change_options(function: Function) -> Function:
    """Who changes the protection, and by which approval."""
    for option in (
        click.option("--token-file", metavar="FILE", help="The approval token; - for standard input."),
        click.option("--by", help="Who does it; by default the user of this machine or the CI's actor."),
        target_option,
    ):
        function = option(function)
    return function


@click.command("protect")
@click.option(
    "--approver",
    "approvers",
    multiple=True,
    metavar="KEYLINE",
    help="Who may approve: 'NAME ssh-ed25519 AAAA...', as in OpenSSH's allowed signers, or 'NAME FILE.pub'; several "
    "times.",
)
@click.option("--emergency", multiple=True, metavar="KEYLINE", help="A key that suffices alone.")
@click.option(
    "--min-approvals", type=click.IntRange(1, 16), default=1, show_default=True, help="How many people."
)
@click.option(
    "--forbid-self-approval", is_flag=True, help="Who asks, and the CI's actor, may not be among them."
)
@click.option("--freeze", "reason", metavar="REASON", help="Instead: no run may write, until --unfreeze.")
@click.option("--unfreeze", "thaw", is_flag=True, help="Instead: runs may write again.")
@click.option("--guard", "puts_guard", is_flag=True, help="Instead: PostgreSQL refuses DDL outside of a run.")
@click.option(
    "--guard-except", "roles", multiple=True, metavar="ROLE", help="Whose DDL a guard allows; several times."
)
@click.option("--no-guard", "lifts_guard", is_flag=True, help="Instead: lift the guard.")
@click.option("--accept-identity", is_flag=True, help="Instead: the database was moved or failed over.")
@click.option(
    "--move-notes", is_flag=True, help="Instead: note the use of tokens where backup-dir points now."
)
@change_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    approvers: tuple[str, ...],
    emergency: tuple[str, ...],
    min_approvals: int,
    forbid_self_approval: bool,
    reason: str | None,
    thaw: bool,
    puts_guard: bool,
    roles: tuple[str, ...],
    lifts_guard: bool,
    by: str | None,
    token_file: str | None,
    **options: Any,
) -> int:
    """Write into the ledger that the target is protected, and who approves, whatever the repository says.

    The options replace all that was set: approvers that are not named again are revoked.
    Changing a protected target needs an approval.
    """
    accept, move = bool(options.pop("accept_identity")), bool(options.pop("move_notes"))
    instead = (reason is not None, thaw, puts_guard, lifts_guard, accept, move, bool(approvers or emergency))
    if sum(instead) > 1:
        raise UsageError(
            "--freeze, --unfreeze, --guard, --no-guard, --accept-identity, --move-notes and --approver are for one "
            "call each."
        )
    if roles and not puts_guard:
        raise UsageError("--guard-except goes with --guard.")
    rules = Rules(
        approvers=tuple(_key_line(environment, line) for line in approvers),
        emergency=tuple(_key_line(environment, line) for line in emergency),
        min_approvals=min_approvals,
        forbid_self_approval=forbid_self_approval,
    )

    def change(who: str) -> Change:
        if reason is not None:
            return lambda run: freeze(run, reason, who)
        if thaw:
            return lambda run: unfreeze(run, who)
        if puts_guard:
            return lambda run: guard(run, roles, who)
        if lifts_guard:
            return lambda run: lift_guard(run, who)
        if accept:
            return lambda run: accept_identity(run, who)
        if move:
            return lambda run: move_notes(run, who)
        return lambda run: protect(run, rules, who)

    return change_protection(environment, VERBS["protect"], options, change, by, token_file)


def _key_line(environment: Environment, given: str) -> str:
    """A line of allowed signers. `NAME FILE.pub` takes the key of the file; without a name, its comment is the name."""
    words = given.split()
    if not words or not words[-1].endswith(".pub"):
        return " ".join(words)
    file = environment.directory / Path(words[-1]).expanduser()
    try:
        key = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"The public key {file} can't be read: {why}.") from error
    name = words[:-1] or key[2:3]
    if not name:
        raise UsageError(
            f"{file} says nothing of whose key it is.", hint=f"Name them: --approver 'NAME {words[-1]}'"
        )
    return " ".join([*name, *key[:2]])


def change_protection(
    environment: Environment,
    verb: Verb,
    options: dict[str, Any],
    change: Callable[[str], Change],
    by: str | None,
    token_file: str | None,
) -> int:
    """Change the protection and say so."""
    settings = settings_of(environment, options)
    request = GateRequest(verb, token=token_of(environment, token_file))
    with open_session(settings, request, environment.interrupt) as run:
        say(change(by or actor(settings))(run))
    return 0
