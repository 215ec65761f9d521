"""`ci-migrate status`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.opening import Order, opened
from ci_migrate.stages.base import show_heads
from ci_migrate.status import Status, status


@click.command("status")
@settings_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Where the target is, the last run, and what to do. Reads only; 7 if a run was left unfinished."""
    settings = settings_of(environment, options)
    with opened(settings, Order("status"), environment.interrupt) as (run, _):
        found = status(run)
    width = 12
    for name, value in _rows(found, settings.target):
        click.echo(f"{name:<{width}} {value}")
    return 7 if found.unfinished is not None else 1 if found.trouble is not None else 0


def _rows(found: Status, target: str) -> list[tuple[str, str]]:
    plan = found.plan
    rows = [
        ("target", f"{target}  {found.place}"),
        ("is at", show_heads([c.from_heads for c in plan.contexts])),
        ("scripts at", " + ".join(plan.script_heads) or "base"),
        ("pending", f"{plan.pending} revisions" if plan.pending else "nothing"),
        ("production", f"yes ({found.production})" if found.production else "no"),
    ]
    if found.last is not None:
        last = found.last
        code = "" if last.exit_code is None else f"exit {last.exit_code}, "
        ended = f"{code}{last.state or 'did not end'}"
        rows.append(
            ("last run", f"{last.run_id}  {last.command}  {last.started:%Y-%m-%d %H:%M} UTC  {ended}")
        )
    if found.unfinished is not None and found.diagnosis is not None:
        rows.append(
            ("UNFINISHED", f"{found.unfinished.run_id}: {found.diagnosis.found}: {found.diagnosis.words}")
        )
    backup = found.proven
    rows.append(("last proven", f"{backup.backup_id}" if backup is not None else "no backup was proven yet"))
    if found.trouble is not None:
        rows.append(("TROUBLE", found.trouble.what))
    rows.append(("next", found.trouble.hint if found.trouble is not None else found.advice))
    return rows
