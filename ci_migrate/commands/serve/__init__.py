"""`ci-migrate serve`, and `ci-migrate serve key create|list|revoke`."""

import sys
from collections.abc import Mapping

import click

from ci_migrate.commands import VerbGroup
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of
from ci_migrate.commands.printing import say
from ci_migrate.errors import UsageError
from ci_migrate.settings.files import read_settings_file
from ci_migrate.settings.settings import Settings


@click.group("serve", cls=VerbGroup, verb="serve", invoke_without_command=True)
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
@click.option(
    "--host-name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name that callers use; several times. localhost and addresses need none.",
)
@click.pass_context
def command(
    context: click.Context,
    names: tuple[str, ...],
    host: str,
    port: int,
    targets: tuple[str, ...],
    trusted_proxy: str | None,
    failures: int,
) -> int | None:
    """Start migrations, backups and restores over HTTP, from a deploy tool.

    Each call needs a key, which `ci-migrate serve key create` makes. Leave TLS to a proxy.
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
    service = Service(
        environment.directory.resolve(), _settings(environment, targets), failures, (*names, host)
    )
    try:
        listening = listen(host, port)
    except OSError as error:
        raise UsageError(
            f"{host} port {port} can't be listened on: {error.strerror}.", hint="Name another: --port 0"
        ) from error
    with listening:
        shown = f"[{host}]" if ":" in host else host
        say(f"Listening on http://{shown}:{listening.getsockname()[1]} for {', '.join(service.targets)}.")
        sys.stdout.flush()
        serve(service, listening, trusted_proxy=trusted_proxy)
    return 0


def _settings(environment: Environment, targets: tuple[str, ...]) -> Mapping[str, Settings]:
    """The settings of the targets that are served: those that were named, or all."""
    files = read_settings_file(environment.directory.resolve())
    names: tuple[str | None, ...] = targets or tuple(files.targets if files else ()) or (None,)
    found = [settings_of(environment, {"target": name}) for name in names]
    return {settings.target: settings for settings in found}
