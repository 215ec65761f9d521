"""What `fleet run`, `resume` and `retry` share: the request, what is printed meanwhile, reports and the summary."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.fleet.progress import ProgressLine
from ci_migrate.commands.options import (
    REPORTS,
    actor_options,
    given_flags,
    settings_of,
    settings_options,
    token_of,
)
from ci_migrate.commands.printing import hand_over
from ci_migrate.errors import UsageError
from ci_migrate.fleet.approvals import FILE_NAME, tokens_of
from ci_migrate.fleet.coordinator import FleetRequest
from ci_migrate.fleet.members import read_members, refuse_unknown_canary, take_shard
from ci_migrate.fleet.report import failure_lines, render_json, summary_lines, write_reports
from ci_migrate.fleet.runs import FleetReport
from ci_migrate.ledger.fleets import WENT_WELL, FleetStatus, FleetTarget
from ci_migrate.settings.settings import Secret, Settings

Function = TypeVar("Function", bound=Callable[..., Any])


def run_options(function: Function) -> Function:
    """What all three take: the settings, who and why, an approval, --json, --to REVISION, --shard I/N; for `work`."""
    for option in (
        settings_options,
        actor_options,
        click.option(
            "--request",
            "request",
            metavar="FILE",
            help=f"The request that --token-file approves. Default: {REPORTS}/{FILE_NAME}.",
        ),
        click.option(
            "--token-file", metavar="PATH", help="An approval for many databases; - reads standard input."
        ),
        click.option(
            "--shard",
            metavar="I/N",
            help="Only the part I of N, by a hash of the names: the same on each machine.",
        ),
        click.option("--to", metavar="REVISION", help="Destination, as `alembic upgrade`."),
        click.option(
            "--json", "as_json", is_flag=True, help="Print the report as JSON; all else goes to stderr."
        ),
    ):
        function = option(function)
    return function


def read_shard(text: str | None) -> tuple[int, int] | None:
    """`2/5` as numbers. Raises UsageError."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", text.strip())
    if match is None or int(match[1]) > int(match[2]):
        raise UsageError(f"--shard {text[:40]!a}: it is I/N, such as 1/4 to 4/4.")
    return int(match[1]), int(match[2])


def work(
    environment: Environment,
    do: Callable[[FleetRequest], FleetReport],
    *,
    shard: str | None,
    as_json: bool,
    by: str | None,
    reason: str | None,
    token_file: str | None,
    request: str | None,
    **options: Any,
) -> int:
    """Do it, tell it, write the reports; returns the exit code. The arguments are those of `run_options`."""
    settings = settings_of(environment, options)
    everyone = read_members(settings)
    refuse_unknown_canary(settings, everyone)
    members = take_shard(everyone, read_shard(shard))
    tokens = _tokens(environment, settings, token_file, request)
    line = ProgressLine(environment)
    environment.listen()
    environment.interrupt.defer_signals = True  # the coordinator looks at them itself
    asked = FleetRequest(
        settings=settings,
        members=members,
        directory=environment.directory.resolve(),
        environ=environment.environ,
        flags=given_flags(options),
        interrupt=environment.interrupt,
        shard=shard or "",
        by=(by or "").strip(),
        reason=(reason or "").strip(),
        tokens=tokens,
        looked=lambda done: line.show(f"looked at {done:,} of {len(members):,} databases"),
        ended=partial(_tell, environment, line, settings.target),
        running=lambda done, of, running: line.show(f"{done:,} of {of:,} databases done, {running} at work"),
    )
    report = do(asked)
    line.end()
    for text in write_reports(report, settings.project_dir / REPORTS):
        line.say(text)
    for text in summary_lines(report, verbose=environment.verbose):
        line.say(text, err=as_json)
    if as_json:
        hand_over(render_json(report).rstrip("\n"))
    return int(report.run.exit_code or 0)


def _tokens(
    environment: Environment, settings: Settings, token_file: str | None, request: str | None
) -> dict[str, Secret] | None:
    """By name the token of each database that an approval lists; None where none was given."""
    token = token_of(environment, token_file) if token_file is not None else None
    if token is None:
        if request is not None:
            raise UsageError("--request goes with --token-file: the request that it approves.")
        return None
    path = settings.project_dir / REPORTS / FILE_NAME if request is None else environment.directory / request
    return tokens_of(settings, token, path)


def _tell(environment: Environment, line: ProgressLine, fleet: str, target: FleetTarget) -> None:
    """A database has ended: failures at once, the others with -v."""
    well = target.status in WENT_WELL
    if environment.quiet or (well and not environment.verbose and not target.canary):
        return
    if target.status is FleetStatus.LEFT_OUT and not environment.verbose:
        return  # there may be hundreds: they are counted, and stand in the reports
    for text in failure_lines(fleet, target):
        line.say(text)
