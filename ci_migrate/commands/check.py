"""`ci-migrate check`."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from ci_migrate.commands.early import pipeline_command
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import (
    REPORT_OPTIONS,
    destination_options,
    report_options,
    settings_of,
    settings_options,
)
from ci_migrate.commands.printing import say
from ci_migrate.errors import ExitCode, SettingsError, UsageError
from ci_migrate.model import Report, name_some, plural
from ci_migrate.operations.check_since import check_since
from ci_migrate.operations.watch import watch
from ci_migrate.reports.failure import failure_of_error
from ci_migrate.reports.lines import failure_line, finding_lines
from ci_migrate.session import GateRequest
from ci_migrate.settings.files import read_settings_file
from ci_migrate.settings.settings import Settings
from ci_migrate.settings.targets import any_target
from ci_migrate.verbs import VERBS


@click.command("check")
@destination_options
@click.option(
    "--since",
    metavar="REF",
    help="Check what this branch adds to a git commit, such as origin/main. Reaches no database.",
)
@click.option(
    "--watch",
    "watches",
    is_flag=True,
    help="Check what you have not committed, or what --since names, and check it again whenever a file changes, until "
    "Ctrl-C. Reaches no database.",
)
@settings_options
@report_options
@click.pass_obj
def command(
    environment: Environment, /, destination: str | None, since: str | None, watches: bool, **options: Any
) -> int:
    """Show the plan and run every static check. Only reads."""
    if watches:
        return _watch(environment, since or "HEAD", destination, options)
    if since is None:
        return pipeline_command(environment, VERBS["check"], options, destination=destination)
    if destination is not None:
        raise UsageError("--since looks at all that is new: leave --to out.")
    _choose_target(environment, options)

    def work(settings: Settings, request: GateRequest) -> Report:
        report = check_since(settings, since, environment.interrupt)
        request.done(report.results[0])
        return report

    return pipeline_command(environment, VERBS["check"], options, work=work)


def _choose_target(environment: Environment, options: dict[str, Any]) -> None:
    """Targets share the scripts: where none is named, any of them does."""
    if options["target"] is None:
        files = read_settings_file(environment.directory.resolve())
        options["target"] = any_target(files, environment.environ)


def _watch(environment: Environment, ref: str, destination: str | None, options: dict[str, Any]) -> int:
    """Print findings until a signal ends it, whatever is half typed meanwhile."""
    unfit = [name for name in REPORT_OPTIONS if options.pop(name)]
    if destination is not None or unfit:
        raise UsageError(
            "--watch prints lines and writes no reports: leave --to and the options of reports out."
        )
    environment.listen()
    asked = options["target"]

    def load() -> Settings:
        options["target"] = asked
        _choose_target(environment, options)
        return settings_of(environment, options)

    # it ends by a signal alone
    watch(environment.directory.resolve(), load, ref, environment.interrupt, partial(_show, environment))
    return 0


def _show(
    environment: Environment, folder: Path, found: Report | Exception, changed: list[Path], seconds: float
) -> None:
    """What a check found, in the form that editors know (docs/agents/editor.md)."""
    prefix = os.path.relpath(folder, environment.directory.resolve())
    prefix = "" if prefix == "." else f"{prefix}/"
    names = [os.path.relpath(path, folder) for path in changed]
    say(f"ci-migrate: checking {name_some(names) or 'what is new'}")
    if isinstance(found, Report):
        lines = list(finding_lines(found, prefix))
    else:
        # settings are named from where the command was given, scripts from the project's folder
        settings = isinstance(found, SettingsError)
        failure = failure_of_error(found, int(ExitCode.REFUSED), str(found), folder)
        lines = [failure_line(failure, "" if settings else prefix)]
    for line in lines:
        say(line)
    count = len([line for line in lines if not line.startswith(" ")])
    say(f"ci-migrate: {plural(count, 'finding')} in {seconds:.2f} s")
    sys.stdout.flush()
