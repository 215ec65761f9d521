"""`ci-migrate repair`."""

from dataclasses import replace
from typing import Any

import click

from ci_migrate import gate
from ci_migrate.commands.early import pipeline_command
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import report_options, settings_options
from ci_migrate.verbs import VERBS


@click.command("repair")
@click.option("--dry-run", "only_show", is_flag=True, help="Say what is found and what would be done.")
@click.option(
    "--forward", is_flag=True, help="Run what is left of the migration, as rehearsed, instead of going back."
)
@click.option(
    "--accept-foreign",
    is_flag=True,
    help="Accept what somebody else changed in the schema meanwhile: it is listed, and kept in the audit trail.",
)
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@settings_options
@report_options
@click.pass_obj
def command(
    environment: Environment,
    /,
    only_show: bool,
    forward: bool,
    accept_foreign: bool,
    token_file: str | None,
    **options: Any,
) -> int:
    """Say what state an unfinished run left the target in, repair it, prove it."""
    return pipeline_command(
        environment,
        VERBS["repair"],
        options,
        token_file=token_file,
        work=lambda settings, request: gate.repair(
            settings,
            replace(request, forward=forward, accept_foreign=accept_foreign),
            environment.interrupt,
            only_show=only_show,
        ),
    )
