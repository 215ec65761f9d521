"""`check --watch`: the check of what is new, again after each change of a file; no database is reached.

The interpreter that loads the scripts has imported Alembic once and is forked for each check.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ci_migrate.errors import CiMigrateError
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.launch import launch
from ci_migrate.migrations.runner import Workers
from ci_migrate.model import Report
from ci_migrate.operations.check_since import check_since
from ci_migrate.settings.settings import Settings

LOOK = 0.1
"""Seconds between two looks at the files."""

SUFFIXES = (".py", ".ini", ".toml")
PASSED_OVER = ("__pycache__", "node_modules", "site-packages", "venv", "build", "dist")

State = dict[Path, tuple[int, int]]
"""Time of change in nanoseconds, and size, of each file that is looked at."""


class ChangedSettingsError(Exception):
    """A file of settings is another one: they must be read again."""


def state_of(folder: Path) -> State:
    """The files that can decide what a script does, as they are now: Python, ini and TOML in the project's folder."""
    found: State = {}
    for path in _walk(folder):
        try:
            about = path.stat()
        except OSError:  # it went meanwhile: an editor writes a new file and renames it
            continue
        found[path] = (about.st_mtime_ns, about.st_size)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in PASSED_OVER:
            continue
        if entry.suffix in SUFFIXES:
            yield entry
        elif not entry.suffix and entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)


def changed(before: State, after: State) -> list[Path]:
    """The files that are new, gone, or other than before."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def wait_for_change(folder: Path) -> None:
    """Return as soon as a file of this folder is another one."""
    before = state_of(folder)
    while state_of(folder) == before:
        time.sleep(LOOK)


def watch(
    settings: Settings,
    ref: str,
    interrupt: Interrupt,
    show: Callable[[Report | Exception, list[Path], float], None],
) -> None:
    """Check, then again after each change, until a signal is raised.

    Args:
        settings: of any target.
        ref: the commit against which scripts are new.
        interrupt: set by signal handlers.
        show: is given each report, or the error that there was instead (half of a statement is typed), the files that
            changed, and the seconds that the check took.

    Raises:
        ChangedSettingsError: a file of settings changed.
    """
    before: State = {}
    with Workers(launch(settings), interrupt) as workers:
        while True:
            now = state_of(settings.project_dir)
            different = changed(before, now) if before else []
            if before and not different:
                time.sleep(LOOK)
                continue
            if any(path.suffix != ".py" for path in different):
                raise ChangedSettingsError
            before = now
            started = time.monotonic()
            try:
                found: Report | Exception = check_since(settings, ref, interrupt, workers=workers)
            # whoever types is not done yet, or an editor replaces the file at this moment
            except (CiMigrateError, OSError, SyntaxError) as error:
                found = error
            show(found, different, time.monotonic() - started)
