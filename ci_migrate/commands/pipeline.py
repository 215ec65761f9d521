"""A verb that walks the pipeline: stages as they end, reports on every way out, the exit code."""

import contextlib
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from ci_migrate import gate
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.github import GitHub
from ci_migrate.commands.options import settings_of, token_of
from ci_migrate.commands.printing import hand_over, say, say_traceback
from ci_migrate.commands.progress import watch_progress
from ci_migrate.commands.reports import (
    find_old_places,
    keep_run,
    leaves_reports,
    refuse_unknown,
    report_folder,
    reporters_of,
    with_those_of_the_repository,
    write_all,
)
from ci_migrate.errors import ExitCode
from ci_migrate.migrations.lender import Lender
from ci_migrate.model import Direction, Outcome, Report, StageResult
from ci_migrate.pipeline import Interrupted
from ci_migrate.reports.base import Reporter
from ci_migrate.reports.built_in import REPORTERS
from ci_migrate.reports.json_report import JsonReporter
from ci_migrate.reports.terminal import render_text, stage_line, state_line
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
    by: str | None = None,
    reason: str | None = None,
    work: Callable[[Settings, GateRequest], Report] | None = None,
    lender: Lender | None = None,
) -> int:
    """Run a pipeline command and return its exit code.

    Args:
        environment: folder, variables, signals.
        verb: which of them.
        options: all flags; those of reports are taken out, the others are settings.
        direction: upgrade or downgrade.
        destination: where to; None for the settings' `to`.
        token_file: where the approval token is.
        by: who says that they run it.
        reason: why, for the audit trail.
        work: what to do; the pipeline by default.
        lender: the project's interpreter, if it runs already.
    """
    where = {name: options.pop(name) for name in ("report_dir", "junit_xml", "reports", "as_json")}
    say = Say(environment, verb, as_json=where["as_json"], stages_to=options.pop("stages_to", None))
    github = GitHub(environment, say.command)
    # from here on a signal ends in a report too
    environment.listen()
    say.begin()
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
                by=(by or "").strip(),
                reason=(reason or "").strip(),
                tell=say.tell,
                watch=watch_progress(environment),
                done=say.done,
                request_file=report_folder(environment, settings, where) / "approval-request.json",
                lender=lender,
            )
            report = (work or (lambda s, r: gate.run(s, r, environment.interrupt)))(settings, request)
    except (Exception, Interrupted) as error:  # noqa: BLE001 - beside the boundary: here the report is written
        # a refusal, a bug or a signal before the first stage: the report is written on every way out
        if environment.debug:
            say_traceback()
        environment.interrupt.defer_signals = True
        project = settings.project_dir if settings else None
        report = gate.error_report(verb, settings.target if settings else "", error, project)
    say.ticker.end()
    timeout = settings.hook_timeout if settings else HOOK_TIMEOUT
    # only now: what the repository names is not imported before the token was looked at (plugins/manager.py)
    if settings is not None and settings.plugins:
        with say.quiet():
            reporters, words = with_those_of_the_repository(settings, reporters, where["reports"])
        report = gate.add_warnings(report, *words)
    if settings is not None:
        report = structs.replace(report, folder=in_repository(settings.project_dir))
    if options.get("alembic_config"):
        report = structs.replace(report, options=("-c", options["alembic_config"]))
    folder = report_folder(environment, settings, where)
    if settings is not None:
        report = gate.add_warnings(report, *find_old_places(settings, where))
    if leaves_reports(report, where, folder):
        report = gate.add_warnings(
            report, *write_all(report, reporters, environment.directory, folder, where, timeout)
        )
        report = gate.add_warnings(report, *keep_run(report, folder, where))
    report = gate.add_warnings(report, *github.tell(report, os.path.relpath(folder, environment.directory)))
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

    def __init__(
        self, environment: Environment, verb: Verb, *, as_json: bool, stages_to: int | None = None
    ) -> None:
        self.environment = environment
        self.stages = verb.stages
        self.as_json = as_json
        self.stages_to = stages_to
        self.failed = False
        self.ticker = environment.ticker
        self.verb = verb.name

    def begin(self) -> None:
        """Count the seconds of what is at work."""
        if not self.environment.quiet:
            first = self.stages[0] if self.stages else self.verb
            self.ticker.start(first, terminal=self.environment.terminal)

    def quiet(self) -> "contextlib.AbstractContextManager[object]":
        """A plugin that prints must not get into the JSON."""
        return contextlib.redirect_stdout(sys.stderr) if self.as_json else contextlib.nullcontext()

    def tell(self, text: str) -> None:
        """What a stage is doing."""
        if not self.environment.quiet:
            indent = " " * 4
            width = max(20, self.environment.width - len(indent))
            lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
            self.echo(textwrap.indent("\n".join(lines), indent))

    def done(self, result: StageResult) -> None:
        """A stage has ended; those that the command does not consist of go without saying."""
        self.ticker.name(self._after(result.stage))
        if self.stages_to is not None and result.stage in self.stages:
            # whoever listens may be gone
            with contextlib.suppress(OSError):
                told = {"stage": result.stage, "outcome": result.outcome.value}
                os.write(self.stages_to, msgspec.json.encode(told) + b"\n")
        if self.environment.quiet:
            return
        if result.outcome is Outcome.SKIPPED and (result.stage not in self.stages or self.failed):
            return
        width, color = self.environment.width, self.environment.color
        line = stage_line(result, width, color=color, short=not self.failed)
        self.failed = self.failed or result.outcome in (Outcome.FAILED, Outcome.ERROR)
        self.echo(line.rstrip("\n"), coloured=True)

    def _after(self, stage: str) -> str:
        """The stage that comes next; "" after the last one."""
        following = self.stages[self.stages.index(stage) + 1 :] if stage in self.stages else ()
        return following[0] if following else ""

    def command(self, text: str) -> None:
        """A line for the CI."""
        with contextlib.suppress(OSError):
            hand_over(text, err=self.as_json)

    def echo(self, text: str, *, coloured: bool = False) -> None:
        """A line for people."""
        # nobody may be reading any more (`| head`), and a migration does not stop for that
        with contextlib.suppress(OSError), self.ticker.still():
            say(text, err=self.as_json, coloured=coloured)

    def end(self, report: Report) -> None:
        """The summary; its last line is the state of the database."""
        width, color = self.environment.width, self.environment.color
        if self.environment.quiet and report.exit_code is ExitCode.OK:
            self.echo(state_line(report, color=color), coloured=True)
        else:
            text = render_text(
                report,
                width,
                color=color,
                stages=False,
                verbose=self.environment.verbose,
                screen=self.environment.screen,
            )
            self.echo(f"\n{text}".rstrip("\n"), coloured=True)
        if self.as_json:
            hand_over(JsonReporter().render(report).rstrip("\n"))
