"""`ci-migrate backfill status`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say, say_json
from ci_migrate.model import Frozen
from ci_migrate.operations.backfills import Checkpoint, list_checkpoints
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


class Backfills(Frozen, frozen=True, kw_only=True):
    """What `backfill status --json` prints."""

    target: str
    backfills: tuple[Checkpoint, ...]


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, as_json: bool, **options: Any) -> int:
    """Show how far each backfill of the target is: registered ones, and those of revisions. Only reads."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["backfill status"]), environment.interrupt) as run:
        found = list_checkpoints(run)
    if as_json:
        say_json(Backfills(target=settings.target, backfills=found))
        return 0
    for one in found:
        say(f"{one.name}  {one.words}{'' if one.registered else '  (of a revision)'}")
    if not found:
        say("No backfill is registered, and none has run on this target.")
    return 0
