"""The contract of a reporter, and how its file gets onto the disk."""

import secrets
from pathlib import Path
from typing import Protocol, runtime_checkable

from ci_migrate.model import Report
from ci_migrate.tempdirs import create_file, make_folder


@runtime_checkable
class Reporter(Protocol):
    """Turns a finished Report into the text of one file. Pure: same Report, same text."""

    format: str
    """What `--report FORMAT=PATH` calls it."""
    file: str
    """Its default file name in the folder of reports."""

    def render(self, report: Report) -> str:
        """The whole text. Must not fail, whatever the Report holds."""


def write(path: Path, text: str) -> None:
    """Write a report so that a reader sees the whole of it or nothing; missing folders are made.

    Args:
        path: where it goes; what is there is replaced.
        text: what it holds; written as UTF-8.

    Raises:
        OSError: it could not be written; nothing is left under a temporary name.
    """
    make_folder(path.parent)
    # beside its place: a rename is whole or not at all within one file system, and fails to another
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        # "replace": a reporter of a plugin may forget to clean its text, its report is still worth having
        create_file(temporary, text.encode(errors="replace"))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
