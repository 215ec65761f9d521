"""The reports of a fleet run: terminal, JSON, JUnit and one page. Pure functions of a finished FleetReport."""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import msgspec
from junit_xml import TestSuite

from ci_migrate import __version__
from ci_migrate.errors import ExitCode
from ci_migrate.fleet.rules import BY_CANARY
from ci_migrate.fleet.runs import FleetReport
from ci_migrate.ledger.fleets import NOT_ENDED, WENT_WELL, FleetRun, FleetStatus, FleetTarget, Rehearsed
from ci_migrate.model import Frozen, Outcome, plural
from ci_migrate.reports import story
from ci_migrate.reports.base import write
from ci_migrate.reports.clean import clean_value, one_line
from ci_migrate.reports.junit import document, make_case, settle

SHOWN = 20
"""Databases that the summary names before it counts."""

MOST_FAILURES, MOST_OTHERS = 500, 1000
"""Rows of the page's two tables; the rest is counted, fleet.json has them all."""

NOT_WELL = tuple(status for status in FleetStatus if status not in WENT_WELL)


# --------------------------------------------------------------------------- in words


def describe(target: FleetTarget) -> str:
    """What became of a database, in one line."""
    if target.status is FleetStatus.MIGRATED:
        usual = target.rehearsed is Rehearsed.OWN_COPY
        rehearsed = "" if usual else f", rehearsed on {rehearsed_on(target)}"
        return f"migrated ({story.duration(target.seconds)}{rehearsed})"
    code = f" (exit {target.exit_code})" if target.exit_code else ""
    stage = f" in {target.stage}" if target.stage else ""
    message = f": {one_line(target.message, 600)}" if target.message else ""
    return f"{target.status.value}{stage}{code}{message}"


def rehearsed_on(target: FleetTarget) -> str:
    """What it was migrated on the strength of; "" where it was not."""
    if target.status is not FleetStatus.MIGRATED:
        return ""
    if not target.instead:
        return target.rehearsed.value
    what = "'s schema, without rows" if target.instead_rehearsed is Rehearsed.OWN_SCHEMA else ""
    return f"a copy of {target.instead}{what}, not of this one"


def next_commands(fleet: str, target: FleetTarget) -> list[str]:
    """What to type for one database that did not come to the destination."""
    name = f"--target {fleet}/{target.name}"
    if target.status is FleetStatus.APPROVAL:
        return [f"ci-migrate run {name}   # with its approval in CI_MIGRATE_TOKEN"]
    if target.exit_code == ExitCode.FAILED_DIRTY:
        return [f"ci-migrate repair --dry-run {name}"]
    return (
        [f"ci-migrate status {name}"] if target.status in (FleetStatus.FAILED, FleetStatus.LEFT_OUT) else []
    )


def failure_lines(fleet: str, target: FleetTarget) -> list[str]:
    """What is told as soon as a database has ended."""
    mark = "ok  " if target.status in WENT_WELL else "FAIL" if target.status is FleetStatus.FAILED else "--  "
    canary = " (canary)" if target.canary else ""
    lines = [f"{mark} {fleet}/{target.name}{canary}: {describe(target)}"]
    if target.status is FleetStatus.FAILED:
        lines += [f"     {command}" for command in next_commands(fleet, target)]
    return lines


def verdict(run: FleetRun) -> str:
    """How a run came out, in a word or two."""
    return "not ended" if run.exit_code is None else story.VERDICT[ExitCode(run.exit_code)]


def headline(report: FleetReport) -> str:
    """How many of how many are where they should be."""
    return f"{report.count(*WENT_WELL):,} of {plural(len(report.targets), 'database')} at the destination"


def counts(report: FleetReport) -> dict[str, int]:
    """How many have each status, those without any left out."""
    found = Counter(target.status for target in report.targets)
    return {status.value: found[status] for status in FleetStatus if found[status]}


def advice(report: FleetReport) -> list[str]:
    """What to type next, for the fleet."""
    run = report.run
    to = "" if run.destination == "head" else f" --to {run.destination}"
    fleet = f"--target {run.fleet}{to}" + (f" --shard {run.shard}" if run.shard else "")
    again = f"ci-migrate fleet retry {run.fleet_run} {fleet}   # once the causes are fixed"
    asking = [target for target in report.targets if target.status is FleetStatus.APPROVAL]
    if run.stopped.startswith(BY_CANARY) and not asking:
        return [again]  # a named one has no substitute: resume would stop at once
    if report.count(*NOT_ENDED):
        return [f"ci-migrate fleet resume {run.fleet_run} {fleet}"]
    if asking and not any(target.stage for target in asking):  # an approval was given, and lists none of them
        return [f"ci-migrate fleet run {fleet}   # rehearses those that the approval did not list"]
    if asking:
        return [f"ci-migrate fleet request {run.fleet_run} --target {run.fleet}"]
    return [again] if report.count(*NOT_WELL) else []


