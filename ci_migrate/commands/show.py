"""Running a pipeline command: stages as they end, reports on every way out, the exit code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from ci_migrate import gate, plugins
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, token_of
from ci_migrate.errors import CiMigrateError, UsageError
from ci_migrate.model import Direction, Outcome, Report, StageResult
from ci_migrate.opening import Order
from ci_migrate.reports.base import Reporter, write
from ci_migrate.reports.built_in import REPORTERS
from ci_migrate.reports.json_report import JsonReporter
from ci_migrate.reports.terminal import render_text, stage_line
from ci_migrate.settings import Settings


def pipeline_command(
    environment: Environment,
    command: str,
    options: dict[str, Any],
    *,
    direction: Direction = Direction.UPGRADE,
    destination: str | None = None,
    token_file: str | None = None,
    work: Callable[[Settings, Order], Report] | None = None,
) -> int:
    """Run a pipeline command and return its exit code.

    Args:
        environment: folder, variables, signals.
        command: its name.
        options: all flags; those of reports are taken out, the others are settings.
        direction: upgrade or downgrade.
        destination: where to; None for the settings' `to`.
        token_file: where the approval token is.
        work: what to do; the pipeline by default.
    """
    where = {name: options.pop(name) for name in ("report_dir", "junit_xml", "reports", "as_json")}
    say = Say(environment, command, as_json=where["as_json"])
    environment.listen()
    settings = None
    try:
        settings = settings_of(environment, options)
        order = Order(
            command=command,
            direction=direction,
            destination=destination,
            token=token_of(environment, token_file),
            tell=say.tell,
            done=say.done,
            request_file=environment.directory / where["report_dir"] / "approval-request.json",
        )
        report = (work or (lambda s, o: gate.run(s, o, environment.interrupt)))(settings, order)
    except CiMigrateError as error:
        if environment.debug:
            raise
        report = gate.error_report(command, settings.target if settings else "", error)
    report = _write(report, settings, environment.directory, where)
    say.end(report)
    return int(report.exit_code)


class Say:
    """What people read while it runs; standard output belongs to the JSON where that was asked for."""

    def __init__(self, environment: Environment, command: str, *, as_json: bool) -> None:
        self.environment = environment
        self.stages = gate.STAGES.get(command, ())
        self.as_json = as_json

    def tell(self, text: str) -> None:
        """What a stage is doing."""
        click.echo(f"    {text}", err=self.as_json)

    def done(self, result: StageResult) -> None:
        """A stage has ended; those that the command does not consist of go without saying."""
        if result.outcome is Outcome.SKIPPED and result.stage not in self.stages:
            return
        click.echo(
            stage_line(result, self.environment.width, color=self.environment.color).rstrip("\n"),
            err=self.as_json,
        )

    def end(self, report: Report) -> None:
        """The summary; its last line is the state of the database."""
        text = render_text(report, self.environment.width, color=self.environment.color, stages=False)
        click.echo("", err=self.as_json)
        click.echo(text.rstrip("\n"), err=self.as_json)
        if self.as_json:
            click.echo(JsonReporter().render(report).rstrip("\n"))


def _write(report: Report, settings: Settings | None, directory: Path, where: dict[str, Any]) -> Report:
    """Write all reports. One that fails is a warning; the exit code stays what it is."""
    reporters = {r.format: r for r in _reporters(settings)}
    paths = {name: directory / where["report_dir"] / r.file for name, r in reporters.items()}
    if where["junit_xml"]:
        paths["junit"] = directory / where["junit_xml"]
    warnings = []
    for text in where["reports"]:
        name, _, path = text.partition("=")
        if name not in reporters or not path:
            warnings.append(f"--report {text}: the formats are {', '.join(sorted(reporters))}.")
        else:
            paths[name] = directory / path
    for name, path in paths.items():
        try:
            write(path, reporters[name].render(report))
        except Exception as error:  # noqa: BLE001 - a reporter spoils only itself
            why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            warnings.append(f"The report {path} could not be written: {why}.")
    return msgspec.structs.replace(report, warnings=(*report.warnings, *warnings)) if warnings else report


def _reporters(settings: Settings | None) -> list[Reporter]:
    if settings is None:
        return list(REPORTERS)
    try:
        manager = plugins.create_manager(settings.plugins, settings.project_dir)
        found: list[Reporter] = plugins.unique(
            plugins.collected(manager.hook.ci_migrate_reporters()), "format"
        )
    except UsageError:
        return list(REPORTERS)
    return found
