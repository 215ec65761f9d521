"""`ci-migrate check`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import destination_options, report_options, settings_options
from ci_migrate.commands.pipeline import pipeline_command
from ci_migrate.errors import UsageError
from ci_migrate.model import Report
from ci_migrate.operations.check_since import check_since
from ci_migrate.session import GateRequest
from ci_migrate.settings.files import read_settings_file
from ci_migrate.settings.settings import Settings, any_target
from ci_migrate.verbs import VERBS


@click.command("check")
@destination_options
@click.option(
    "--since",
    metavar="REF",
    help="What this branch adds to a git commit, as origin/main: no database is reached.",
)
@settings_options
@report_options
@click.pass_obj
def command(environment: Environment, /, destination: str | None, since: str | None, **options: Any) -> int:
    """Show the plan and run every static check. Only reads."""
    if since is None:
        return pipeline_command(environment, VERBS["check"], options, destination=destination)
    if destination is not None:
        raise UsageError("--since looks at all that is new: leave --to out.")
    if options["target"] is None:  # targets share the scripts
        files = read_settings_file(environment.directory.resolve())
        options["target"] = any_target(files, environment.environ)

    def work(settings: Settings, request: GateRequest) -> Report:
        report = check_since(settings, since, environment.interrupt)
        request.done(report.results[0])
        return report

    return pipeline_command(environment, VERBS["check"], options, work=work)
