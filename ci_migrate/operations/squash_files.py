"""What `squash --write` does with the project's files: all of it, or nothing.

No file system replaces one file and removes others at once. So what is meant is written down first: a squash that is
killed in between is finished by the next one, and until then Alembic finds two heads and refuses.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from ci_migrate.errors import RefusedError, ToolError
from ci_migrate.model import Frozen, name_some
from ci_migrate.process import run_tool
from ci_migrate.tempdirs import OWN, make_folder

NOTE = f"{OWN}/squash.json"
"""What is meant, from the project's folder."""

AT_A_TIME = 100
"""Files that git is asked about in one call."""


class Change(Frozen, frozen=True, kw_only=True):
    """One file that gets another text, and files that go; from the project's folder."""

    file: str
    text: str
    gone: tuple[str, ...]


def refuse_uncommitted(project: Path, files: Sequence[str]) -> None:
    """Raise RefusedError where git does not have these files as they are: then nothing brings them back."""
    changed: list[str] = []
    try:
        for start in range(0, len(files), AT_A_TIME):
            some = files[start : start + AT_A_TIME]
            git = ["git", "-C", str(project)]
            known = run_tool([*git, "ls-files", "-z", "--", *some], timeout=60).split("\0")
            changed += [file for file in some if file not in known]
            listed = run_tool([*git, "status", "--porcelain", "-z", "--", *some], timeout=60)
            changed += [line[3:] for line in listed.split("\0") if line]
    except ToolError as error:
        raise RefusedError(
            f"--write removes files, and git could not be asked whether it has them: {error.what}",
            hint="Leave --write out: --print shows the baseline.",
        ) from error
    if changed:
        raise RefusedError(
            f"--write removes files, and git does not have all of them as they are: {name_some(sorted(set(changed)))}.",
            hint="Commit them first.",
        )


def write_change(project: Path, change: Change) -> None:
    """Do it, whatever becomes of this process: see the module."""
    note = project / NOTE
    make_folder(note.parent)
    _replace(note, msgspec.json.encode(change))
    _apply(project, change)


def finish_change(project: Path, tell: Callable[[str], None]) -> None:
    """Finish what a squash that was killed has begun.

    Raises:
        RefusedError: its note can't be read.
    """
    note = project / NOTE
    try:
        change = msgspec.json.decode(note.read_bytes(), type=Change)
    except FileNotFoundError:
        return
    except (msgspec.MsgspecError, OSError) as error:
        raise RefusedError(f"{NOTE} of an earlier squash can't be read.", hint=f"rm {NOTE}") from error
    inside = project.resolve()
    if any(not (project / name).resolve().is_relative_to(inside) for name in (change.file, *change.gone)):
        raise RefusedError(f"{NOTE} names files outside of the project.", hint=f"rm {NOTE}")
    _apply(project, change)
    tell(f"finished what an earlier squash had begun: {change.file}")


def _apply(project: Path, change: Change) -> None:
    _replace(project / change.file, change.text.encode())
    for name in change.gone:
        path = project / name
        path.unlink(missing_ok=True)
        # a history that is loaded without sources would still have it
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink(missing_ok=True)
    (project / NOTE).unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    """The file with its new text in one step; its rights stay."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileNotFoundError):
        beside.chmod(path.stat().st_mode & 0o777)
    beside.replace(path)
