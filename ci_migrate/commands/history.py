"""`ci-migrate history`."""

from collections.abc import Iterator
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say, say_json
from ci_migrate.commands.progress import say_aside
from ci_migrate.operations.history import PastRun, past_runs
from ci_migrate.reports.clean import one_line
from ci_migrate.reports.story import duration
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("history")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many runs.")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, limit: int, as_json: bool, **options: Any) -> int:
    """List the runs of this target, newest first: when, how long, by whom, who approved it, and why."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["history"], tell=say_aside), environment.interrupt) as run:
        found = past_runs(run, limit)
    if as_json:
        say_json(found)
        return 0
    if not found:
        say("No run yet.")
    for past in found:
        for line in _lines(past):
            say(line)
    return 0


def _lines(past: PastRun) -> Iterator[str]:
    ended = "did not end" if past.exit_code is None else f"exit {past.exit_code}"
    took = "" if past.seconds is None else duration(past.seconds)
    way = f"{past.from_heads} -> {past.to_heads}" if past.to_heads else ""
    yield (
        f"{past.started:%Y-%m-%d %H:%M}  {past.run_id}  {past.command:<8}  {ended:<11}  "
        f"{past.state or '':<18}  {took:>10}  {one_line(past.actor)}  {way}".rstrip()
    )
    words = [f"approved by {', '.join(past.approved_by)}"] if past.approved_by else []
    words += [past.reason] if past.reason else []
    if words:
        yield f"{'':<18}{one_line(': '.join(words))}"
