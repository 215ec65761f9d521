"""`ci-migrate serve`, and `ci-migrate serve key create|list|revoke`."""

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, target_option
from ci_migrate.errors import UsageError
from ci_migrate.gate import actor
from ci_migrate.ledger import keys
from ci_migrate.ledger.keys import KeyRecord, Role
from ci_migrate.run.run import require_ledger
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.files import read_settings_file
from ci_migrate.settings.settings import Settings


@click.group("serve", invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option(
    "--target", "targets", multiple=True, metavar="NAME", help="Serve this target alone; several times."
)
@click.option(
    "--trusted-proxy", metavar="ADDRESS", help="The proxy whose X-Forwarded-For says who calls; * for any."
)
@click.option(
    "--failures",
    default=10,
    show_default=True,
    type=click.IntRange(1),
    help="Calls without a good key in a minute, after which an address is not listened to.",
)
@click.pass_context
def command(
    context: click.Context,
    host: str,
    port: int,
    targets: tuple[str, ...],
    trusted_proxy: str | None,
    failures: int,
) -> int | None:
    """The same over HTTP: start migrations, backups and restores from a deploy tool.

    Each call needs a key, which `ci-migrate serve key create` makes. TLS is a proxy's affair.
    """
    if context.invoked_subcommand is not None:
        return None
    environment: Environment = context.obj
    try:
        from ci_migrate.server.app import listen, serve
        from ci_migrate.server.service import Service
    except ImportError as error:
        raise UsageError(
            f"`serve` needs a package that is not installed: {error.name}.",
            hint="pip install 'ci-migrate[server]'",
        ) from error
    service = Service(environment.directory.resolve(), _settings(environment, targets), failures)
    try:
        listening = listen(host, port)
    except OSError as error:
        raise UsageError(
            f"{host} port {port} can't be listened on: {error.strerror}.", hint="Name another: --port 0"
        ) from error
    with listening:
        shown = f"[{host}]" if ":" in host else host
        click.echo(
            f"Listening on http://{shown}:{listening.getsockname()[1]} for {', '.join(service.targets)}."
        )
        sys.stdout.flush()
        serve(service, listening, trusted_proxy=trusted_proxy)
    return 0


def _settings(environment: Environment, targets: tuple[str, ...]) -> Mapping[str, Settings]:
    """The settings of the targets that are served: those that were named, or all."""
    files = read_settings_file(environment.directory.resolve())
    names: tuple[str | None, ...] = targets or tuple(files.targets if files else ()) or (None,)
    found = [settings_of(environment, {"target": name}) for name in names]
    return {settings.target: settings for settings in found}


@command.command("work", hidden=True)
@click.pass_obj
def work(environment: Environment) -> int:
    """One piece of work of a service: told on standard input, answered on standard output."""
    from ci_migrate.server.work import Work, perform

    environment.listen()
    told = msgspec.json.decode(sys.stdin.buffer.read(), type=Work)
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no answer
        answer = perform(told, environment.directory, environment.environ, environment.interrupt)
    with contextlib.suppress(OSError):  # the service may be gone; the ledger knows how the job ended
        sys.stdout.buffer.write(msgspec.json.encode(answer))
        sys.stdout.flush()
    return 0


# --------------------------------------------------------------------------- keys


@command.group("key")
def key() -> None:
    """Keys of those who call. They stand in the target's ledger as hashes, and are good for that target alone."""


@key.command("create")
@click.argument("name")
@click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="viewer reads; operator migrates; approver makes tokens; admin restores and deletes. Each may do all before.",
)
@click.option("--days", default=90, show_default=True, type=int, help="How long it is good.")
@click.option("--never-expires", is_flag=True, help="It is good until it is revoked.")
@target_option
@click.pass_obj
def create(
    environment: Environment, /, name: str, role: str, days: int, never_expires: bool, **options: Any
) -> int:
    """Make a key for NAME and print it. It is shown once and kept nowhere."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest("serve key create"), environment.interrupt, ledger=True) as (
        run,
        _,
    ):
        made, record = keys.create(
            require_ledger(run).ledger,
            name=name,
            role=Role(role),
            target=settings.target,
            by=actor(settings),
            days=None if never_expires else days,
        )
    click.echo(f"{_line(record)}\nKeep it secret; it is not shown again:", err=True)
    click.echo(made)
    return 0


@key.command("list")
@target_option
@click.pass_obj
def list_(environment: Environment, /, **options: Any) -> int:
    """All keys that were made, without the keys themselves."""
    with open_session(
        settings_of(environment, options), GateRequest("serve key list"), environment.interrupt
    ) as (
        run,
        _,
    ):
        found = keys.list_keys(run.ledger) if run.ledger is not None else ()
    for record in found:
        click.echo(_line(record))
    if not found:
        click.echo("No keys.")
    return 0


@key.command("revoke")
@click.argument("key_id")
@target_option
@click.pass_obj
def revoke(environment: Environment, /, key_id: str, **options: Any) -> int:
    """Make a key useless, at once."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest("serve key revoke"), environment.interrupt, ledger=False) as (
        run,
        _,
    ):
        if run.ledger is None:
            raise UsageError(f"Target {settings.target} has no ledger yet, so there are no keys.")
        record = keys.revoke(run.ledger, key_id, by=actor(settings))
    click.echo(f"Revoked: {_line(record)}")
    return 0


def _line(record: KeyRecord) -> str:
    good = "never expires" if record.expires is None else f"until {record.expires:%Y-%m-%d %H:%M} UTC"
    if record.revoked is not None:
        good = f"revoked {record.revoked:%Y-%m-%d %H:%M} UTC"
    return f"{record.key_id}  {record.role:<8}  {record.target}  {record.name}  {good}"
