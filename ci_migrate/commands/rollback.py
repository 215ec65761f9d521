"""`ci-migrate rollback`."""

import shlex
from dataclasses import replace
from typing import Any

import click

from ci_migrate import gate
from ci_migrate.commands.confirm import Lost, confirm_restore
from ci_migrate.commands.early import pipeline_command
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import report_options, settings_options
from ci_migrate.model import Backup, Direction, Report
from ci_migrate.operations.rollback import back_by_restore
from ci_migrate.run.run import Run
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import Settings
from ci_migrate.verbs import VERBS

ACCEPTED = "CM403=--yes was given"


@click.command("rollback")
@click.option(
    "--to", "destination", metavar="REVISION", required=True, help="Where to, as `alembic downgrade`."
)
@click.option(
    "--by",
    type=click.Choice(["downgrade", "restore"]),
    default="downgrade",
    show_default=True,
    help="By the revisions' downgrade(), or by the backup that was taken at REVISION.",
)
@click.option("--yes", is_flag=True, help="Accept what it loses; do not ask.")
@click.option("--token-file", metavar="FILE", help="The approval token; - for standard input.")
@settings_options
@report_options
@click.pass_obj
def command(
    environment: Environment, /, destination: str, by: str, yes: bool, token_file: str | None, **options: Any
) -> int:
    """Go back to a revision: by downgrade, or by restoring the backup that was taken there.

    A downgrade is backed up, rehearsed and approved like any migration. It is refused if the dry run
    shows that it loses rows or values (--yes accepts that), or leads to another schema than that revision had. The
    refusal names the backup, and what that would lose. A restore shows what was written since, and asks.
    """
    aside = bool(options["as_json"])

    def downgrade(settings: Settings, request: GateRequest) -> Report:
        allow = (*settings.allow, ACCEPTED) if yes else settings.allow
        return gate.run(replace(settings, allow=allow), request, environment.interrupt)

    def restore(settings: Settings, request: GateRequest) -> Report:
        other = [
            "ci-migrate",
            "rollback",
            "--to",
            destination,
            "--by",
            "downgrade",
            "--target",
            settings.target,
        ]

        def sure(run: Run, backup: Backup, lost: Lost) -> None:
            confirm_restore(environment, run, backup, lost, yes=yes, aside=aside, other=shlex.join(other))

        return back_by_restore(settings, request, environment.interrupt, sure=sure)

    return pipeline_command(
        environment,
        VERBS["rollback"],
        options,
        direction=Direction.DOWNGRADE,
        destination=destination,
        token_file=token_file,
        work=restore if by == "restore" else downgrade,
    )
