"""`ci-migrate history`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.commands.progress import say_aside
from ci_migrate.model import show_heads
from ci_migrate.reports.clean import one_line
from ci_migrate.run.identity import database_of
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("history")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many runs.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, limit: int, **options: Any) -> int:
    """List the runs of this target, newest first."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["history"], tell=say_aside), environment.interrupt) as run:
        records = run.ledger.history(database_of(run), limit=limit) if run.ledger is not None else ()
    if not records:
        say("No run yet.")
    for record in records:
        plan = record.plan
        way = ""
        if plan is not None:
            start, end = [c.from_heads for c in plan.contexts], [c.to_heads for c in plan.contexts]
            way = f"{show_heads(start)} -> {show_heads(end)}"
        ended = "did not end" if record.exit_code is None else f"exit {record.exit_code}"
        say(
            f"{record.started:%Y-%m-%d %H:%M}  {record.run_id}  {record.command:<8}  {ended:<11}  "
            f"{record.state or '':<18}  {one_line(record.actor)}  {way}".rstrip()
        )
    return 0
