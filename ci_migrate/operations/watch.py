"""`check --watch`: the check of what is new, again after each change of a file; no database is reached.

The interpreter that loads the scripts has imported Alembic once and is forked for each check.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path

from ci_migrate.errors import CiMigrateError
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.launch import launch
from ci_migrate.migrations.runner import Workers
from ci_migrate.model import Report
from ci_migrate.operations.check_since import check_since, last_backup
from ci_migrate.settings.files import folders_upwards
from ci_migrate.settings.settings import Settings

LOOK, LONGEST, TIMES = 0.1, 0.4, 9
"""Seconds between two looks at the files: at least, at most, and how many times what the look itself took.

Nine times are a tenth of a processor. A change is seen within half a second where a look takes no more than a tenth.
"""

SUFFIXES = (".py", ".ini", ".toml")
SETTINGS = ("pyproject.toml", "ci-migrate.toml", "alembic.ini")
PASSED_OVER = ("__pycache__", "node_modules", "site-packages", "venv", "build", "dist")
VENV = "pyvenv.cfg"
"""What is in the folder of each virtual environment."""

State = dict[str, tuple[int, int]]
"""Time of change in nanoseconds, and size, of each file that is looked at."""


def state_of(folder: Path) -> State:
    """The files that can decide what a script does, as they are now: Python, ini and TOML, and settings above."""
    found: State = {}
    above = (str(upper / name) for upper in folders_upwards(folder) for name in SETTINGS)
    for path in (*_walk(str(folder)), *above):
        try:
            about = os.stat(path)  # noqa: PTH116 - the tree may be large: a Path takes as long as the look itself
        except OSError:  # it went meanwhile: an editor writes a new file and renames it
            continue
        found[path] = (about.st_mtime_ns, about.st_size)
    return found


def _walk(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            listed = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return
    if any(entry.name == VENV for entry in listed):
        return
    for entry in listed:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in PASSED_OVER:
                yield from _walk(entry.path)
        elif entry.name.endswith(SUFFIXES):
            yield entry.path


def changed(before: State, after: State) -> list[Path]:
    """The files that are new, gone, or other than before."""
    return sorted(Path(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def pause_after(look: float) -> float:
    """Seconds until the next look, by what the last one took: a large tree takes no processor for itself."""
    return min(LONGEST, max(LOOK, TIMES * look))


def watch(
    directory: Path,
    load: Callable[[], Settings],
    ref: str,
    interrupt: Interrupt,
    show: Callable[[Path, Report | Exception, list[Path], float], None],
) -> None:
    """Check, then again after each change, until a signal is raised.

    Args:
        directory: where the command was given.
        load: reads the settings.
        ref: the commit against which scripts are new.
        interrupt: set by signal handlers.
        show: is given the project's folder, each report, or the error that there was instead (half of a statement is
            typed), the files that changed, and the seconds that the check took.
    """
    folder = directory
    before: State | None = None
    workers: Workers | None = None
    with ExitStack() as stack:
        while True:
            # before anything is read: what changes meanwhile is seen the next time
            looked = time.monotonic()
            now = state_of(folder)
            different = changed(before, now) if before is not None else []
            if before is not None and not different:
                time.sleep(pause_after(time.monotonic() - looked))
                continue
            before, started = now, time.monotonic()
            try:
                if workers is None or any(path.suffix != ".py" for path in different):
                    stack.close()
                    workers = None
                    settings = load()
                    if settings.project_dir != folder:
                        folder, before = settings.project_dir, None
                        continue
                    # asked once: the place may be far, and a backup made meanwhile changes little
                    backup = cache(partial(last_backup, settings))
                    workers = stack.enter_context(Workers(launch(settings), interrupt))
                found: Report | Exception = check_since(
                    settings, ref, interrupt, workers=workers, backup=backup
                )
            # whoever types is not done yet, or an editor replaces the file at this moment
            except (CiMigrateError, OSError, SyntaxError) as error:
                found = error
            show(folder, found, different, time.monotonic() - started)
