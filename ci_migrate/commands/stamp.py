"""`ci-migrate stamp`."""

from dataclasses import replace
from typing import Any

import click

from ci_migrate import gate
from ci_migrate.commands.early import pipeline_command
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import report_options, settings_options
from ci_migrate.errors import UsageError
from ci_migrate.model import Direction
from ci_migrate.verbs import VERBS


@click.command("stamp")
@click.argument("revision")
@click.option("--reason", required=True, help="Why; stands in the audit trail.")
@click.option(
    "--purge",
    is_flag=True,
    help="Take all version rows away first: for rows that make no sense to the scripts.",
)
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@settings_options
@report_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    revision: str,
    reason: str,
    purge: bool,
    token_file: str | None,
    **options: Any,
) -> int:
    """Mark REVISION in the version table, like `alembic stamp`, and run nothing else.

    Locks, asks for an approval and writes a journal like any migration, and compares the schema before and after.
    Takes no backup: the earlier version rows are in the audit trail.
    """
    if not reason.strip():
        raise UsageError("A stamp needs a reason.", hint="Say why: --reason 'ticket 4711: ...'")
    return pipeline_command(
        environment,
        VERBS["stamp"],
        options,
        direction=Direction.STAMP,
        destination=revision,
        token_file=token_file,
        work=lambda settings, request: gate.run(
            settings, replace(request, purge=purge, reason=reason.strip()), environment.interrupt
        ),
    )
