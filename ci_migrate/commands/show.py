"""`ci-migrate show`."""

from pathlib import Path

import click
import msgspec

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import REPORTS
from ci_migrate.commands.printing import hand_over, say
from ci_migrate.commands.reports import RUNS, kept_runs
from ci_migrate.errors import CiMigrateError, UsageError
from ci_migrate.model import Report
from ci_migrate.reports import story
from ci_migrate.reports.base import write
from ci_migrate.reports.built_in import REPORTERS
from ci_migrate.reports.clean import one_line
from ci_migrate.reports.json_report import JsonReport
from ci_migrate.reports.terminal import render_text
from ci_migrate.settings.files import folders_upwards
from ci_migrate.settings.settings import load

FORMATS = ("text", *(reporter.format for reporter in REPORTERS))
SHOWN = 20


@click.command("show")
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True, help="As what."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--out", metavar="FILE", help="Into a file instead of on standard output.")
@click.option("--list", "lists", is_flag=True, help="Which runs there are, newest first.")
@click.pass_obj
def command(
    environment: Environment,
    /,
    run_id: str | None,
    format_: str,
    as_json: bool,
    out: str | None,
    lists: bool,
) -> int:
    """Show the report of a run of this folder again: of the last one, or of RUN (the beginning of its id will do).

    `ci-migrate history` knows the runs of all machines; their reports are where these ran, in a CI among the artifacts.
    """
    kept = kept_runs(_folder(environment))
    format_ = "json" if as_json else format_
    if lists:
        for path in kept[:SHOWN]:
            report = _read(path)
            say(one_line(f"{report.run_id}  {report.command:<8}  {report.target}  {story.verdict(report)}"))
        return 0
    report = _read(_choose(kept, run_id))
    if format_ == "text":
        text = render_text(
            report, environment.width, color=environment.color and out is None, verbose=environment.verbose
        )
    else:
        text = next(r for r in REPORTERS if r.format == format_).render(report)
    if out is not None:
        write(environment.directory / out, text)
    elif format_ == "text":
        say(text.rstrip("\n"), coloured=environment.color)
    else:
        hand_over(text.rstrip("\n"))
    return 0


def _folder(environment: Environment) -> Path:
    """Where runs are kept: in the project's folder, whatever is wrong with its settings."""
    try:
        project = load(environment.directory, environment.environ, {}).project_dir
    except CiMigrateError:
        own = [f for f in folders_upwards(environment.directory.resolve()) if (f / REPORTS).is_dir()]
        project = own[0] if own else environment.directory
    return (project / REPORTS).parent / RUNS


def _choose(kept: list[Path], run_id: str | None) -> Path:
    """The newest, or the one whose id begins so. Raises UsageError: there is none, or several."""
    if not kept:
        raise UsageError("No run has left a report here.", hint="ci-migrate history")
    found = [path for path in kept if path.stem.startswith(run_id or "")]
    if run_id is None or len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"There is no report of a run {run_id} here.", hint="ci-migrate show --list")
    raise UsageError(
        f"{len(found)} runs begin with {run_id}: {', '.join(path.stem for path in found[:SHOWN])}.",
        hint=f"ci-migrate show {found[0].stem}",
    )


def _read(path: Path) -> Report:
    try:
        return msgspec.json.decode(path.read_bytes(), type=JsonReport).report
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"The report {path} can't be read: {why}.") from error
