"""The report files of a pipeline command: who writes them, and where they go."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import REPORTS
from ci_migrate.errors import CiMigrateError, ExitCode, UsageError
from ci_migrate.model import Report
from ci_migrate.plugins import manager as plugins
from ci_migrate.reports.base import Reporter, write
from ci_migrate.reports.built_in import REPORTERS
from ci_migrate.reports.json_report import JsonReporter
from ci_migrate.settings.secrets import hide_secrets
from ci_migrate.settings.settings import OLD_PLACE, Settings
from ci_migrate.tempdirs import OWN
from ci_migrate.timeouts import HOOK_TIMEOUT, call_with_timeout
from ci_migrate.verbs import verb_of

RUNS, KEPT = "runs", 100
"""The folder beside the reports of the last run, and how many runs are kept there."""


def report_folder(environment: Environment, settings: Settings | None, where: dict[str, Any]) -> Path:
    """Where the reports of a run go: where `--report-dir` says, else into the project's own folder."""
    if where["report_dir"] is not None:
        return environment.directory / str(where["report_dir"])
    return (settings.project_dir if settings is not None else environment.directory) / REPORTS


def leaves_reports(report: Report, where: dict[str, Any], folder: Path) -> bool:
    """Whether files are written. `plan` reads only; a command that made no sense takes nobody's report away."""
    if where["report_dir"] is not None:
        return True
    if report.exit_code is ExitCode.USAGE and (folder / JsonReporter.file).exists():
        return False
    return verb_of(report.command).leaves_files or bool(where["junit_xml"] or where["reports"])


def keep_run(report: Report, folder: Path, where: dict[str, Any]) -> list[str]:
    """Keep the report of each run beside those of the last one, for `ci-migrate show`; the oldest go."""
    if where["report_dir"] is not None or report.exit_code is ExitCode.USAGE or not folder.is_dir():
        return []
    runs = folder.parent / RUNS
    try:
        write(runs / f"{report.run_id}.json", JsonReporter().render(report))
        for old in kept_runs(runs)[KEPT:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        return [f"The report could not be kept in {runs}: {error.strerror}."]
    return []


def kept_runs(runs: Path) -> list[Path]:
    """The reports that are kept there, newest first."""

    def order(path: Path) -> tuple[str, int]:
        # an id tells its second and ends at random: of two runs in one second the file that was written later is newer
        with suppress(OSError):  # another run took it away
            return path.stem.partition("_")[0], path.stat().st_mtime_ns
        return "", 0

    return sorted(runs.glob("*.json"), key=order, reverse=True)


def find_old_places(settings: Settings, where: dict[str, Any]) -> list[str]:
    """What an earlier version left in the project, and what to type."""
    words = []
    if settings.sources["backup-dir"] == OLD_PLACE:
        old, new = (shlex.quote(str(settings.project_dir / place)) for place in ("backups", f"{OWN}/backups"))
        words.append(
            f"{old} holds backups of an earlier version, and is used as long as it does. "
            f"Move them: mkdir -p {new} && mv {old}/* {new}/"
        )
    reports = settings.project_dir / "ci-migrate-reports"
    if where["report_dir"] is None and (reports / JsonReporter.file).exists():
        words.append(
            f"{reports} holds reports of an earlier version; they are in {REPORTS} now. "
            f"Remove it: rm -r {shlex.quote(str(reports))}"
        )
    return words


def write_all(
    report: Report,
    reporters: list[Reporter],
    directory: Path,
    folder: Path,
    where: dict[str, Any],
    timeout: float = HOOK_TIMEOUT,
) -> list[str]:
    """Write all reports. One that fails, or takes too many seconds, is a warning; the exit code stays what it is."""
    if not directory.is_dir():
        return []
    paths = [(r, folder / r.file) for r in reporters]
    if where["junit_xml"]:
        paths = [(r, directory / where["junit_xml"] if r.format == "junit" else path) for r, path in paths]
    for text in where["reports"]:
        name, _, path = text.partition("=")
        paths += [(r, directory / path) for r in reporters if r.format == name]
    warnings = []
    for reporter, path in paths:
        try:
            text = call_with_timeout(partial(reporter.render, report), timeout)
            # ours hide secrets before they escape a text for their format
            write(path, text if reporter in REPORTERS else hide_secrets(text))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a reporter spoils only itself
            why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            warnings.append(f"The report {path} could not be written: {why}.")
    return warnings


def reporters_of(manager: plugins.Manager) -> list[Reporter]:
    """All reporters, by their formats.

    Raises:
        UsageError: a plugin's reporter is none.
    """
    found: list[Reporter] = plugins.unique(plugins.collect(manager, "ci_migrate_reporters"), "format")
    for reporter in found:
        if not isinstance(reporter, Reporter):
            raise UsageError(
                f"A plugin returned {reporter!r:.100}, which is no reporter.",
                hint="Leave it out of `plugins`.",
            )
    return found


def refuse_unknown(reporters: Sequence[Reporter], wanted: Sequence[str], *, perhaps: bool) -> None:
    """Raise UsageError where `--report` names a format that nobody writes; `perhaps` somebody is yet to come."""
    formats = [reporter.format for reporter in reporters]
    for text in wanted:
        name, _, path = text.partition("=")
        if not path or (name not in formats and not perhaps):
            why = f"there is no format {name}" if path else "it is FORMAT=PATH"
            raise UsageError(f"--report {text}: {why}.", hint=f"The formats are {', '.join(formats)}.")


def with_those_of_the_repository(
    settings: Settings, reporters: list[Reporter], wanted: Sequence[str]
) -> tuple[list[Reporter], list[str]]:
    """The reporters, with those of the plugins that the settings name; what fails is a warning: the run has ended."""
    try:
        manager = plugins.create_manager(settings.plugins, settings.project_dir, settings.hook_timeout)
        found = reporters_of(manager)
        refuse_unknown(found, wanted, perhaps=False)
    except CiMigrateError as error:
        return reporters, [f"Reporters of plugins: {error.what}"]
    return found, []
