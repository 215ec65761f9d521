"""`ci-migrate fleet status`."""

from collections import Counter
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.fleet.progress import ProgressLine
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say, say_json
from ci_migrate.fleet.look import Place, Scripts, Seen, look_at_all, read_scripts, show
from ci_migrate.fleet.members import read_members, refuse_unknown_canary
from ci_migrate.fleet.outcome import CODES, exit_code_of
from ci_migrate.fleet.report import summary_lines
from ci_migrate.fleet.runs import read_known, read_run
from ci_migrate.model import plural

SHOWN = 10
WIDTH = 16


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
@click.option(
    "--run",
    "fleet_run",
    is_flag=False,
    flag_value="",
    metavar="[FLEET_RUN]",
    help="How far a fleet run is, by what is written down; the last one by default.",
)
@settings_options
@click.pass_obj
def command(environment: Environment, /, as_json: bool, fleet_run: str | None, **options: Any) -> int:
    """Show where all databases of a fleet are, or with --run how far a fleet run is. Only reads.

    Reads version rows, schemas and ledgers by plain SQL. Alembic is started once, for the scripts; env.py is not run.

    Ends with 7 if a run was left unfinished, 8 if a database could not be read, 1 if one has an unknown revision or
    has drifted, 5 while a run migrates or repairs one, and 0 otherwise, also for databases that are behind. With --run
    it ends as the run did, and with 0 while that has not ended.
    """
    settings = settings_of(environment, options)
    if fleet_run is not None:
        report = read_run(settings, fleet_run or None)
        if as_json:
            say_json(report)
        for text in () if as_json else summary_lines(report, verbose=environment.verbose):
            say(text)
        return int(report.run.exit_code or 0)
    members = read_members(settings)
    refuse_unknown_canary(settings, members)
    scripts = read_scripts(settings, environment.interrupt)
    line = ProgressLine(environment)
    found = look_at_all(
        settings,
        members,
        scripts,
        lambda done: line.show(f"looked at {done:,} of {len(members):,} databases"),
        known=read_known(settings),
    )
    line.end()
    if as_json:
        counts = {place.value: sum(s.state is place for s in found) for place in Place}
        say_json(
            {"target": settings.target, "scriptHeads": scripts.heads, "counts": counts, "databases": found}
        )
    else:
        _print(settings.target, found, scripts, shown=len(found) if environment.verbose else SHOWN)
    return int(exit_code_of(found))


def _print(target: str, found: tuple[Seen, ...], scripts: Scripts, *, shown: int) -> None:
    say(f"{'fleet':<{WIDTH}} {target}  {plural(len(found), 'database')}")
    say(f"{'scripts at':<{WIDTH}} {show(scripts.heads)}")
    for place in Place:
        group = [seen for seen in found if seen.state is place]
        if not group:
            continue
        if place in (Place.AT_HEAD, Place.BEHIND):
            at = Counter(show(seen.heads) for seen in group).most_common()
            words = ", ".join(f"{count:,} at {heads}" for heads, count in at[:SHOWN])
            more = f", and {len(at) - SHOWN} more" if len(at) > SHOWN else ""
            say(
                f"{place.value:<{WIDTH}} {len(group):,}"
                + (f"  ({words}{more})" if place is Place.BEHIND else "")
            )
            continue
        say(f"{place.value:<{WIDTH}} {len(group):,}")
        for seen in group[:shown]:
            say(f"{'':<{WIDTH}} {target}/{seen.name}: {seen.words}")
        if len(group) > shown:
            say(f"{'':<{WIDTH}} and {len(group) - shown:,} more (-v shows all)")
    for name, command in zip(("next", *[""] * len(found)), _next(target, found), strict=False):
        say(f"{name:<{WIDTH}} {command}")


def _next(target: str, found: tuple[Seen, ...]) -> list[str]:
    """What to type, the most pressing first."""
    at = {seen.state: f"--target {target}/{seen.name}" for seen in reversed(found)}  # the first of each
    commands = {place: f"ci-migrate status {at[place]}" for place in CODES if place in at}
    if Place.UNFINISHED in at:
        commands[Place.UNFINISHED] = f"ci-migrate repair --dry-run {at[Place.UNFINISHED]}"
    lines = list(commands.values())
    if any(seen.state is Place.BEHIND for seen in found):
        lines.append(f"ci-migrate fleet run --target {target}")
    return lines or ["nothing to do"]
