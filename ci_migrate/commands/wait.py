"""`ci-migrate wait`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say, say_json
from ci_migrate.commands.progress import say_aside
from ci_migrate.operations.wait import wait


@click.command("wait")
@click.argument("revision", required=False)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 7 * 86400),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="When to give up; 0 looks once.",
)
@click.option(
    "--every",
    type=click.FloatRange(0.05, 3600),
    default=2,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@click.option(
    "--allow-newer",
    is_flag=True,
    help="A database that a later release migrated will do: its revision is unknown to these scripts.",
)
@click.option("--json", "as_json", is_flag=True, help="How it ended as JSON.")
@settings_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    revision: str | None,
    timeout: float,
    every: float,
    allow_newer: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Wait until all revisions of these scripts, or REVISION, are applied: 0 then, 1 if not in time. Reads only.

    8 if the database could not be read at the end. It needs the application's own login and no ledger. Give REVISION
    where a release runs with an older schema than its newest script makes.
    """
    settings = settings_of(environment, options)
    environment.listen()
    ended = wait(
        settings,
        environment.interrupt,
        revision=revision,
        timeout=timeout,
        every=every,
        newer=allow_newer,
        tell=(lambda _text: None) if environment.quiet else say_aside,
    )
    if as_json:
        say_json(ended)
    elif not environment.quiet or not ended.served:
        say(f"{ended.words} ({ended.seconds:.1f} s)")
    return ended.exit_code
