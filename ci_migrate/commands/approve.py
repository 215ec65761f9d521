"""`ci-migrate approve`: on the approver's own machine, with nothing but the request and a key."""

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from ci_migrate.approval import signing
from ci_migrate.approval.description import describe_request
from ci_migrate.approval.envelope import Envelope
from ci_migrate.approval.many import MANY_TYPE
from ci_migrate.approval.many_request import (
    decode_many_request,
    describe_many,
    is_of_many,
    many_payload_of,
    read_many,
    refuse_other_list,
)
from ci_migrate.approval.payload import WAYS_BACK
from ci_migrate.approval.request import FILE_NAME, decode_request, payload_of, read_bytes
from ci_migrate.approval.verification import describe_token
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import REPORTS, token_of
from ci_migrate.commands.printing import hand_over, say
from ci_migrate.errors import UsageError
from ci_migrate.model import RunRepair, now

_DEFAULT_BACK = ("undo", "downgrade")


@click.command("approve")
@click.argument("request", default=f"{REPORTS}/{FILE_NAME}", metavar="[REQUEST]")
@click.option(
    "--key",
    required=True,
    metavar="FILE",
    help="Your SSH key: a private one, or a public one (.pub) whose private half an agent or hardware key holds.",
)
@click.option("--reason", help="Why; stands in the audit trail.")
@click.option("--minutes", type=click.IntRange(1, 7 * 24 * 60), help="How long it counts.")
@click.option(
    "--back",
    multiple=True,
    type=click.Choice([*WAYS_BACK, "none"]),
    help=f"How the same run may lead back if it fails; several times. Default: {' and '.join(_DEFAULT_BACK)}.",
)
@click.option("--token-file", metavar="FILE", help="Sign this token too, instead of a request: N of M.")
@click.pass_obj
def command(environment: Environment, /, key: str, token_file: str | None, **options: Any) -> int:
    """Sign an approval request; prints the token, which is no secret. Reaches no database.

    REQUEST is the file approval-request.json of the run that stopped, .ci-migrate/reports/approval-request.json by
    default; or what `ci-migrate fleet request` wrote, for many databases. To sign a token of many, name it too.
    """
    if token_file is not None:
        if options["reason"] is not None or options["minutes"] is not None or options["back"]:
            raise UsageError("What a token says can't be changed: --token-file goes alone.")
        token = token_of(environment, token_file)
        envelope = msgspec.structs.replace(Envelope.decode(token.reveal() if token else ""), member=None)
        say(describe_token(envelope.encode()), err=True)
        if (
            envelope.payload_type == MANY_TYPE
        ):  # it has the digest of a list: whoever signs it must see the list
            many = read_many(environment.directory / options["request"])
            refuse_other_list(envelope, many)
            say("\n".join(describe_many(many)), err=True)
    else:
        envelope = _envelope(environment, **options)
    hand_over(sign_request(environment, envelope, key))
    return 0


def sign_file(environment: Environment, request: str, key: str, reason: str) -> str:
    """The token of a request, signed with a key; what is approved goes to standard error."""
    envelope = _envelope(environment, request=request, reason=reason, minutes=None, back=())
    return sign_request(environment, envelope, key)


def sign_request(environment: Environment, envelope: Envelope, key: str) -> str:
    """The envelope with one signature more, as a token. Asks for the key's passphrase where it has one."""
    signature = signing.sign(
        environment.directory / Path(key).expanduser(),
        envelope.signed_bytes,
        lambda: _ask_passphrase(environment, key),
    )
    signed = Envelope(
        payload=envelope.payload,
        payload_type=envelope.payload_type,
        signatures=(*envelope.signatures, signature),
    ).encode()
    Envelope.decode(signed)  # not more than anybody would accept
    return signed


def _ask_passphrase(environment: Environment, key: str) -> str:
    """From the terminal, also where standard input is something else. Raises UsageError: there is none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError as error:
        if not environment.interactive:
            raise UsageError(
                f"The key {key} has a passphrase, and there is no terminal to ask for it on.",
                hint=f"# load it into an agent, which signs then\nssh-add {key}\n"
                f"ci-migrate approve --key {key}.pub --reason 'why'",
            ) from error
    return str(click.prompt(f"Passphrase of {key}", hide_input=True, err=True))


def _envelope(
    environment: Environment, *, request: str, reason: str | None, minutes: int | None, back: tuple[str, ...]
) -> Envelope:
    if reason is None:
        raise UsageError("An approval needs a reason.", hint="Say why: --reason 'ticket 4711: ...'")
    path = environment.directory / request
    data = read_bytes(path)
    if is_of_many(data):
        many = decode_many_request(data, path)
        say("\n".join(describe_many(many)), err=True)
        signed = many_payload_of(
            many,
            reason=reason,
            stages=(*many.request.stages, *(way for way in WAYS_BACK if way in (back or _DEFAULT_BACK))),
            minutes=minutes or many.request.validity_minutes,
            moment=now(),
        )
        return Envelope(payload=signed.encode(), payload_type=MANY_TYPE)
    found = decode_request(data, path)
    say("\n".join(describe_request(found)), err=True)
    stages = found.stages
    goes_back = isinstance(found.plan, RunRepair) and not (found.plan.forward or found.plan.accepts)
    if "migrate" in stages or goes_back:
        ways = back or _DEFAULT_BACK
        stages = (*stages, *(way for way in WAYS_BACK if way in ways))
    payload = payload_of(
        found, reason=reason, stages=stages, minutes=minutes or found.validity_minutes, moment=now()
    )
    return Envelope(payload=payload.encode())