def summary_lines(report: FleetReport, *, verbose: bool) -> Iterator[str]:
    """The end of a run on the terminal; its last line is how it came out."""
    run = report.run
    yield ""
    yield f"{run.fleet_run}: {', '.join(f'{count:,} {name}' for name, count in counts(report).items())}"
    bad = [t for t in report.targets if t.status in NOT_WELL and t.status not in NOT_ENDED]
    shown = len(bad) if verbose else SHOWN
    for target in bad[:shown]:
        yield f"  {run.fleet}/{target.name}: {describe(target)}"
    if len(bad) > shown:
        yield f"  and {len(bad) - shown:,} more (-v shows all)"
    if run.stopped:
        yield f"Stopped: {run.stopped}."
    for command in advice(report):
        yield f"next: {command}"
    code = f" (exit {run.exit_code})" if run.exit_code else ""
    yield f"{verdict(run)}{code}. {headline(report)}."


# --------------------------------------------------------------------------- files


class FleetDocument(Frozen, frozen=True, kw_only=True):
    """What `fleet.json` holds."""

    format: int = 1
    version: str
    exit_code: int | None
    counts: dict[str, int]
    next: tuple[str, ...]
    run: FleetRun
    targets: tuple[FleetTarget, ...]


def render_json(report: FleetReport) -> str:
    """`fleet.json`."""
    made = FleetDocument(
        version=__version__,
        exit_code=report.run.exit_code,
        counts=counts(report),
        next=tuple(advice(report)),
        run=report.run,
        targets=report.targets,
    )
    return msgspec.json.format(msgspec.json.encode(clean_value(made)), indent=1).decode() + "\n"


def render_junit(report: FleetReport) -> str:
    """`fleet.xml`: a suite for each database, with one case."""
    suites = []
    for target in report.targets:
        suite = f"ci-migrate.{report.run.fleet}/{one_line(target.name)}"
        case = make_case("migrate", suite, target.seconds)
        words = describe(target)
        text = "\n".join(
            [words, *next_commands(report.run.fleet, target), *([target.report] * bool(target.report))]
        )
        if target.status in WENT_WELL:
            case.stdout = words
        elif target.status in NOT_ENDED:
            settle(case, Outcome.SKIPPED, f"it has not ended: {words}", "", words)
        else:
            error = target.exit_code in (ExitCode.COULD_NOT_TELL, ExitCode.BUG, ExitCode.USAGE)
            outcome = Outcome.ERROR if error else Outcome.FAILED
            kind = target.status.value.replace(" ", "_")
            settle(case, outcome, words, f"ci_migrate.fleet.{kind}", text)
        properties = {"run-id": target.run_id, "backup-id": target.backup_id, "database": target.place}
        suites.append(
            TestSuite(suite, [case], properties={k: one_line(v) for k, v in properties.items() if v})
        )
    return document(suites, apart=True)


def render_page(report: FleetReport) -> str:
    """`fleet.html`: failures in full, of the rest a table, both of bounded length."""
    from jinja2 import Environment, StrictUndefined

    page = files("ci_migrate.fleet") / "page" / "page.html"
    style = (files("ci_migrate.reports") / "page" / "page.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    cleaned = msgspec.convert(clean_value(report), FleetReport)
    bad = [t for t in cleaned.targets if t.status in NOT_WELL and t.status not in NOT_ENDED]
    rest = [t for t in cleaned.targets if t.status in WENT_WELL or t.status in NOT_ENDED]
    return environment.from_string(page.read_text(encoding="utf-8")).render(
        style=style,
        style_hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        run=cleaned.run,
        good=report.run.exit_code == ExitCode.OK,
        verdict=verdict(cleaned.run),
        headline=headline(cleaned),
        counts=counts(cleaned),
        advice=advice(cleaned),
        bad=bad[:MOST_FAILURES],
        more_bad=max(0, len(bad) - MOST_FAILURES),
        rest=rest[:MOST_OTHERS],
        more_rest=max(0, len(rest) - MOST_OTHERS),
        describe=describe,
        rehearsed_on=rehearsed_on,
        next_commands=next_commands,
        duration=story.duration,
    )


FILES: dict[str, Callable[[FleetReport], str]] = {
    "fleet.json": render_json,
    "fleet.xml": render_junit,
    "fleet.html": render_page,
}
"""By their names in the folder of reports."""


def write_reports(report: FleetReport, folder: Path) -> list[str]:
    """Write all of them; returns warnings. One that can't be written changes nothing else."""
    warnings = []
    for name, render in FILES.items():
        try:
            write(folder / name, render(report))
        except OSError as error:
            warnings.append(f"The report {folder / name} could not be written: {error.strerror}.")
    return warnings
