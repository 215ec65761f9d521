"""`ci-migrate backfill run`."""

import shlex
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options, token_of
from ci_migrate.commands.printing import say
from ci_migrate.commands.progress import say_aside
from ci_migrate.operations.backfills import find_registered, run_backfill
from ci_migrate.run.run import require_ledger
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("run")
@click.argument("name")
@click.option("--again", is_flag=True, help="Forget how far it is: all rows are done once more.")
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@settings_options
@click.pass_obj
def command(
    environment: Environment, /, name: str, again: bool, token_file: str | None, **options: Any
) -> int:
    """Run a registered backfill until its end; go on where an earlier try stopped.

    Ctrl-C or SIGTERM stops it after the batch under way. No other run works on the target meanwhile.
    """
    settings = settings_of(environment, options)
    registered = find_registered(settings, name)
    environment.listen()
    request = GateRequest(VERBS["backfill run"], token=token_of(environment, token_file), tell=say_aside)
    with open_session(settings, request, environment.interrupt) as run:
        filled = run_backfill(require_ledger(run), registered, again=again)
    done = filled.progress
    counts = (
        f"{done.rows:,} rows in {done.batches:,} batches, {done.changed:,} of them changed" if done else ""
    )
    if filled.stopped is not None:
        at = f"is at {counts}. These rows stay." if done else "made no batch in this run."
        say(f"Stopped: backfill {name} {at} To go on:")
        say(f"  {shlex.join(['ci-migrate', 'backfill', 'run', name, '--target', settings.target])}")
        return 128 + filled.stopped
    say(f"OK. Backfill {name} has come to its end: {counts}.")
    return 0
