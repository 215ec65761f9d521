"""Before a restore: what it would lose is shown, then it is asked."""

from collections.abc import Sequence

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.printing import say
from ci_migrate.errors import RefusedError
from ci_migrate.model import Backup, plural
from ci_migrate.run.run import Run

Lost = dict[str, tuple[int | None, int | None]] | None
"""Rows per table now and in the backup, where they differ; None where the target can't be read."""


def confirm_restore(
    environment: Environment,
    run: Run,
    backup: Backup,
    lost: Lost,
    *,
    yes: bool,
    tables: Sequence[str] = (),
    aside: bool = False,
    other: str = "",
) -> None:
    """Show what a restore would lose, and ask.

    Args:
        environment: says whether there is a terminal.
        run: on the target.
        backup: what would be restored.
        lost: rows per table now and then.
        yes: do not ask.
        tables: the rows of these alone.
        aside: standard output belongs to a report.
        other: what can be done instead.

    Raises:
        RefusedError: there is no terminal to ask on.
        click.Abort: the answer was no.
    """
    place = run.database.identity().place
    what = f"{', '.join(tables)} from " if tables else ""
    lines = [f"Restore {what}{backup.backup_id} of {backup.backup_time:%Y-%m-%d %H:%M} UTC over {place}."]
    if lost is None:
        lines.append("  What is there now can't be read: how much would be lost is not known.")
    for table, (now, then) in (lost or {}).items():
        rows, kept = ("no table" if count is None else plural(count, "row") for count in (now, then))
        lines.append(f"  {table}: {rows} now, {kept} in the backup")
    if lost == {}:
        lines.append(
            "  All tables have as many rows as in the backup; changes within rows since then would be lost."
        )
    say("\n".join(lines), err=aside)
    if yes:
        return
    if not environment.interactive:
        raise RefusedError(
            "A restore asks first, and there is no terminal to ask on.",
            hint=f"Add --yes{f', or: {other}' if other else '.'}",
        )
    with environment.ticker.still():
        click.confirm("Restore it?", abort=True, err=aside)
