"""`ci-migrate status`."""

from typing import Any

import click

from ci_migrate.approval.payload import CLOCKS_DIFFER
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say, say_json
from ci_migrate.commands.progress import say_aside
from ci_migrate.model import command_lines, plural, show_heads
from ci_migrate.operations.status import Status, status
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS

WIDTH = 12
SHOWN = 3


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, as_json: bool, **options: Any) -> int:
    """Show where the target is, the last run, and what to do next. Only reads.

    Ends with 5 while a run is at work, 7 if a run was left unfinished, and 1 if the version rows make no sense.
    """
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["status"], tell=say_aside), environment.interrupt) as run:
        found = status(run)
    if as_json:
        say_json(found)
    for name, value in () if as_json else _rows(found):
        say(f"{name:<{WIDTH}} {value}".rstrip())
    return int(found.exit_code)


def _rows(found: Status) -> list[tuple[str, str]]:
    at = show_heads(found.heads)
    if found.tables:
        at += f"   (no version row, and {plural(found.tables, 'table')})"
    pending = (
        f"{plural(len(found.pending), 'revision')}: {_some(found.pending)}" if found.pending else "nothing"
    )
    rows = [
        ("target", f"{found.target}  {found.place}"),
        ("is at", at),
        ("scripts at", " + ".join(found.script_heads) or "base"),
        ("pending", pending),
        ("production", f"yes ({found.production})" if found.production else "no"),
        ("protected", found.protection or "no"),
    ]
    last = found.last
    if last is not None:
        code = "" if last.exit_code is None else f"exit {last.exit_code}, "
        ended = f"{code}{last.state or 'did not end'}"
        rows.append(
            ("last run", f"{last.run_id}  {last.command}  {last.started:%Y-%m-%d %H:%M} UTC  {ended}")
        )
    if found.unfinished is not None and found.running:
        rows.append(("RUNNING", f"{found.unfinished.run_id}: {found.running}"))
    elif found.unfinished is not None and found.diagnosis is not None:
        state = f"{found.unfinished.run_id}: {found.diagnosis.found}: {found.diagnosis.words}"
        rows.append(("UNFINISHED", state))
    if found.outside:
        rows.append(("outside", "not as the last run left it:"))
        rows += [("", words) for words in found.outside[:SHOWN]]
        if len(found.outside) > SHOWN:
            rows.append(("", f"and {len(found.outside) - SHOWN} more"))
    backup, age = found.proven, found.proven_age
    proven = "no backup was proven yet" if backup is None else f"{backup.backup_id}  {_ago(age or 0)}"
    rows.append(("last proven", proven))
    if found.trouble:
        rows.append(("TROUBLE", found.trouble))
    lines = command_lines(found.commands)
    return [*rows, *zip(("next", *[""] * len(lines)), lines or ("nothing to do",), strict=False)]


def _some(names: tuple[str, ...]) -> str:
    """`r3, r4, ... r9`."""
    return ", ".join(names if len(names) <= 2 * SHOWN else (*names[:SHOWN], "...", names[-1]))


def _ago(seconds: float) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `12 days ago`; by a clock that was put back since, none of these."""
    if seconds < -CLOCKS_DIFFER.total_seconds():
        return "by a clock that is ahead of this one"
    for size, word in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (word == "min" and seconds >= size):
            return f"{int(seconds // size)} {word} ago"
    return "just now"
