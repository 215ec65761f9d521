"""Programs that settings name, on a production target: they lie where the repository's author does not write.

Client tools, a provider's commands and those that print a URL run with the target's password, and what they say is
believed: that a backup is good, where the target is. The settings are signed with the plan; a program in the working
tree is none of its inputs.

`python` is different: the project's interpreter runs the project's code anyway, in a child that is believed nothing but
its events. A virtual environment in the project is where everybody has it. Its `bin/python` is a link, and what that
leads to must lie outside: an interpreter of the author's own would run something else than the files that were
approved. Where it is the one that runs ci-migrate itself, there is nothing left to guard.
"""

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ci_migrate.approval.trust import work_trees
from ci_migrate.errors import RefusedError
from ci_migrate.settings.settings import Secret, Settings

COMMAND = "command:"


def refuse_programs(settings: Settings) -> None:
    """Raise RefusedError where a setting names a program in the working tree; for production targets."""
    trees = work_trees(settings.environ, settings.project_dir)
    for key, place in _named(settings):
        if any(place == tree or tree in place.parents for tree in trees):
            source = settings.sources.get(key, "settings")
            raise RefusedError(
                f"{key} ({source}) names {place}, in the working tree, and this is a production target: who writes "
                "the repository would decide what it does.",
                hint="Name a program that is installed on the runner, outside of the checkout.",
            )


def _named(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The settings' keys, with each place that they lead to: as it is named, and with its links followed."""
    if settings.python.resolve() != Path(sys.executable).resolve():
        yield "python", settings.python.resolve()
    for key in ("client-tools", "squawk"):
        place = getattr(settings, key.replace("-", "_"))
        if place is not None:
            yield from _places(key, [str(place)], settings)
    for key in (
        "provider-create",
        "provider-restore",
        "provider-delete",
        "provider-clone",
        "provider-drop",
        "fleet-command",
    ):
        yield from _places(key, getattr(settings, key.replace("-", "_")), settings)
    urls: list[tuple[str, Secret | None]] = [
        ("url", settings.url),
        ("read-url", settings.read_url),
        ("state", settings.state),
        ("scratch", Secret(settings.scratch or "")),
        ("fleet-query-url", settings.fleet_query_url),
        *(("databases", value) for value in settings.databases.values()),
    ]
    for key, value in urls:
        if value is not None and value.reveal().startswith(COMMAND):
            yield from _places(key, shlex.split(value.reveal().removeprefix(COMMAND)), settings)


def _places(key: str, argv: Sequence[str], settings: Settings) -> Iterator[tuple[str, Path]]:
    """The program, where PATH has it, and each argument that is a file: `sh backup.sh` runs the second."""
    for number, argument in enumerate(argv):
        found = shutil.which(argument, path=settings.environ.get("PATH")) if number == 0 else None
        place = Path(settings.project_dir, found or argument).absolute()
        if number == 0 or place.exists():
            yield key, place
            yield key, place.resolve()
