"""A verb that walks the pipeline: stages as they end, reports on every way out, the exit code."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import structs

from ci_migrate import gate
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.github import GitHub
from ci_migrate.commands.options import settings_of, token_of
from ci_migrate.commands.printing import hand_over, say, say_traceback
from ci_migrate.commands.progress import watch_progress
from ci_migrate.commands.reports import (
    refuse_unknown,
    reporters_of,
    with_those_of_the_repository,
    write_all,
)
from ci_migrate.model import Direction, Outcome, Report, StageResult
from ci_migrate.pipeline import Interrupted
from ci_migrate.reports.base import Reporter
from ci_migrate.reports.built_in import REPORTERS
from ci_migrate.reports.json_report import JsonReporter
from ci_migrate.reports.terminal import render_text, stage_line
from ci_migrate.session import GateRequest, create_manager
from ci_migrate.settings.settings import Settings
from ci_migrate.timeouts import HOOK_TIMEOUT
from ci_migrate.verbs import Verb


def pipeline_command(
    environment: Environment,
    verb: Verb,
    options: dict[str, Any],
    *,
    direction: Direction = Direction.UPGRADE,
    destination: str | None = None,
    token_file: str | None = None,
    work: Callable[[Settings, GateRequest], Report] | None = None,
) -> int:
    """Run a pipeline command and return its exit code.

    Args:
        environment: folder, variables, signals.
        verb: which of them.
        options: all flags; those of reports are taken out, the others are settings.
        direction: upgrade or downgrade.
        destination: where to; None for the settings' `to`.
        token_file: where the approval token is.
        work: what to do; the pipeline by default.
    """
    where = {name: options.pop(name) for name in ("report_dir", "junit_xml", "reports", "as_json")}
    say = Say(environment, verb, as_json=where["as_json"])
    github = GitHub(environment, say.command)
    # from here on a signal ends in a report too
    environment.listen()
    settings = None
    reporters: list[Reporter] = list(REPORTERS)
    try:
        with say.quiet():
            settings = settings_of(environment, options)
            reporters = reporters_of(create_manager(settings))
            refuse_unknown(reporters, where["reports"], perhaps=bool(settings.plugins))
            request = GateRequest(
                verb=verb,
                direction=direction,
                destination=destination,
                token=token_of(environment, token_file),
                tell=say.tell,
                watch=watch_progress(environment),
                done=say.done,
                request_file=environment.directory / where["report_dir"] / "approval-request.json",
            )
            report = (work or (lambda s, r: gate.run(s, r, environment.interrupt)))(settings, request)
    except (Exception, Interrupted) as error:  # noqa: BLE001 - beside the boundary: here the report is written
        # a refusal, a bug or a signal before the first stage: the report is written on every way out
        if environment.debug:
            say_traceback()
        environment.interrupt.defer_signals = True
        report = gate.error_report(verb, settings.target if settings else "", error)
    timeout = settings.hook_timeout if settings else HOOK_TIMEOUT
    # only now: what the repository names is not imported before the token was looked at (plugins/manager.py)
    if settings is not None and settings.plugins:
        with say.quiet():
            reporters, words = with_those_of_the_repository(settings, reporters, where["reports"])
        report = gate.add_warnings(report, *words)
    if settings is not None:
        report = structs.replace(report, folder=in_repository(settings.project_dir))
    report = gate.add_warnings(report, *write_all(report, reporters, environment.directory, where, timeout))
    report = gate.add_warnings(report, *github.tell(report, where["report_dir"]))
    say.end(report)
    github.end(report, settings)
    return int(report.exit_code)


def in_repository(folder: Path) -> str:
    """The project's folder from the root of its git repository, POSIX; "" where it is the root or there is none."""
    folder = folder.resolve()
    root = next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)
    return "" if root == folder else folder.relative_to(root).as_posix()


class Say:
    """What people read while it runs; standard output belongs to the JSON where that was asked for."""

    def __init__(self, environment: Environment, verb: Verb, *, as_json: bool) -> None:
        self.environment = environment
        self.stages = verb.stages
        self.as_json = as_json

    def quiet(self) -> "contextlib.AbstractContextManager[object]":
        """A plugin that prints must not get into the JSON."""
        return contextlib.redirect_stdout(sys.stderr) if self.as_json else contextlib.nullcontext()

    def tell(self, text: str) -> None:
        """What a stage is doing."""
        self.echo(f"    {text}")

    def done(self, result: StageResult) -> None:
        """A stage has ended; those that the command does not consist of go without saying."""
        if result.outcome is Outcome.SKIPPED and result.stage not in self.stages:
            return
        line = stage_line(result, self.environment.width, color=self.environment.color)
        self.echo(line.rstrip("\n"), coloured=True)

    def command(self, text: str) -> None:
        """A line for the CI."""
        with contextlib.suppress(OSError):
            hand_over(text, err=self.as_json)

    def echo(self, text: str, *, coloured: bool = False) -> None:
        """A line for people."""
        # nobody may be reading any more (`| head`), and a migration does not stop for that
        with contextlib.suppress(OSError):
            say(text, err=self.as_json, coloured=coloured)

    def end(self, report: Report) -> None:
        """The summary; its last line is the state of the database."""
        text = render_text(report, self.environment.width, color=self.environment.color, stages=False)
        self.echo("")
        self.echo(text.rstrip("\n"), coloured=True)
        if self.as_json:
            hand_over(JsonReporter().render(report).rstrip("\n"))
